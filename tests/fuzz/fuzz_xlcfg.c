/* SPDX-License-Identifier: MIT */
/* Any bytes as a configuration file: no crash, and messages exactly when something is wrong. */
#include "domain.h"
#include "tree.h"

#include <libfdt.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A domain without errors must make a sound device tree. */
static void build(const struct domain *domain)
{
    struct module_list modules = {0};
    size_t size;
    void *fdt = tree_build(domain, 1, false, &modules, &size);

    if (!fdt || fdt_check_full(fdt, size))
        abort();
    free(fdt);
    module_list_free(&modules);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *messages = NULL;
    size_t length = 0;
    struct diag diag = {.file = "fuzz", .out = open_memstream(&messages, &length)};
    struct xlcfg config;
    struct domain domain;

    if (!diag.out)
        abort();
    xlcfg_parse((const char *)data, size, &config, &diag);
    domain_from_config(&config, &domain, &diag);
    fclose(diag.out);
    if ((length != 0) != (diag.errors + diag.warnings != 0))
        abort();
    if (!diag.errors)
        build(&domain);
    domain_free(&domain);
    xlcfg_free(&config);
    free(messages);
    return 0;
}

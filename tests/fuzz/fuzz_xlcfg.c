/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a configuration file: no crash, messages exactly when something is wrong, and
 * whatever xl's own reader takes is taken with the same values.
 */
#include "domain.h"
#include "tree.h"

#include <libfdt.h>
#include <libxlutil.h>
#include <sanitizer/lsan_interface.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds)
{
    if (!holds)
        abort();
}

/* A domain without errors must make a device tree that the hypervisor takes. */
static void build(const struct domain *domain)
{
    struct module_list modules = {0};
    size_t size, bad;
    void *fdt = tree_build(domain, 1, false, &modules, &size);

    demand(fdt && !fdt_check_full(fdt, size));
    demand(!tree_refusal(fdt, size, modules.count, &bad));
    free(fdt);
    module_list_free(&modules);
}

static bool nested_deep(const uint8_t *data, size_t size)
{
    unsigned brackets = 0;

    for (size_t i = 0; i < size; i++)
        brackets += data[i] == '[';
    return brackets > XLCFG_MAX_DEPTH;
}

/*
 * What xl's reader cannot be asked about: it asserts that there are no NULs, and makes nothing of
 * numeric escapes (it skips "\101" and "\x41" or refuses them). Lists may be nested deeper there.
 */
static bool comparable(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!data[i] || (data[i] == '\\' && i + 1 < size && strchr("01234567x", data[i + 1])))
            return false;
    return !nested_deep(data, size);
}

static void compare_value(const struct xlcfg_value *ours, XLU_Config *xl, XLU_ConfigValue *theirs)
{
    XLU_ConfigList *list;
    char *string;

    if (ours->type != XLCFG_LIST) {
        demand(!xlu_cfg_value_get_string(xl, theirs, &string, 1) && !strcmp(string, ours->string));
        return;
    }
    demand(!xlu_cfg_value_get_list(xl, theirs, &list, 1));
    for (size_t i = 0; i < ours->count; i++)
        compare_value(&ours->items[i], xl, xlu_cfg_get_listitem2(list, (int)i));
    demand(!xlu_cfg_get_listitem2(list, (int)ours->count));
}

static void compare_setting(const struct xlcfg_setting *ours, XLU_Config *xl)
{
    XLU_ConfigList *list;
    const char *string;
    int64_t number = 0;
    long theirs = 0;
    int count;
    bool is_number;

    demand(!ours->bad);
    if (ours->value.type == XLCFG_LIST) {
        demand(!xlu_cfg_get_list(xl, ours->key, &list, &count, 1) &&
               (size_t)count == ours->value.count);
        for (int i = 0; i < count; i++)
            compare_value(&ours->value.items[i], xl, xlu_cfg_get_listitem2(list, i));
        return;
    }
    demand(!xlu_cfg_get_string(xl, ours->key, &string, 1) && !strcmp(string, ours->value.string));
    is_number = xlcfg_number(ours, &number);
    /* xl makes 0 of an empty string. */
    if (*string)
        demand((xlu_cfg_get_long(xl, ours->key, &theirs, 1) == 0) == is_number && theirs == number);
}

static void compare(const struct xlcfg *ours, unsigned errors, const uint8_t *data, size_t size)
{
    static FILE *nowhere;
    char *text = malloc(size + 1);
    XLU_Config *xl;
    int error;

    if (!nowhere)
        nowhere = fopen("/dev/null", "w");
    xl = xlu_cfg_init(nowhere, "fuzz");
    demand(nowhere && xl && text);
    memcpy(text, data, size);
    text[size] = '\n'; /* what cannot be read in a last line without an end is taken in silence */
    __lsan_disable();  /* it loses memory when it refuses */
    error = xlu_cfg_readdata(xl, text, (int)size + 1);
    __lsan_enable();
    if (!error) {
        demand(!errors);
        for (size_t i = 0; i < ours->count; i++)
            compare_setting(&ours->settings[i], xl);
    }
    xlu_cfg_destroy(xl);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *messages = NULL;
    size_t length = 0;
    struct diag diag = {.file = "fuzz", .out = open_memstream(&messages, &length)};
    struct xlcfg config;
    struct domain domain;

    demand(diag.out);
    xlcfg_parse((const char *)data, size, &config, &diag);
    if (comparable(data, size))
        compare(&config, diag.errors, data, size);
    domain_from_config(&config, &domain, &diag);
    fclose(diag.out);
    demand((length != 0) == (diag.errors + diag.warnings != 0));
    if (!diag.errors)
        build(&domain);
    domain_free(&domain);
    xlcfg_free(&config);
    free(messages);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* The reader of configuration files, the meaning of their keys, and the device tree made of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "domain.h"
#include "tree.h"
#include "core/policy.h"

#include <libfdt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a file gave: its settings, the domain and all messages. */
struct outcome {
    struct xlcfg config;
    struct domain domain;
    struct diag diag;
    char *messages;
    size_t length;
};

static void parse(struct outcome *o, const char *text, size_t length)
{
    *o = (struct outcome){0};
    o->diag.file = "f";
    o->diag.out = open_memstream(&o->messages, &o->length);
    assert_non_null(o->diag.out);
    xlcfg_parse(text, length, &o->config, &o->diag);
    fflush(o->diag.out);
}

static void read_domain(struct outcome *o, const char *text)
{
    parse(o, text, strlen(text));
    domain_from_config(&o->config, &o->domain, &o->diag);
    fflush(o->diag.out);
}

static void done(struct outcome *o)
{
    domain_free(&o->domain);
    xlcfg_free(&o->config);
    fclose(o->diag.out);
    free(o->messages);
}

static const struct xlcfg_value *value(const struct outcome *o, const char *key)
{
    const struct xlcfg_setting *setting = xlcfg_find(&o->config, key);

    assert_non_null(setting);
    return &setting->value;
}

static void test_values(void **state)
{
    static const char text[] = "a = 'x#;y' # comment\n"
                               "b=\"it's\";c = 12 ;; d=0x10\n"
                               "\t e = 010\r\n"
                               "f = -3\n"
                               "g = \"\\x41\\101\\\\\\n\\\"\"";
    struct outcome o;

    (void)state;
    parse(&o, text, strlen(text));
    assert_string_equal(o.messages, "");
    assert_int_equal(o.config.count, 7);
    assert_string_equal(value(&o, "a")->string, "x#;y");
    assert_string_equal(value(&o, "b")->string, "it's");
    assert_int_equal(value(&o, "c")->number, 12);
    assert_int_equal(value(&o, "d")->number, 16);
    assert_int_equal(value(&o, "e")->number, 8);
    assert_int_equal(value(&o, "f")->number, -3);
    assert_string_equal(value(&o, "g")->string, "AA\\\n\"");
    assert_int_equal(xlcfg_find(&o.config, "g")->line, 5);
    assert_null(xlcfg_find(&o.config, "h"));
    done(&o);
}

static void test_lists(void **state)
{
    static const char text[] = "a = []\nb = [ 1, # one\n 'two',\n ]\nc = [[1],[2,3]]; d = 4";
    struct outcome o;
    const struct xlcfg_value *b;

    (void)state;
    parse(&o, text, strlen(text));
    assert_string_equal(o.messages, "");
    assert_int_equal(value(&o, "a")->count, 0);
    b = value(&o, "b");
    assert_int_equal(b->count, 2);
    assert_int_equal(b->items[0].number, 1);
    assert_string_equal(b->items[1].string, "two");
    assert_int_equal(b->items[1].line, 3);
    assert_int_equal(value(&o, "c")->items[1].items[1].number, 3);
    assert_int_equal(value(&o, "d")->number, 4);
    done(&o);
}

/* Each wrong text gives exactly these messages. */
static void test_syntax_errors(void **state)
{
    static const struct {
        const char *text, *messages;
    } cases[] = {
        {"a", "f:1: expected '=' after a, not the end of the file\n"},
        {"\na 1", "f:2: expected '=' after a, not '1'\n"},
        {"= 1", "f:1: expected a key, not '='\n"},
        {"a =\nb = 1", "f:1: expected a value (\"string\", number or [list]), not the end of the "
                       "line\n"},
        {"a = b", "f:1: expected a value (\"string\", number or [list]), not 'b'\n"},
        {"a = 'x", "f:1: string without closing '\n"},
        {"a = \"x\n\"", "f:1: string without closing \"\nf:2: expected a key, not '\"'\n"},
        {"a = '\\q'", "f:1: unknown escape in a string; write \\\\ for a backslash\n"},
        {"a = '\\x00'", "f:1: unknown escape in a string; write \\\\ for a backslash\n"},
        {"a = 1x", "f:1: '1x' is not a number\n"},
        {"a = 99999999999999999999", "f:1: '99999999999999999999' is not a number\n"},
        {"a = -", "f:1: '-' is not a number\n"},
        {"a = 1 2", "f:1: expected the end of the line or ';' after the value of a, not '2'\n"},
        {"a = [1\n2]", "f:2: expected ',' or ']' in the list begun at line 1, not '2'\n"},
        {"a = [", "f:1: expected a value (\"string\", number or [list]), not the end of the "
                  "file\n"},
        {"a = [[[[[[[[[1]]]]]]]]]", "f:1: lists nested deeper than 8\n"},
        {"a = 1\n\na = 2", "f:3: a was already set at line 1\n"},
        {"\xff = 1", "f:1: expected a key, not byte 0xff\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct outcome o;

        parse(&o, cases[i].text, strlen(cases[i].text));
        assert_string_equal(o.messages, cases[i].messages);
        assert_true(o.diag.errors > 0);
        done(&o);
    }
}

static void test_goes_on_after_errors(void **state)
{
    static const char text[] = "a = \nb = 'x\nc 4\nd = 5\n";
    struct outcome o;

    (void)state;
    parse(&o, text, strlen(text));
    assert_int_equal(o.diag.errors, 3);
    assert_int_equal(value(&o, "d")->number, 5);
    assert_true(xlcfg_find(&o.config, "a")->bad);
    done(&o);
}

static void test_embedded_nul_and_size(void **state)
{
    static const char nul[] = "a = 'x\0y'";
    char *large = calloc(1, XLCFG_MAX_FILE + 1);
    struct outcome o;

    (void)state;
    parse(&o, nul, sizeof(nul) - 1);
    assert_string_equal(o.messages, "f:1: NUL byte in a string\n");
    done(&o);
    assert_non_null(large);
    parse(&o, large, XLCFG_MAX_FILE + 1);
    assert_int_equal(o.diag.errors, 1);
    done(&o);
    free(large);
}

/* A file that is there whatever the current directory is. */
#define GOOD "name='n'\ntype='pvh'\nmemory=64\nkernel='/proc/self/exe'\n"

static void test_defaults(void **state)
{
    struct outcome o;

    (void)state;
    read_domain(&o, GOOD);
    assert_string_equal(o.messages, "");
    assert_string_equal(o.domain.name, "n");
    assert_string_equal(o.domain.kernel, "/proc/self/exe");
    assert_null(o.domain.ramdisk);
    assert_string_equal(o.domain.cmdline, "");
    assert_int_equal(o.domain.memory_kib, 64 * 1024);
    /* libxl: 1 MiB per vCPU, 8 KiB per MiB */
    assert_int_equal(o.domain.table_memory_kib, 1024 + 64 * 8);
    assert_int_equal(o.domain.vcpus, 1);
    assert_string_equal(o.domain.altp2m, "disabled");
    assert_int_equal(o.domain.altp2m_count, 10);
    assert_string_equal(o.domain.on_poweroff, "destroy");
    assert_string_equal(o.domain.on_crash, "destroy");
    assert_string_equal(o.domain.on_reboot, "restart");
    done(&o);
}

static void test_settings(void **state)
{
    struct outcome o;

    (void)state;
    read_domain(&o, GOOD "vcpus='4'\naltp2m=\"limited\"\naltp2m_count=512\nshadow_memory=3\n"
                         "maxmem=64\non_crash='preserve'\non_reboot='destroy'\n"
                         "on_poweroff='restart'\nramdisk='/proc/self/exe'");
    /* /proc/self/exe is larger than 0 bytes and smaller than 64 MiB */
    assert_string_equal(o.messages, "");
    assert_int_equal(o.domain.vcpus, 4);
    assert_string_equal(o.domain.altp2m, "limited");
    assert_int_equal(o.domain.altp2m_count, 512);
    assert_int_equal(o.domain.table_memory_kib, 3 * 1024);
    assert_string_equal(o.domain.on_crash, "preserve");
    assert_string_equal(o.domain.on_reboot, "destroy");
    assert_string_equal(o.domain.on_poweroff, "restart");
    assert_string_equal(o.domain.ramdisk, "/proc/self/exe");
    done(&o);
}

static void test_command_line(void **state)
{
    static const struct {
        const char *text, *cmdline, *messages;
    } cases[] = {
        {"extra='a b'", "a b", ""},
        {"root='/dev/x'", "root=/dev/x", ""},
        {"root='/dev/x'\nextra='a'", "root=/dev/x a", ""},
        {"cmdline='c'", "c", ""},
        {"cmdline='c'\nextra='a'", "c",
         "f:6: warning: cmdline is set: root and extra are ignored\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256];
        struct outcome o;

        snprintf(text, sizeof(text), GOOD "%s", cases[i].text);
        read_domain(&o, text);
        assert_string_equal(o.messages, cases[i].messages);
        assert_string_equal(o.domain.cmdline, cases[i].cmdline);
        done(&o);
    }
}

static void test_old_altp2m_name(void **state)
{
    struct outcome o;

    (void)state;
    read_domain(&o, GOOD "altp2mhvm=1");
    assert_string_equal(o.messages,
                        "f:5: warning: altp2mhvm is an old name: write altp2m = \"mixed\"\n");
    assert_string_equal(o.domain.altp2m, "mixed");
    done(&o);
    read_domain(&o, GOOD "altp2mhvm=1\naltp2m='external'");
    assert_string_equal(o.messages, "f:5: warning: altp2m is set: altp2mhvm is ignored\n");
    assert_string_equal(o.domain.altp2m, "external");
    done(&o);
}

static void test_policy(void **state)
{
    struct outcome o;

    (void)state;
    read_domain(&o, GOOD "altp2m='mixed'");
    assert_string_equal(o.domain.altp2m_policy, "open");
    assert_true(o.domain.altp2m_allow == 0 && o.domain.altp2m_deny == 0);
    assert_false(o.domain.altp2m_trace);
    done(&o);
    read_domain(&o, GOOD "altp2m='mixed'\naltp2m_policy='audited'\naltp2m_guest_views=3\n"
                         "altp2m_guest_tables=100\naltp2m_allow=['isolate']\n"
                         "altp2m_deny=['create_p2m', 'query']\naltp2m_trace=1");
    assert_string_equal(o.messages, "");
    assert_true(o.domain.altp2m_trace);
    assert_string_equal(o.domain.altp2m_policy, "audited");
    assert_int_equal(o.domain.altp2m_guest_views, 3);
    assert_int_equal(o.domain.altp2m_guest_tables, 100);
    assert_int_equal(o.domain.altp2m_allow, policy_bit(0x800a));
    assert_int_equal(o.domain.altp2m_deny, policy_bit(4) | policy_bit(0x8000));
    done(&o);
    read_domain(&o, GOOD "altp2m='external'\naltp2m_policy='audited'");
    assert_string_equal(o.messages, "f:6: warning: altp2m_policy has no effect with altp2m = "
                                    "\"external\"\n");
    done(&o);
    read_domain(&o, GOOD "altp2m='limited'\naltp2m_guest_views=2");
    assert_string_equal(o.messages, "f:6: warning: altp2m_guest_views has an effect only with "
                                    "altp2m_policy = \"audited\"\n");
    done(&o);
}

/* Wrong values: the message, which names what is accepted. */
static void test_wrong_values(void **state)
{
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"vcpus=0", "f:5: vcpus must be a number from 1 to 32\n"},
        {"vcpus=33", "f:5: vcpus must be a number from 1 to 32\n"},
        {"vcpus='two'", "f:5: vcpus must be a number from 1 to 32\n"},
        {"vcpus=[1]", "f:5: vcpus must be a number from 1 to 32\n"},
        {"maxmem=65", "f:5: maxmem must equal memory (64): Facet has no ballooning\n"},
        {"altp2m='on'",
         "f:5: altp2m must be \"disabled\", \"mixed\", \"external\" or \"limited\"\n"},
        {"altp2m=1",
         "f:5: altp2m must be \"disabled\", \"mixed\", \"external\" or \"limited\"\n"},
        {"altp2m_count=0", "f:5: altp2m_count must be a number from 1 to 512\n"},
        {"altp2m_count=513", "f:5: altp2m_count must be a number from 1 to 512\n"},
        {"altp2m='mixed'\naltp2m_policy='safe'",
         "f:6: altp2m_policy must be \"open\", \"grandfathered\" or \"audited\"\n"},
        {"altp2m='mixed'\naltp2m_deny=['creat_p2m']",
         "f:6: altp2m_deny: creat_p2m is not a sub-operation; `altp2m info` and "
         "docs/reference.md list them\n"},
        {"altp2m='mixed'\naltp2m_allow='query'",
         "f:6: altp2m_allow must be a list: [\"NAME\", ...]\n"},
        {"altp2m='mixed'\naltp2m_allow=[1]",
         "f:6: altp2m_allow: this is not a sub-operation; `altp2m info` and docs/reference.md "
         "list them\n"},
        {"altp2mhvm=2", "f:5: altp2mhvm must be a number from 0 to 1\n"},
        {"shadow_memory=0", "f:5: shadow_memory must be a number from 1 to 1048576 (MiB)\n"},
        {"on_crash='coredump'",
         "f:5: on_crash must be \"destroy\", \"restart\" or \"preserve\"\n"},
        {"on_reboot=1", "f:5: on_reboot must be \"destroy\", \"restart\" or \"preserve\"\n"},
        {"on_poweroff=''", "f:5: on_poweroff must be \"destroy\", \"restart\" or \"preserve\"\n"},
        {"cmdline=5", "f:5: cmdline must be a \"string\"\n"},
        {"ramdisk=''", "f:5: ramdisk must be the path of a file\n"},
        {"ramdisk='/nonexistent'",
         "f:5: ramdisk: cannot read /nonexistent: No such file or directory\n"},
        {"ramdisk='/'", "f:5: ramdisk: / is not a regular file\n"},
        {"ramdisk='/proc/self/status'", "f:5: ramdisk: /proc/self/status is empty\n"},
        {"frobnicate=1", "f:5: warning: unknown key frobnicate: ignored\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256];
        struct outcome o;

        snprintf(text, sizeof(text), GOOD "%s", cases[i].line);
        read_domain(&o, text);
        assert_string_equal(o.messages, cases[i].message);
        assert_int_equal(o.diag.errors, strstr(cases[i].message, "warning") ? 0 : 1);
        done(&o);
    }
}

static void test_missing_keys(void **state)
{
    struct outcome o;

    (void)state;
    read_domain(&o, "");
    assert_string_equal(o.messages, "f: name is missing: name = \"...\"\n"
                                    "f: type is missing: type = \"pvh\" is the one that Facet "
                                    "runs\n"
                                    "f: memory is missing: memory = MEBIBYTES\n"
                                    "f: kernel is missing: kernel = \"FILE\", a PVH kernel\n");
    done(&o);
    read_domain(&o, "type='hvm'\nname='a b'\nmemory=0\nkernel='/'");
    assert_int_equal(o.diag.errors, 4);
    done(&o);
}

static void test_long_command_line(void **state)
{
    char text[DOMAIN_CMDLINE_MAX + 256];
    struct outcome o;

    (void)state;
    snprintf(text, sizeof(text), GOOD "extra='%*s'", DOMAIN_CMDLINE_MAX, "");
    read_domain(&o, text);
    assert_string_equal(o.messages, "");
    done(&o);
    snprintf(text, sizeof(text), GOOD "extra='%*s'", DOMAIN_CMDLINE_MAX + 1, "");
    read_domain(&o, text);
    assert_string_equal(o.messages, "f:5: the command line is longer than 4095 bytes\n");
    done(&o);
}

static uint32_t cell(const void *fdt, int node, const char *name)
{
    int length;
    const fdt32_t *p = fdt_getprop(fdt, node, name, &length);

    assert_non_null(p);
    assert_int_equal(length, 4);
    return fdt32_to_cpu(*p);
}

static uint64_t two_cells(const void *fdt, int node, const char *name)
{
    int length;
    const uint8_t *p = fdt_getprop(fdt, node, name, &length);

    assert_non_null(p);
    assert_int_equal(length, 8);
    return fdt64_ld((const fdt64_t *)p);
}

/* Two domains with one kernel between them, in the format that the hypervisor reads. */
static void test_tree(void **state)
{
    struct outcome a, b;
    struct domain both[2];
    struct module_list modules = {0};
    size_t size;
    void *fdt;
    int node;

    (void)state;
    read_domain(&a, GOOD "altp2m='mixed'\nextra='x'\naltp2m_policy='grandfathered'\n"
                         "altp2m_deny=['usage', 'query']\naltp2m_trace=1");
    read_domain(&b, "name='m'\ntype='pvh'\nmemory=4097\nkernel='/proc/self/exe'\n"
                    "ramdisk='/proc/self/exe'");
    assert_string_equal(b.messages, "");
    both[0] = a.domain;
    both[1] = b.domain;
    fdt = tree_build(both, 2, true, &modules, &size);
    assert_non_null(fdt);
    assert_int_equal(fdt_check_full(fdt, size), 0);
    assert_int_equal(fdt_node_check_compatible(fdt, 0, "facet,boot"), 0);
    assert_non_null(fdt_getprop(fdt, 0, "facet,interactive", NULL));
    assert_int_equal(modules.count, 2);
    assert_int_equal(modules.modules[0].kind, MODULE_KERNEL);
    assert_int_equal(modules.modules[1].kind, MODULE_RAMDISK);
    node = fdt_path_offset(fdt, "/domains/domain@1");
    assert_true(node > 0);
    assert_int_equal(cell(fdt, node, "reg"), 1);
    assert_int_equal(cell(fdt, node, "kernel-module"), 1);
    assert_null(fdt_getprop(fdt, node, "ramdisk-module", NULL));
    assert_string_equal(fdt_getprop(fdt, node, "name", NULL), "n");
    assert_string_equal(fdt_getprop(fdt, node, "altp2m", NULL), "mixed");
    assert_string_equal(fdt_getprop(fdt, node, "cmdline", NULL), "x");
    assert_string_equal(fdt_getprop(fdt, node, "altp2m-policy", NULL), "grandfathered");
    assert_int_equal(fdt_stringlist_count(fdt, node, "altp2m-deny"), 2);
    assert_string_equal(fdt_stringlist_get(fdt, node, "altp2m-deny", 1, NULL), "usage");
    assert_null(fdt_getprop(fdt, node, "altp2m-allow", NULL));
    assert_non_null(fdt_getprop(fdt, node, "altp2m-trace", NULL));
    assert_int_equal(cell(fdt, node, "vcpus"), 1);
    assert_int_equal(cell(fdt, node, "altp2m-count"), 10);
    node = fdt_path_offset(fdt, "/domains/domain@2");
    assert_true(node > 0);
    assert_null(fdt_getprop(fdt, node, "altp2m-trace", NULL));
    assert_int_equal(cell(fdt, node, "kernel-module"), 1);
    assert_int_equal(cell(fdt, node, "ramdisk-module"), 2);
    assert_int_equal(two_cells(fdt, node, "memory-kib"), 4097 * 1024);
    assert_int_equal(two_cells(fdt, node, "table-memory-kib"), 1024 + 4097 * 8);
    assert_string_equal(fdt_getprop(fdt, node, "on-reboot", NULL), "restart");
    free(fdt);
    module_list_free(&modules);
    done(&a);
    done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),          cmocka_unit_test(test_lists),
        cmocka_unit_test(test_syntax_errors),   cmocka_unit_test(test_goes_on_after_errors),
        cmocka_unit_test(test_embedded_nul_and_size), cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_settings),        cmocka_unit_test(test_command_line),
        cmocka_unit_test(test_old_altp2m_name), cmocka_unit_test(test_wrong_values),
        cmocka_unit_test(test_missing_keys),    cmocka_unit_test(test_long_command_line),
        cmocka_unit_test(test_tree),            cmocka_unit_test(test_policy),
    };

    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}

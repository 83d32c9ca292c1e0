/* SPDX-License-Identifier: MIT */
/* The reader of configuration files, the meaning of their keys, and the device tree made
 * of them. */
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

/* The number that the setting counts as. */
static int64_t number(const struct outcome *o, const char *key)
{
    const struct xlcfg_setting *setting = xlcfg_find(&o->config, key);
    int64_t found = INT64_MIN;

    assert_non_null(setting);
    assert_true(xlcfg_number(setting, &found));
    return found;
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
    assert_int_equal(number(&o, "c"), 12);
    assert_int_equal(number(&o, "d"), 16);
    assert_int_equal(number(&o, "e"), 8);
    assert_int_equal(number(&o, "f"), -3);
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
    assert_string_equal(b->items[0].string, "1");
    assert_string_equal(b->items[1].string, "two");
    assert_int_equal(b->items[1].line, 3);
    assert_string_equal(value(&o, "c")->items[1].items[1].string, "3");
    assert_int_equal(number(&o, "d"), 4);
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
        {"a = 1G", "f:1: expected the end of the line or ';' after the value of a, not 'G'\n"},
        {"a = 'x'\na += ['y']", "f:2: a: += cannot join a list and a string\n"},
        {"a = ['x']\na += 'y'", "f:2: a: += cannot join a list and a string\n"},
        {"a = ['x'\na += 'y'", "f:2: expected ',' or ']' in the list begun at line 1, not 'a'\n"},
        {"a += ", "f:1: expected a value (\"string\", number or [list]), not the end of the "
                  "file\n"},
        {"a + = 1", "f:1: expected '=' after a, not '+'\n"},
        {"a =+ 1", "f:1: expected a value (\"string\", number or [list]), not '+'\n"},
        {"a = [,]", "f:1: expected a value (\"string\", number or [list]), not ','\n"},
        {"a = [1,,2]", "f:1: expected a value (\"string\", number or [list]), not ','\n"},
        {"a = 'x\\", "f:1: unknown escape in a string; write \\\\ for a backslash\n"},
        {"a = 1 2", "f:1: expected the end of the line or ';' after the value of a, not '2'\n"},
        {"a = [1\n2]", "f:2: expected ',' or ']' in the list begun at line 1, not '2'\n"},
        {"a = [", "f:1: expected a value (\"string\", number or [list]), not the end of the "
                  "file\n"},
        {"a = [[[[[[[[[1]]]]]]]]]", "f:1: lists nested deeper than 8\n"},
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

/* As in xl: the last one counts, whatever its type. */
static void test_repeated_keys(void **state)
{
    static const char text[] = "a = 1\n\na = 'x'; b = [1]\nb = 2\nb = 3";
    struct outcome o;

    (void)state;
    parse(&o, text, strlen(text));
    assert_string_equal(o.messages,
                        "f:3: warning: a was already set at line 1: the last one counts\n"
                        "f:4: warning: b was already set at line 3: the last one counts\n"
                        "f:5: warning: b was already set at line 4: the last one counts\n");
    assert_int_equal(o.diag.errors, 0);
    assert_int_equal(o.config.count, 2);
    assert_string_equal(value(&o, "a")->string, "x");
    assert_int_equal(xlcfg_find(&o.config, "a")->line, 3);
    assert_int_equal(number(&o, "b"), 3);
    done(&o);
}

/* As in xl: strings and lists grow, a number that is added to is none any more. */
static void test_added(void **state)
{
    static const char text[] =
        "a = 'x'\na += \"y\";a+=3\nb = [1,]\nb += [ 'two',\n [3] ]\nb += []\n"
        "c += 'new'\nd += [1]\ne = 1\ne += 2\nf += 7\nf = 8\ng='\ng += 'x'";
    struct outcome o;
    int64_t none;

    (void)state;
    parse(&o, text, strlen(text));
    assert_string_equal(o.messages,
                        "f:12: warning: f was already set at line 11: the last one counts\n"
                        "f:13: string without closing '\n");
    assert_string_equal(value(&o, "a")->string, "xy3");
    assert_int_equal(value(&o, "b")->count, 3);
    assert_string_equal(value(&o, "b")->items[1].string, "two");
    assert_int_equal(value(&o, "b")->items[2].line, 5);
    assert_string_equal(value(&o, "c")->string, "new");
    assert_int_equal(value(&o, "d")->count, 1);
    assert_string_equal(value(&o, "e")->string, "12");
    assert_false(xlcfg_number(xlcfg_find(&o.config, "e"), &none));
    assert_int_equal(number(&o, "f"), 8);
    assert_true(xlcfg_find(&o.config, "g")->bad);
    done(&o);
}

/* What counts as a number, and what is only written like one. */
static void test_numbers(void **state)
{
    static const struct {
        const char *text;
        bool good;
        int64_t number;
    } cases[] = {
        {"12", true, 12},
        {"'12'", true, 12},
        {"\" 0x1f\"", true, 31},
        {"'+5'", true, 5},
        {"0", true, 0},
        {"08", false, 0},
        {"1fa", false, 0},
        {"0x", false, 0},
        {"''", false, 0},
        {"' '", false, 0},
        {"'12 '", false, 0},
        {"[1]", false, 0},
        {"-", false, 0},
        {"'-3'", true, -3},
        {"'1.5'", false, 0},
        {"'1k'", false, 0},
        {"9223372036854775807", true, INT64_MAX},
        {"9223372036854775808", false, 0},
        {"99999999999999999999", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[64];
        struct outcome o;
        int64_t found = 0;

        snprintf(text, sizeof(text), "a=%s", cases[i].text);
        parse(&o, text, strlen(text));
        assert_string_equal(o.messages, "");
        assert_int_equal(xlcfg_number(xlcfg_find(&o.config, "a"), &found), cases[i].good);
        assert_true(found == cases[i].number);
        done(&o);
    }
}

/* What would take long to read is refused, or read at once. */
static void test_large_inputs(void **state)
{
    const size_t room = XLCFG_MAX_FILE;
    char *text = malloc(room + 1);
    struct outcome o;
    size_t used = 0;

    (void)state;
    assert_non_null(text);
    for (unsigned i = 0; used < room - 16; i++)
        used += (size_t)snprintf(text + used, 16, "k%u=1;", i);
    parse(&o, text, used);
    assert_string_equal(o.messages, "f:1: more than 4096 settings: not a configuration file\n");
    done(&o);
    memset(text, '7', room);
    memcpy(text, "a=", 2);
    parse(&o, text, room);
    assert_string_equal(o.messages, "");
    assert_int_equal(strlen(value(&o, "a")->string), room - 2);
    done(&o);
    used = (size_t)snprintf(text, 16, "a=[");
    while (used < room - 8)
        used += (size_t)snprintf(text + used, 8, "'\\'',");
    parse(&o, text, used + (size_t)snprintf(text + used, 8, "]"));
    assert_string_equal(o.messages, "");
    assert_string_equal(value(&o, "a")->items[value(&o, "a")->count - 1].string, "'");
    done(&o);
    for (used = 0; used < room - 256;)
        used += (size_t)snprintf(text + used, 256, "a+='%0200d'\n", 0);
    parse(&o, text, used);
    assert_string_equal(strchr(o.messages, ' '),
                        " more than 4096 settings: not a configuration file\n");
    assert_int_equal(strlen(value(&o, "a")->string), 4096 * 200);
    done(&o);
    free(text);
}

static void test_goes_on_after_errors(void **state)
{
    static const char text[] = "a = \nb = 'x\nc 4\nd = 5\n";
    struct outcome o;

    (void)state;
    parse(&o, text, strlen(text));
    assert_int_equal(o.diag.errors, 3);
    assert_int_equal(number(&o, "d"), 5);
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
    assert_string_equal(o.domain.on_watchdog, "destroy");
    done(&o);
}

static void test_settings(void **state)
{
    struct outcome o;

    (void)state;
    read_domain(&o, GOOD "vcpus='4'\naltp2m=\"limited\"\naltp2m_count=512\nshadow_memory=3\n"
                         "maxmem=64\non_crash='preserve'\non_reboot='destroy'\n"
                         "on_poweroff='restart'\nramdisk='/proc/self/exe'\non_watchdog='restart'\n"
                         "maxvcpus=4");
    /* /proc/self/exe is larger than 0 bytes and smaller than 64 MiB */
    assert_string_equal(o.messages, "");
    assert_int_equal(o.domain.vcpus, 4);
    assert_string_equal(o.domain.altp2m, "limited");
    assert_int_equal(o.domain.altp2m_count, 512);
    assert_int_equal(o.domain.table_memory_kib, 3 * 1024);
    assert_string_equal(o.domain.on_crash, "preserve");
    assert_string_equal(o.domain.on_reboot, "destroy");
    assert_string_equal(o.domain.on_poweroff, "restart");
    assert_string_equal(o.domain.on_watchdog, "restart");
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
        {"cmdline=5", "5", ""},
        {"extra='a'\nextra+=' b'", "a b", ""},
        {"root=0x10\nextra+='a'", "root=0x10 a", ""},
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

/* As xl takes it: names in any case, numbers, numbers in quotes. */
static void test_altp2m_modes(void **state)
{
    static const struct {
        const char *text, *mode;
    } cases[] = {
        {"'disabled'", "disabled"}, {"'mixed'", "mixed"}, {"'external'", "external"},
        {"'limited'", "limited"},   {"0", "disabled"},    {"1", "mixed"},
        {"2", "external"},          {"3", "limited"},     {"'0'", "disabled"},
        {"'2'", "external"},        {"0x3", "limited"},   {"\"Mixed\"", "mixed"},
        {"'EXTERNAL'", "external"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256];
        struct outcome o;

        snprintf(text, sizeof(text), GOOD "altp2m=%s", cases[i].text);
        read_domain(&o, text);
        assert_string_equal(o.messages, "");
        assert_string_equal(o.domain.altp2m, cases[i].mode);
        done(&o);
    }
}

/* Every action that xl knows is taken, and what is done in place of one is said. */
static void test_actions(void **state)
{
    static const char *const keys[] = {"on_poweroff", "on_reboot", "on_crash", "on_watchdog"};
    static const struct {
        const char *action, *done, *why;
    } cases[] = {
        {"destroy", "destroy", NULL},
        {"restart", "restart", NULL},
        {"preserve", "preserve", NULL},
        {"rename-restart", "restart", "the ended domain is not kept"},
        {"coredump-destroy", "destroy", "no core dump is written"},
        {"coredump-restart", "restart", "no core dump is written"},
        {"soft-reset", "restart", "nothing of the ended domain is kept"},
    };

    (void)state;
    for (size_t i = 0; i < 4 * sizeof(cases) / sizeof(cases[0]); i++) {
        const char *key = keys[i % 4], *why = cases[i / 4].why;
        char text[256], message[256] = "";
        struct outcome o;
        const char *const *done_for[] = {&o.domain.on_poweroff, &o.domain.on_reboot,
                                         &o.domain.on_crash, &o.domain.on_watchdog};

        snprintf(text, sizeof(text), GOOD "%s='%s'", key, cases[i / 4].action);
        if (why)
            snprintf(message, sizeof(message),
                     "f:5: warning: %s = \"%s\" is not carried out: \"%s\" is done, %s\n", key,
                     cases[i / 4].action, cases[i / 4].done, why);
        read_domain(&o, text);
        assert_string_equal(o.messages, message);
        assert_string_equal(*done_for[i % 4], cases[i / 4].done);
        done(&o);
    }
}

/* Keys that xl takes for a PVH guest and Facet does not carry out, unless they ask for nothing. */
static void test_keys_of_xl(void **state)
{
    static const struct {
        const char *line, *messages;
    } cases[] = {
        {"disk=['phy:/dev/x,xvda,w']",
         "f:5: warning: disk is not carried out: Facet has no devices for guests\n"},
        {"disk=[]", ""},
        {"vif=['']\nuuid=''",
         "f:5: warning: vif is not carried out: Facet has no devices for guests\n"},
        {"uuid='5f0f8d7e-0000-0000-0000-000000000000'",
         "f:5: warning: uuid is not carried out: domains have numbers and names\n"},
        {"hap=1\nvnc=0\npvshim=0\ncpus='all'", ""},
        {"hap=0", "f:5: warning: hap is not carried out: Facet always uses the processor's nested "
                  "tables\n"},
        {"on_soft_reset='soft-reset'", "f:5: warning: on_soft_reset is not carried out: a guest's "
                                       "soft reset is refused, and it goes on\n"},
        {"maxmem=65",
         "f:5: warning: maxmem is not carried out: the domain has its 64 MiB of memory "
         "and cannot get more\n"},
        {"maxvcpus=9", "f:5: warning: maxvcpus is not carried out: the domain has its 1 vCPUs and "
                       "cannot get more\n"},
        {"frobnicate=1", "f:5: warning: unknown key frobnicate: ignored\n"},
        {"altp2mhvm=2\naltp2m=0", "f:5: warning: altp2m is set: altp2mhvm is ignored\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256];
        struct outcome o;

        snprintf(text, sizeof(text), GOOD "%s", cases[i].line);
        read_domain(&o, text);
        assert_string_equal(o.messages, cases[i].messages);
        assert_int_equal(o.diag.errors, 0);
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
    assert_false(o.domain.altp2m_trace || o.domain.altp2m_narrow);
    done(&o);
    read_domain(&o, GOOD "altp2m='mixed'\naltp2m_policy='audited'\naltp2m_guest_views=3\n"
                         "altp2m_guest_tables=100\naltp2m_allow=['isolate']\n"
                         "altp2m_deny=['create_p2m', 'query']\naltp2m_trace=1\naltp2m_narrow=1");
    assert_string_equal(o.messages, "");
    assert_true(o.domain.altp2m_trace && o.domain.altp2m_narrow);
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

#define ALTP2M_CHOICES                                                                             \
    "f:5: altp2m must be \"disabled\", \"mixed\", \"external\" or \"limited\", or 0 to 3\n"
#define ACTION_CHOICES                                                                             \
    " must be \"destroy\", \"restart\", \"preserve\", \"rename-restart\", \"coredump-destroy\", "  \
    "\"coredump-restart\" or \"soft-reset\"\n"

#define CPUS_CHOICES                                                                               \
    "must be numbers of processors, ranges as 0-3, or \"all\", with ^ before what is left out\n"

/* The syntax is xl's (xl_vcpu.c, update_cpumap_range()): one item after the other adds or takes. */
static void test_cpus(void **state)
{
    static const struct {
        const char *line;
        uint64_t cpus[3];
    } cases[] = {
        {"", {0, 0, 0}},
        {"cpus=2", {4, 4, 4}},
        {"cpus='0-3'", {15, 15, 15}},
        {"cpus='all'", {~0ULL, ~0ULL, ~0ULL}},
        {"cpus='all,^1'", {~2ULL, ~2ULL, ~2ULL}},
        {"cpus=' 0-4 , ^1-2,63'", {0x8000000000000019, 0x8000000000000019, 0x8000000000000019}},
        {"cpus='^1,0-2'", {7, 7, 7}},
        {"cpus=['1','0-3,^2']", {2, 11, 0}},
        {"cpus=[1,2,3,4]", {2, 4, 8}},
        {"cpus=[]", {0, 0, 0}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256];
        struct outcome o;

        snprintf(text, sizeof(text), GOOD "vcpus=3\n%s", cases[i].line);
        read_domain(&o, text);
        assert_string_equal(o.messages, "");
        assert_memory_equal(o.domain.cpus, cases[i].cpus, sizeof(cases[i].cpus));
        done(&o);
    }
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
        {"vcpus=1f", "f:5: vcpus must be a number from 1 to 32\n"},
        {"vcpus=1\nvcpus+=2", "f:6: vcpus must be a number from 1 to 32\n"},
        {"cpus=''", "f:5: cpus " CPUS_CHOICES},
        {"cpus='0-'", "f:5: cpus has a range that is none\n"},
        {"cpus='3-1'", "f:5: cpus has a range that is none\n"},
        {"cpus='1 2'", "f:5: cpus must be separated by commas\n"},
        {"cpus='1,'", "f:5: cpus " CPUS_CHOICES},
        {"cpus='-1'", "f:5: cpus " CPUS_CHOICES},
        {"cpus='64'", "f:5: cpus names a processor above 63, the last that Facet uses\n"},
        {"cpus='0-99999999999999999999'",
         "f:5: cpus names a processor above 63, the last that Facet uses\n"},
        {"cpus='^1'", "f:5: cpus leaves no processor\n"},
        {"cpus='1,^1'", "f:5: cpus leaves no processor\n"},
        {"cpus='node:0'", "f:5: cpus names nodes, which Facet does not know\n"},
        {"vcpus=2\ncpus=['1',\n'x']", "f:7: cpus " CPUS_CHOICES},
        {"cpus=[['1']]", "f:5: cpus is a list in a list\n"},
        {"vcpus=2\nmaxvcpus=1", "f:6: maxvcpus is less than vcpus (2)\n"},
        {"maxmem=63", "f:5: maxmem is less than memory (64)\n"},
        {"altp2m='on'", ALTP2M_CHOICES},
        {"altp2m=4", ALTP2M_CHOICES},
        {"altp2m='-1'", ALTP2M_CHOICES},
        {"altp2m=''", ALTP2M_CHOICES},
        {"altp2m=['mixed']", ALTP2M_CHOICES},
        {"altp2m=1\naltp2m+=0", "f:6: altp2m must be \"disabled\", \"mixed\", \"external\" or "
                                "\"limited\", or 0 to 3\n"},
        {"altp2m_count=0", "f:5: altp2m_count must be a number from 1 to 512\n"},
        {"altp2m_count=513", "f:5: altp2m_count must be a number from 1 to 512\n"},
        {"altp2m='mixed'\naltp2m_policy='safe'",
         "f:6: altp2m_policy must be \"open\", \"grandfathered\" or \"audited\"\n"},
        {"altp2m='mixed'\naltp2m_deny=['creat_p2m']",
         "f:6: altp2m_deny: creat_p2m is not a sub-operation; `altp2m info` and "
         "docs/reference.md list them\n"},
        {"altp2m='mixed'\naltp2m_allow='query'",
         "f:6: altp2m_allow must be a list: [\"NAME\", ...]\n"},
        {"altp2m='mixed'\naltp2m_allow=[[1]]",
         "f:6: altp2m_allow: this is not a sub-operation; `altp2m info` and docs/reference.md "
         "list them\n"},
        {"shadow_memory=1\naltp2m_count=512\nmemory=65536",
         "f:5: shadow_memory must be at least 2 (MiB) for 65536 MiB of memory and 512 views\n"},
        {"shadow_memory=0", "f:5: shadow_memory must be a number from 1 to 1048576 (MiB)\n"},
        {"on_crash='coredump'", "f:5: on_crash" ACTION_CHOICES},
        {"on_reboot=1", "f:5: on_reboot" ACTION_CHOICES},
        {"on_poweroff=''", "f:5: on_poweroff" ACTION_CHOICES},
        {"on_watchdog=[]", "f:5: on_watchdog" ACTION_CHOICES},
        {"cmdline=[]", "f:5: cmdline must be a \"string\"\n"},
        {"ramdisk=''", "f:5: ramdisk must be the path of a file\n"},
        {"ramdisk='/nonexistent'",
         "f:5: ramdisk: cannot read /nonexistent: No such file or directory\n"},
        {"ramdisk='/'", "f:5: ramdisk: / is not a regular file\n"},
        {"ramdisk='/proc/self/status'", "f:5: ramdisk: /proc/self/status is empty\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256];
        struct outcome o;

        snprintf(text, sizeof(text), GOOD "%s", cases[i].line);
        read_domain(&o, text);
        /* Warnings may stand before it. */
        assert_non_null(strstr(o.messages, cases[i].message));
        assert_string_equal(strstr(o.messages, cases[i].message), cases[i].message);
        assert_int_equal(o.diag.errors, 1);
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
    snprintf(text, sizeof(text), GOOD "extra='%*s'", (int)DOMAIN_CMDLINE_MAX, "");
    read_domain(&o, text);
    assert_string_equal(o.messages, "");
    done(&o);
    snprintf(text, sizeof(text), GOOD "extra='%*s'", (int)DOMAIN_CMDLINE_MAX + 1, "");
    read_domain(&o, text);
    assert_string_equal(o.messages, "f:5: the command line has 2048 bytes; the most is 2047\n");
    done(&o);
    /* Names the line that made it too long. */
    snprintf(text, sizeof(text), GOOD "root='/dev/x'\nextra='%*s'", (int)DOMAIN_CMDLINE_MAX, "");
    read_domain(&o, text);
    assert_string_equal(o.messages, "f:6: the command line has 2059 bytes; the most is 2047\n");
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
                         "altp2m_deny=['usage', 'query']\naltp2m_trace=1\naltp2m_narrow=1");
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
    assert_non_null(fdt_getprop(fdt, node, "altp2m-narrow", NULL));
    assert_int_equal(cell(fdt, node, "vcpus"), 1);
    assert_int_equal(cell(fdt, node, "altp2m-count"), 10);
    node = fdt_path_offset(fdt, "/domains/domain@2");
    assert_true(node > 0);
    assert_null(fdt_getprop(fdt, node, "altp2m-trace", NULL));
    assert_null(fdt_getprop(fdt, node, "altp2m-narrow", NULL));
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
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_syntax_errors),
        cmocka_unit_test(test_goes_on_after_errors),
        cmocka_unit_test(test_embedded_nul_and_size),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_command_line),
        cmocka_unit_test(test_old_altp2m_name),
        cmocka_unit_test(test_cpus),
        cmocka_unit_test(test_wrong_values),
        cmocka_unit_test(test_missing_keys),
        cmocka_unit_test(test_long_command_line),
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_policy),
        cmocka_unit_test(test_repeated_keys),
        cmocka_unit_test(test_added),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_large_inputs),
        cmocka_unit_test(test_altp2m_modes),
        cmocka_unit_test(test_actions),
        cmocka_unit_test(test_keys_of_xl),
    };

    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */

/*
 * Whether a processor would do: the decisions of the hypervisor's start, which `facet check`
 * shares, on made-up processors. Pokes: each thing that is needed taken away from one that has all,
 * what is only used; firmware locks; without root; and files that are no dump, or a hostile one.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/check/check.h"

#define INTEL                                                                                      \
    "cpuid 0 0 16 756e6547 6c65746e 49656e69\n"                                                    \
    "cpuid 1 0 506e3 0 5000020 200\n"                                                              \
    "cpuid 80000000 0 80000008 0 0 0\n"                                                            \
    "cpuid 80000007 0 0 0 0 100\n"                                                                 \
    "msr 3a 5\n"                                                                                   \
    "msr 480 da040000000004\n"                                                                     \
    "msr 485 7004c1e5\n"                                                                           \
    "msr 48b 553cfe00000000\n"                                                                     \
    "msr 48c f0106734141\n"                                                                        \
    "msr 48d 7f00000016\n"                                                                         \
    "msr 48e fff9fffe04006172\n"                                                                   \
    "msr 48f 1ffffff00036dfb\n"                                                                    \
    "msr 490 3ffff000011fb\n"                                                                      \
    "msr 491 1\n"                                                                                  \
    "memory 8000000\niommu VT-d\nclock tsc\n"

#define AMD                                                                                        \
    "cpuid 0 0 d 68747541 444d4163 69746e65\n"                                                     \
    "cpuid 1 0 800f12 0 4000000 200\n"                                                             \
    "cpuid 80000000 0 8000001f 0 0 0\n"                                                            \
    "cpuid 80000001 0 0 0 4 c000000\n"                                                             \
    "cpuid 80000007 0 0 0 0 100\n"                                                                 \
    "cpuid 8000000a 0 1 8000 0 69\n"                                                               \
    "msr c0010114 0\n"                                                                             \
    "memory 8000000\n"

static struct facts facts;
static struct report report;
static char why[CHECK_TEXT];

static int read_text(const char *text)
{
    FILE *f = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    int rc;

    assert_non_null(f);
    rc = facts_read(&facts, f, why);
    fclose(f);
    return rc;
}

/* `text` with `more` behind it: of two that say the same the last counts for leaves, so what is to
   be otherwise is cut out first, by the beginning of its line. */
static void judge(const char *text, const char *without, const char *more)
{
    char all[4096];
    const char *cut = without ? strstr(text, without) : NULL;

    if (without) {
        assert_non_null(cut);
        snprintf(all, sizeof(all), "%.*s%s%s", (int)(cut - text), text, strchr(cut, '\n') + 1,
                 more);
    } else {
        snprintf(all, sizeof(all), "%s%s", text, more);
    }
    assert_int_equal(read_text(all), 0);
    check(&facts, &report);
}

static const struct item *item(const char *name)
{
    for (unsigned int i = 0; i < report.nr; i++)
        if (!strcmp(report.items[i].name, name))
            return &report.items[i];
    fail_msg("nothing of %s", name);
    return NULL;
}

static void good_ones(void **state)
{
    (void)state;
    judge(INTEL, NULL, "");
    assert_int_equal(report.verdict, VERDICT_YES);
    assert_int_equal(item("execute-only")->verdict, VERDICT_YES);
    assert_int_equal(item("VMFUNC")->verdict, VERDICT_YES);
    assert_int_equal(item("#VE")->verdict, VERDICT_YES);
    assert_non_null(strstr(item("single-step")->text, "monitor trap flag"));
    assert_string_equal(report.processor, "GenuineIntel");
    judge(AMD, NULL, "");
    assert_int_equal(report.verdict, VERDICT_YES);
    assert_int_equal(item("execute-only")->verdict, VERDICT_NO);
    assert_string_equal(report.processor, "AuthenticAMD");
}

static void each_need(void **state)
{
    static const struct {
        const char *text, *without, *more, *why;
    } list[] = {
        {INTEL, "msr 3a", "msr 3a 1\n", "switched off in the firmware's set-up"},
        {INTEL, "msr 480", "msr 480 5a040000000004\n", "too old"}, /* without TRUE controls */
        {INTEL, "msr 480", "msr 480 9a040000000004\n", "too old"},
        {INTEL, "msr 480", "", "too old"},
        {INTEL, "msr 48b", "msr 48b 553cfc00000000\n", "no EPT"},
        {INTEL, "msr 48b", "msr 48b 553c7e00000000\n", "secondary controls 00000080"},
        {INTEL, "msr 48b", "", "no EPT"},
        {INTEL, "msr 48c", "msr 48c f0106734101\n", "capabilities 00000040"},
        {INTEL, "msr 48c", "msr 48c f0106724141\n", "capabilities 00010000"},
        {INTEL, "msr 48d", "msr 48d 5f00000016\n", "pin-based controls 00000020"},
        {INTEL, "msr 48e", "msr 48e 7ff9fffe04006172\n", "primary controls 80000000"},
        {INTEL, "msr 48f", "msr 48f 1fffdff00036dfb\n", "exit controls 00000200"},
        {INTEL, "msr 490", "msr 490 37fff000011fb\n", "entry controls 00008000"},
        {INTEL, "cpuid 1 ", "cpuid 1 0 506e3 0 1000020 200\n", "no XSAVE"},
        {INTEL, "cpuid 1 ", "cpuid 1 0 506e3 0 5000020 0\n", "no local APIC"},
        {INTEL, "cpuid 1 ", "cpuid 1 0 506e3 0 5000000 200\n", "no VT-x and no SVM"},
        {INTEL, "memory", "memory 16000\n", "too little memory"},
        {AMD, "cpuid 8000000a", "cpuid 8000000a 0 1 8000 0 68\n", "no nested paging"},
        {AMD, "cpuid 8000000a", "cpuid 8000000a 0 1 1 0 69\n", "no address space identifiers"},
        {AMD, "msr c0010114", "msr c0010114 10\n", "SVM is switched off"},
        {AMD, "cpuid 80000001", "cpuid 80000001 0 0 0 0 0\n", "no VT-x and no SVM"},
        {AMD, "cpuid 80000000", "cpuid 80000000 0 80000008 0 0 0\n", "no VT-x and no SVM"},
        {AMD, "cpuid 1 ", "cpuid 1 0 0 0 0 200\n", "no XSAVE"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        judge(list[i].text, list[i].without, list[i].more);
        if (report.verdict != VERDICT_NO || !strstr(report.why, list[i].why))
            fail_msg("%zu: verdict %d: \"%s\", not \"%s\"", i, (int)report.verdict, report.why,
                     list[i].why);
    }
}

/* What is used where it is there, and does not decide. */
static void what_is_used(void **state)
{
    (void)state;
    judge(INTEL, "msr 3a", "msr 3a 0\n"); /* open: the hypervisor sets it */
    assert_int_equal(report.verdict, VERDICT_YES);
    judge(INTEL, "msr 3a", "msr 3a none\n"); /* emulators */
    assert_int_equal(report.verdict, VERDICT_YES);
    judge(INTEL, "msr 491", "msr 491 0\n");
    assert_int_equal(report.verdict, VERDICT_YES);
    assert_int_equal(item("VMFUNC")->verdict, VERDICT_NO);
    assert_int_equal(item("#VE")->verdict, VERDICT_NO);
    judge(INTEL, "msr 48b", "msr 48b 513cfe00000000\n");
    assert_int_equal(item("VMFUNC")->verdict, VERDICT_YES);
    assert_int_equal(item("#VE")->verdict, VERDICT_NO);
    judge(INTEL, "msr 48c", "msr 48c f0106734140\n");
    assert_int_equal(item("execute-only")->verdict, VERDICT_NO);
    judge(INTEL, "msr 48e", "msr 48e f7f9fffe04006172\n");
    assert_non_null(strstr(item("single-step")->text, "by TF"));
    judge(INTEL, "cpuid 80000007", "");
    assert_int_equal(item("clock")->verdict, VERDICT_NO);
    judge(INTEL, "clock", "clock hpet\n");
    assert_int_equal(item("clock")->verdict, VERDICT_NO);
    assert_int_equal(report.verdict, VERDICT_YES);
}

static void without_root(void **state)
{
    (void)state;
    judge("cpuid 0 0 16 756e6547 6c65746e 49656e69\ncpuid 1 0 0 0 5000020 200\nmsrs none\n", NULL,
          "");
    assert_int_equal(report.verdict, VERDICT_UNKNOWN);
    assert_non_null(strstr(report.why, "without root"));
    judge(AMD, "msr c0010114", "msrs none\n");
    assert_int_equal(report.verdict, VERDICT_UNKNOWN);
    judge(AMD, "cpuid 8000000a", "cpuid 8000000a 0 1 8000 0 68\nmsrs none\n");
    assert_int_equal(report.verdict, VERDICT_NO); /* CPUID tells it to everybody */
    judge(INTEL, "msr 3a", "msrs flags\n");
    assert_int_equal(report.verdict, VERDICT_YES);
    assert_non_null(strstr(item("VMX and EPT")->text, "/proc/cpuinfo"));
}

static void files(void **state)
{
    static const char *const bad[] = {
        "",      "\n#\n",         "cpuid",         "cpuid 1 0 0 0 0\n", "cpuid 1 0 0 0 0 0 0\n",
        "msr\n", "msr 3a nine\n", "memory much\n", "hello\n",           "msrs all\n",
    };
    char *text = NULL;
    size_t size;
    FILE *f;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (read_text(bad[i]) != -EINVAL)
            fail_msg("\"%s\" is taken", bad[i]);
    /* What is written is read back, and says the same. */
    judge(INTEL, NULL, "");
    f = open_memstream(&text, &size);
    facts_write(&facts, f);
    fclose(f);
    judge(text, NULL, "");
    assert_int_equal(report.verdict, VERDICT_YES);
    free(text);
}

/* More of everything than there is room for. */
static void too_much(void **state)
{
    char *text = malloc(100000);
    size_t n = 0;

    (void)state;
    assert_non_null(text);
    for (unsigned int i = 0; i < 1000; i++)
        n += (size_t)snprintf(text + n, 100000 - n, "cpuid %x 0 1 1 1 1\nmsr %x 1\n", i, i);
    assert_int_equal(read_text(text), 0);
    check(&facts, &report);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_ones),    cmocka_unit_test(each_need), cmocka_unit_test(what_is_used),
        cmocka_unit_test(without_root), cmocka_unit_test(files),     cmocka_unit_test(too_much),
    };

    return cmocka_run_group_tests_name("needs", tests, NULL, NULL);
}

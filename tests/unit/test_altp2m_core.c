/* SPDX-License-Identifier: MIT */
/*
 * The altp2m command on the real core: what is typed is what a processor then sees. altp2m_model.c
 * stands for Xen and for what goes wrong; here is what Facet does.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "command.h"
#include "core/policy.h"
#include "core_machine.h"
#include "xenabi.h"

static char *out, *err;

static int version(void *ctx, unsigned int cmd, void *arg, size_t size)
{
    (void)ctx;
    if (cmd == XENVER_version)
        return 4 << 16 | 17;
    assert_true(size >= 16);
    strcpy(arg, cmd == XENVER_extraversion ? ".7-facet" : "hvm-3.0-x86_64 ");
    return 0;
}

static int own_domid(void *ctx)
{
    (void)ctx;
    return 1;
}

static int open_machine(struct hypercall *hc, struct hypercall_trouble *why)
{
    (void)why;
    *hc = (struct hypercall){.hvm_op = machine_hvm_op,
                             .version = version,
                             .alloc = machine_alloc,
                             .release = machine_release,
                             .own_domid = own_domid};
    return 0;
}

static void close_machine(struct hypercall *hc)
{
    (void)hc;
}

static int type(const char *line)
{
    char words[256], *argv[16], *save = NULL;
    size_t out_size, err_size;
    int argc = 0, rc;
    FILE *o, *e;

    free(out);
    free(err);
    o = open_memstream(&out, &out_size);
    e = open_memstream(&err, &err_size);
    snprintf(words, sizeof(words), "%s", line);
    for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    argv[argc] = NULL;
    rc = command_main(argc, argv, o, e, false, open_machine, close_machine);
    fclose(o);
    fclose(e);
    return rc;
}

static void ok(const char *line)
{
    if (type(line))
        fail_msg("\"%s\" is refused: %s", line, err);
}

static void says(const char *line, const char *words)
{
    ok(line);
    if (!strstr(out, words))
        fail_msg("\"%s\" says\n%s, not \"%s\"", line, out, words);
}

static void refused(const char *line, const char *words)
{
    if (!type(line) || !strstr(err, words))
        fail_msg("\"%s\" says\n%s%s, not \"%s\"", line, out, err, words);
}

static void sees(unsigned view, uint64_t gfn, int64_t frame, unsigned rights)
{
    struct machine_page p = machine_page(view, gfn);

    if (p.frame != frame || p.rights != rights)
        fail_msg("view %u, gfn %#lx: frame %#lx with %u, not %#lx with %u", view,
                 (unsigned long)gfn, (long)p.frame, p.rights, (long)frame, rights);
}

static int setup(void **state)
{
    (void)state;
    machine_start(XEN_ALTP2M_mixed, POLICY_OPEN);
    ok("altp2m on");
    return 0;
}

static int setup_audited(void **state)
{
    (void)state;
    machine_start(XEN_ALTP2M_mixed, POLICY_AUDITED);
    ok("altp2m on");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ok("altp2m off");
    machine_stop();
    free(out);
    free(err);
    out = err = NULL;
    return 0;
}

static void views(void **state)
{
    (void)state;
    says("altp2m create", "1");
    says("altp2m create --access rx", "2");
    sees(1, 5, MACHINE_FRAME + 5, 7);
    sees(2, 5, MACHINE_FRAME + 5, 5);
    ok("altp2m switch 2");
    for (unsigned i = 0; i < MACHINE_VCPUS; i++)
        assert_int_equal(machine_view(i), 2);
    refused("altp2m destroy 2", "");
    says("altp2m list", "2");
    ok("altp2m switch 0");
    ok("altp2m destroy 2");
    refused("altp2m switch 2", "");
    ok("altp2m hide 1");
    refused("altp2m switch 1", "");
}

static void accesses(void **state)
{
    (void)state;
    ok("altp2m create");
    ok("altp2m access 1 0x10+3 x");
    sees(1, 0x0f, MACHINE_FRAME + 0x0f, 7);
    sees(1, 0x10, MACHINE_FRAME + 0x10, 4);
    sees(1, 0x12, MACHINE_FRAME + 0x12, 4);
    sees(1, 0x13, MACHINE_FRAME + 0x13, 7);
    sees(0, 0x10, MACHINE_FRAME + 0x10, 7);
    says("altp2m access 1 0x11", "x");
    ok("altp2m access 1 100+3000 r"); /* more than one list */
    sees(1, 100, MACHINE_FRAME + 100, 1);
    sees(1, 3099, MACHINE_FRAME + 3099, 1);
    sees(1, 3100, MACHINE_FRAME + 3100, 7);
    ok("altp2m access 1 100+3000 default");
    sees(1, 3099, MACHINE_FRAME + 3099, 7);
    refused("altp2m access 7 1 r", "view 7");
    refused("altp2m access 1 0x2000", "0x2000"); /* a hole */
}

static void remaps(void **state)
{
    (void)state;
    ok("altp2m create");
    ok("altp2m remap 1 5 6");
    sees(1, 5, MACHINE_FRAME + 6, 7);
    sees(0, 5, MACHINE_FRAME + 5, 7);
    ok("altp2m remap 1 16+8 32");
    sees(1, 23, MACHINE_FRAME + 39, 7);
    sees(1, 24, MACHINE_FRAME + 24, 7);
    says("altp2m overrides 1", "0x5");
    ok("altp2m unremap 1 5");
    sees(1, 5, MACHINE_FRAME + 5, 7);
    refused("altp2m remap 1 5 0x3000", "");
    sees(1, 5, MACHINE_FRAME + 5, 7);
}

static void ve_bits(void **state)
{
    (void)state;
    ok("altp2m create");
    assert_true(machine_page(1, 0x40).suppress_ve);
    ok("altp2m set 1 0x40+3 rx on");
    sees(1, 0x40, MACHINE_FRAME + 0x40, 5);
    assert_false(machine_page(1, 0x42).suppress_ve);
    assert_true(machine_page(1, 0x43).suppress_ve);
}

static void isolation(void **state)
{
    (void)state;
    ok("altp2m create");
    ok("altp2m create");
    ok("altp2m isolate 1 0x80+4 rw n");
    sees(1, 0x83, MACHINE_FRAME + 0x83, 3);
    sees(2, 0x83, -1, 0);
    sees(2, 0x84, MACHINE_FRAME + 0x84, 7);
}

static void one_vcpu(void **state)
{
    (void)state;
    ok("altp2m create");
    ok("altp2m switch 1 2");
    assert_int_equal(machine_view(2), 1);
    assert_int_equal(machine_view(1), 0);
}

/* Pages that the guest does not have: written, shown, given back. */
static void shadows(void **state)
{
    char name[16], line[64];

    (void)state;
    ok("altp2m create");
    ok("altp2m shadow new 7");
    assert_int_equal(sscanf(out, "%15s", name), 1);
    snprintf(line, sizeof(line), "altp2m remap 1 9 %s", name);
    ok(line);
    assert_true(machine_page(1, 9).frame >= 0);
    assert_int_not_equal(machine_page(1, 9).frame, MACHINE_FRAME + 9);
    sees(0, 9, MACHINE_FRAME + 9, 7);
    ok("altp2m unremap 1 9");
    refused("altp2m shadow free s9999", "");
    snprintf(line, sizeof(line), "altp2m shadow free %s", name);
    ok(line);
    snprintf(line, sizeof(line), "altp2m remap 1 9 %s", name);
    refused(line, "");
    sees(1, 9, MACHINE_FRAME + 9, 7);
}

/* The guest's calls only narrow, and the command says why one is refused. */
static void audited(void **state)
{
    (void)state;
    ok("altp2m create --access rx");
    ok("altp2m access 1 7 r");
    sees(1, 7, MACHINE_FRAME + 7, 1);
    refused("altp2m access 0 7 r", "");
    sees(0, 7, MACHINE_FRAME + 7, 7);
    says("altp2m info", "isolate");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(views, setup, teardown),
        cmocka_unit_test_setup_teardown(accesses, setup, teardown),
        cmocka_unit_test_setup_teardown(remaps, setup, teardown),
        cmocka_unit_test_setup_teardown(ve_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(isolation, setup, teardown),
        cmocka_unit_test_setup_teardown(one_vcpu, setup, teardown),
        cmocka_unit_test_setup_teardown(shadows, setup, teardown),
        cmocka_unit_test_setup_teardown(audited, setup_audited, teardown),
    };

    return cmocka_run_group_tests_name("altp2m command on the core", tests, NULL, NULL);
}

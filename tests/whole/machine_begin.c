/* SPDX-License-Identifier: MIT */
/* Two domains, as the boot loader would name them, and what is in their memory. */
#include "machine_private.h"
#include <elf.h>
#include <libfdt.h>
#include <stdio.h>
#include <string.h>
#include "core/physmap_private.h"
#include "guest/guest.h"
#include "vendor.h"

#define KERNEL_AT 0x1000000UL /* unused: there is no code */

static const void *kernel_image(uint64_t *size)
{
    static struct {
        Elf64_Ehdr e;
        Elf64_Phdr p[2];
        Elf32_Nhdr n;
        char name[4];
        uint32_t entry;
    } k = {
        .e = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1},
              .e_type = ET_EXEC,
              .e_machine = EM_X86_64,
              .e_version = EV_CURRENT,
              .e_ehsize = sizeof(Elf64_Ehdr),
              .e_phentsize = sizeof(Elf64_Phdr),
              .e_phoff = sizeof(Elf64_Ehdr),
              .e_phnum = 2},
        .p = {{.p_type = PT_LOAD, .p_paddr = PAGE_SIZE, .p_memsz = PAGE_SIZE},
              {.p_type = PT_NOTE, .p_filesz = sizeof(Elf32_Nhdr) + 8}},
        .n = {4, 4, 18},
        .name = "Xen",
        .entry = PAGE_SIZE,
    };

    k.p[1].p_offset = (uint64_t)((char *)&k.n - (char *)&k);
    *size = sizeof(k);
    return &k;
}

static void describe(void *t, unsigned id, const struct machine_options *o)
{
    char node[16];

    snprintf(node, sizeof(node), "domain@%u", id);
    fdt_begin_node(t, node);
    fdt_property_u32(t, "reg", id);
    fdt_property_string(t, "name", id == 1 ? "guest" : "monitor");
    fdt_property_u32(t, "kernel-module", 1);
    fdt_property_string(t, "cmdline", "");
    fdt_property_u64(t, "memory-kib", (id == 1 ? GUEST_RAM : GUEST_RAM / 2) * 4);
    fdt_property_u64(t, "table-memory-kib", id == 1 ? o->tables * 4 : 64);
    fdt_property_u32(t, "vcpus", id == 1 ? GUEST_VCPUS : 1);
    fdt_property_string(t, "altp2m", id == 1 ? "mixed" : "disabled");
    fdt_property_u32(t, "altp2m-count", id == 1 ? 8 : 0);
    if (id == 1) {
        fdt_property_string(t, "altp2m-policy", o->policy == POLICY_AUDITED ? "audited" : "open");
        fdt_property_u32(t, "altp2m-guest-views", o->guest_views);
        fdt_property_u32(t, "altp2m-guest-tables", o->guest_tables);
        if (o->allow) {
            fdt_property_string(t, "altp2m-allow", o->allow);
        }
    } else {
        fdt_property(t, "monitor", NULL, 0);
    }
    fdt_property_string(t, "on-poweroff", "destroy");
    fdt_property_string(t, "on-reboot", "destroy");
    fdt_property_string(t, "on-crash", "destroy");
    fdt_property_string(t, "on-watchdog", "destroy");
    fdt_end_node(t);
}

static void create_domains(const struct machine_options *o)
{
    static uint8_t tree[4096];
    static struct boot_module modules[2];

    fdt_create(tree, sizeof(tree));
    fdt_finish_reservemap(tree);
    fdt_begin_node(tree, "");
    fdt_property_string(tree, "compatible", "facet,boot");
    fdt_begin_node(tree, "domains");
    describe(tree, 1, o);
    describe(tree, 2, o);
    fdt_end_node(tree);
    fdt_end_node(tree);
    EXPECT(fdt_finish(tree) == 0, "no device tree");
    modules[0] = (struct boot_module){tree, sizeof(tree)};
    modules[1].start = kernel_image(&modules[1].size);
    domains_create(modules, 2);
    EXPECT(machine_domain(1) && machine_domain(2), "domains could not be built");
}

static void fill_memory(struct domain *d)
{
    const uint64_t at = (uint64_t)GUEST_TABLES << PAGE_SHIFT, all = 7, large = 0x80;
    uint64_t t[6][512] = {{0}};

    t[0][0] = (at + PAGE_SIZE) | all;
    t[1][0] = (at + 2 * PAGE_SIZE) | all;
    t[2][0] = (at + 3 * PAGE_SIZE) | all;
    for (uint64_t i = 0; i < 512; i++) {
        t[1][i] = i > 0 && i < 8 ? i << 30 | large | all : t[1][i];
        t[2][i] = i > 0 ? i << 21 | large | all : t[2][i];
        t[3][i] = i << PAGE_SHIFT | all;
        t[5][i] = 3ULL << 30 | i << 21 | large | all;
    }
    t[4][0] = (at + 2 * PAGE_SIZE) | 1; /* PDPTEs */
    t[4][3] = (at + 5 * PAGE_SIZE) | 1;
    for (unsigned i = 0; i < 6; i++) {
        machine_poke_gpa(d, at + i * PAGE_SIZE, t[i], PAGE_SIZE);
    }
    machine_lay_code(d);
}

void machine_restart(struct vcpu *v)
{
    bool long_mode = v->id < 2;
    struct vcpu_start s = {
        .rip = CODE_AT(CODE_NR),
        .rsp = (GUEST_STACK + 1) << PAGE_SHIFT,
        .cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_ET | X86_CR0_WP,
        .cr3 = (long_mode ? GUEST_TABLES : GUEST_TABLES + 4) << PAGE_SHIFT,
        .cr4 = X86_CR4_PAE,
        .efer = long_mode ? EFER_LME | EFER_LMA : 0,
        .cs = {8, 0, 0xffffffff, long_mode ? 0xa09b : 0xc09b},
        .ds = {16, 0, 0xffffffff, 0xc093},
        .es = {16, 0, 0xffffffff, 0xc093},
        .ss = {16, 0, 0xffffffff, 0xc093},
        .tr = {24, (uint64_t)(GUEST_TASK << PAGE_SHIFT) + 0x100, 0x67, 0x8b},
    };

    vcpu_reset(v, &s);
}

void machine_create(const struct machine_options *o)
{
    create_domains(o);
    for (unsigned id = 1; id <= 2; id++) {
        struct domain *d = machine_domain(id);

        fill_memory(d);
        for (unsigned i = 0; i < d->nr_vcpus; i++) {
            machine_restart(d->vcpus[i]);
            d->vcpus[i]->guest.initialised = true;
            sched_online(d->vcpus[i]);
        }
    }
}

/* SPDX-License-Identifier: MIT */
/*
 * What a PVH guest finds at its first instruction: the registers of Xen's PVH entry contract
 * (docs/misc/pvh.pandoc in Xen's tree; xen/arch-x86/hvm/start_info.h), the start info, memory map,
 * command line, ACPI root pointer and module. The manifest gives the command line and the module.
 */
#include <string.h>
#include "lib/cpu.h"
#include "lib/test.h"

static const struct hvm_memmap_table_entry *memmap(void)
{
    return (const struct hvm_memmap_table_entry *)start_info->memmap_paddr;
}

static bool in_ram(uint64_t from, uint64_t size)
{
    for (uint32_t i = 0; i < start_info->memmap_entries; i++) {
        const struct hvm_memmap_table_entry *e = &memmap()[i];
        if (e->type == XEN_HVM_MEMMAP_TYPE_RAM && from >= e->addr &&
            from + size <= e->addr + e->size)
            return true;
    }
    return false;
}

static void registers(void)
{
    const struct entry_state *s = &entry_state;

    expect(s->cr0 & (1U << 0), 1);
    check(!(s->cr0 & CR0_PG), "paging is on at entry: cr0 %x", s->cr0);
    expect(s->cr4, 0);
    expect(s->efer, 0);
    expect(s->eflags & (1U << 17 | RFLAGS_IF | RFLAGS_TF), 0);
}

static void header(void)
{
    expect(start_info->magic, XEN_HVM_START_MAGIC_VALUE);
    check(start_info->version >= 1, "version %u has no memory map", start_info->version);
    expect(start_info->reserved, 0);
    check(in_ram((uint64_t)start_info, sizeof(*start_info)), "start info outside RAM");
    check(start_info->memmap_entries > 0, "no memory map");
    check(in_ram(start_info->memmap_paddr,
                 start_info->memmap_entries * sizeof(struct hvm_memmap_table_entry)),
          "memory map outside RAM");
}

static void memory_map(void)
{
    extern uint8_t _image[], _end[];
    char want[24];
    uint64_t ram = 0;

    for (uint32_t i = 0; i < start_info->memmap_entries; i++) {
        const struct hvm_memmap_table_entry *e = &memmap()[i];
        check(e->size > 0 && e->addr + e->size > e->addr, "entry %u is empty or wraps", i);
        for (uint32_t j = 0; j < i; j++) {
            const struct hvm_memmap_table_entry *o = &memmap()[j];
            check(e->addr >= o->addr + o->size || o->addr >= e->addr + e->size,
                  "entries %u and %u overlap", i, j);
        }
        expect(e->reserved, 0);
        if (e->type == XEN_HVM_MEMMAP_TYPE_RAM)
            ram += e->size;
    }
    check(in_ram((uint64_t)_image, (uint64_t)(_end - _image)), "this image is not in RAM");
    if (cmdline_get("memory-mib", want, sizeof(want))) {
        uint64_t mib = 0;
        for (const char *p = want; *p; p++)
            mib = mib * 10 + (uint64_t)(*p - '0');
        check(ram <= mib << 20 && ram >= (mib - 1) << 20, "%lu bytes of RAM, not %lu MiB", ram,
              mib);
    }
}

static void zeroed_bss(void)
{
    static uint8_t pages[3 * 4096];

    for (size_t i = 0; i < sizeof(pages); i++)
        check(pages[i] == 0 || test_is_failing(), "byte %zu of the bss is %x", i, pages[i]);
}

static void command_line(void)
{
    char v[32];

    if (!start_info->cmdline_paddr)
        skip("no command line given");
    check(in_ram(start_info->cmdline_paddr, strlen(cmdline) + 1), "command line outside RAM");
    check(cmdline_get("key", v, sizeof(v)) && strcmp(v, "value") == 0, "got \"%s\"", cmdline);
}

static void module(void)
{
    static const char text[] = "The module of the start test.\n";
    const struct hvm_modlist_entry *m = (const void *)start_info->modlist_paddr;

    if (start_info->nr_modules == 0)
        skip("no module given");
    check(in_ram((uint64_t)m, sizeof(*m)), "module list outside RAM");
    check(in_ram(m->paddr, m->size), "module outside RAM");
    expect(m->size, sizeof(text) - 1);
    check(m->size < sizeof(text) && memcmp((void *)m->paddr, text, m->size) == 0,
          "module's contents differ");
}

static void acpi_root(void)
{
    const uint8_t *p = (const uint8_t *)start_info->rsdp_paddr;
    uint8_t sum = 0;

    if (!p)
        skip("no RSDP");
    check(memcmp(p, "RSD PTR ", 8) == 0, "no RSDP signature at %p", (const void *)p);
    for (unsigned i = 0; i < 20; i++)
        sum += p[i];
    expect(sum, 0);
}

TEST_CASES(CASE(registers), CASE(header), CASE(memory_map), CASE(zeroed_bss), CASE(command_line),
           CASE(module), CASE(acpi_root))

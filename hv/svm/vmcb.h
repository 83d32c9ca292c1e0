/* SPDX-License-Identifier: MIT */
#pragma once

/* The VMCB (AMD64 APM 2, appendix B), intercepts (15.9), exit codes (appendix C). */
#include <facet/types.h>

struct vmcb_segment {
    uint16_t selector, attributes;
    uint32_t limit;
    uint64_t base;
};

struct vmcb {
    /* control area */
    uint16_t cr_reads, cr_writes, dr_reads, dr_writes;
    uint32_t exceptions, misc1, misc2, misc3;
    uint8_t reserved_18[0x3c - 0x18];
    uint16_t pause_threshold, pause_count;
    uint64_t iopm, msrpm, tsc_offset;
    uint32_t asid;
    uint8_t tlb_control, reserved_5d[3];
    uint64_t vintr;
    uint64_t shadow;
    uint64_t exit_code, exit_info1, exit_info2, exit_int_info;
    uint64_t nested;
    uint8_t reserved_98[0xa8 - 0x98];
    uint64_t event;
    uint64_t ncr3;
    uint64_t lbr;
    uint32_t clean, reserved_c4;
    uint64_t next_rip;
    uint8_t nr_bytes, bytes[15];
    uint8_t reserved_e0[0x400 - 0xe0];
    /* state save area */
    struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    uint8_t reserved_4a0[0x4cb - 0x4a0];
    uint8_t cpl;
    uint32_t reserved_4cc;
    uint64_t efer;
    uint8_t reserved_4d8[0x548 - 0x4d8];
    uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
    uint8_t reserved_580[0x5d8 - 0x580];
    uint64_t rsp;
    uint8_t reserved_5e0[0x5f8 - 0x5e0];
    uint64_t rax, star, lstar, cstar, sfmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip, cr2;
    uint8_t reserved_648[0x668 - 0x648];
    uint64_t pat, debugctl;
    uint8_t reserved_678[0x1000 - 0x678];
};
_Static_assert(offsetof(struct vmcb, pause_threshold) == 0x3c, "APM 2, table B-1");
_Static_assert(offsetof(struct vmcb, asid) == 0x58, "APM 2, table B-1");
_Static_assert(offsetof(struct vmcb, vintr) == 0x60, "APM 2, table B-1");
_Static_assert(offsetof(struct vmcb, exit_code) == 0x70, "APM 2, table B-1");
_Static_assert(offsetof(struct vmcb, nested) == 0x90, "APM 2, table B-1");
_Static_assert(offsetof(struct vmcb, event) == 0xa8, "APM 2, table B-1");
_Static_assert(offsetof(struct vmcb, clean) == 0xc0, "APM 2, table B-1");
_Static_assert(offsetof(struct vmcb, next_rip) == 0xc8, "APM 2, table B-1");
_Static_assert(offsetof(struct vmcb, es) == 0x400, "APM 2, table B-2");
_Static_assert(offsetof(struct vmcb, tr) == 0x490, "APM 2, table B-2");
_Static_assert(offsetof(struct vmcb, cpl) == 0x4cb, "APM 2, table B-2");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0, "APM 2, table B-2");
_Static_assert(offsetof(struct vmcb, cr4) == 0x548, "APM 2, table B-2");
_Static_assert(offsetof(struct vmcb, rip) == 0x578, "APM 2, table B-2");
_Static_assert(offsetof(struct vmcb, rsp) == 0x5d8, "APM 2, table B-2");
_Static_assert(offsetof(struct vmcb, rax) == 0x5f8, "APM 2, table B-2");
_Static_assert(offsetof(struct vmcb, cr2) == 0x640, "APM 2, table B-2");
_Static_assert(offsetof(struct vmcb, pat) == 0x668, "APM 2, table B-2");
_Static_assert(sizeof(struct vmcb) == 4096, "APM 2, 15.5.1");

#define MISC1_INTR   (1u << 0)
#define MISC1_NMI    (1u << 1)
#define MISC1_INIT   (1u << 3)
#define MISC1_VINTR  (1u << 4)
#define MISC1_TABLES (0xffu << 6) /* reads and writes of IDTR, GDTR, LDTR, TR */
/* Loads of those in a set of 1 << enum vcpu_descriptor. */
#define MISC1_TABLE_LOADS(set) ((uint32_t)(set) << 9 & 0xfu << 10)
#define MISC1_RDPMC            (1u << 15)
#define MISC1_CPUID            (1u << 18)
#define MISC1_IRET             (1u << 20)
#define MISC1_INTN             (1u << 21)
#define MISC1_INVD             (1u << 22)
#define MISC1_PAUSE            (1u << 23)
#define MISC1_HLT              (1u << 24)
#define MISC1_INVLPG           (1u << 25)
#define MISC1_INVLPGA          (1u << 26)
#define MISC1_IOIO             (1u << 27)
#define MISC1_MSR              (1u << 28)
#define MISC1_TASK             (1u << 29)
#define MISC1_SHUTDOWN         (1u << 31)
#define MISC2_OWN              0x7fu /* VMRUN, VMMCALL, VMLOAD, VMSAVE, STGI, CLGI, SKINIT */
#define MISC2_ICEBP            (1u << 8)
#define MISC2_WBINVD           (1u << 9)
#define MISC2_MONITOR          (1u << 10)
#define MISC2_MWAIT            (1u << 11)
#define MISC2_XSETBV           (1u << 13)

#define MISC3_INVPCID (1u << 2)

#define CR_3 (1u << 3) /* of cr_reads and cr_writes */

#define TLB_KEEP       0u
#define TLB_FLUSH_ALL  1u
#define TLB_FLUSH_ASID 3u

#define VINTR_IRQ      (1ULL << 8)
#define VINTR_PRIORITY (0xfULL << 16)
#define VINTR_IGN_TPR  (1ULL << 20)
#define VINTR_MASKING  (1ULL << 24)

#define NESTED_PAGING (1ULL << 0)
#define SHADOW_ACTIVE (1ULL << 0)

/* EVENTINJ and EXITINTINFO (15.20, 15.7.2) have the form of event_info(). */
#define EVENT_INFO_VALID (1ULL << 31)

/* VMCB clean bits (15.15.3): what the processor may have kept. */
#define CLEAN_INTERCEPTS (1u << 0)
#define CLEAN_MAPS       (1u << 1)
#define CLEAN_ASID       (1u << 2)
#define CLEAN_VINTR      (1u << 3)
#define CLEAN_NESTED     (1u << 4)
#define CLEAN_CR         (1u << 5)
#define CLEAN_DR         (1u << 6)
#define CLEAN_TABLES     (1u << 7)
#define CLEAN_SEGMENTS   (1u << 8)
#define CLEAN_CR2        (1u << 9)
#define CLEAN_ALL        0x3ffu

enum svm_exit_code {
    SVM_CR_READ = 0x00,
    SVM_CR_WRITE = 0x10,
    SVM_EXCEPTION = 0x40,
    SVM_INTR = 0x60,
    SVM_NMI = 0x61,
    SVM_INIT = 0x63,
    SVM_VINTR = 0x64,
    SVM_IDTR_READ = 0x66, /* GDTR, LDTR, TR, then the same for writes */
    SVM_TR_WRITE = 0x6d,
    SVM_RDTSC = 0x6e,
    SVM_RDPMC = 0x6f,
    SVM_CPUID = 0x72,
    SVM_IRET = 0x74,
    SVM_INTN = 0x75,
    SVM_INVD = 0x76,
    SVM_PAUSE = 0x77,
    SVM_HLT = 0x78,
    SVM_INVLPG = 0x79,
    SVM_INVLPGA = 0x7a,
    SVM_IOIO = 0x7b,
    SVM_MSR = 0x7c,
    SVM_TASK = 0x7d,
    SVM_SHUTDOWN = 0x7f,
    SVM_VMRUN = 0x80,
    SVM_VMMCALL = 0x81,
    SVM_VMLOAD = 0x82,
    SVM_VMSAVE = 0x83,
    SVM_STGI = 0x84,
    SVM_CLGI = 0x85,
    SVM_SKINIT = 0x86,
    SVM_ICEBP = 0x88,
    SVM_WBINVD = 0x89,
    SVM_MONITOR = 0x8a,
    SVM_MWAIT = 0x8b,
    SVM_MWAIT_ARMED = 0x8c,
    SVM_XSETBV = 0x8d,
    SVM_INVPCID = 0xa2,
    SVM_NPF = 0x400,
    SVM_INVALID = 0xffffffff, /* all ones; some emulators have the upper half clear */
};

/* EXITINFO1 of a nested page fault (15.25.6). */
#define NPF_PRESENT  (1ULL << 0)
#define NPF_WRITE    (1ULL << 1)
#define NPF_RESERVED (1ULL << 3)
#define NPF_FETCH    (1ULL << 4)
#define NPF_FINAL    (1ULL << 32)
#define NPF_WALK     (1ULL << 33)

/* EXITINFO1 of accesses to control registers, with decode assists: it was MOV, and the GPR. */
#define CR_MOV    (1ULL << 63)
#define CR_GPR(i) ((uint8_t)((i)&15))

/* EXITINFO1 of IOIO (15.10.2). */
#define IOIO_IN      (1u << 0)
#define IOIO_STRING  (1u << 2)
#define IOIO_REP     (1u << 3)
#define IOIO_SIZE(i) ((i) >> 4 & 7)
#define IOIO_PORT(i) ((uint16_t)((i) >> 16))

/* EXITINFO2 of a task switch (15.14.1). */
#define TASK_BY_IRET (1ULL << 36)
#define TASK_BY_JUMP (1ULL << 38)

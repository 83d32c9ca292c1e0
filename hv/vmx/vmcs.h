/* SPDX-License-Identifier: MIT */
#pragma once

/* VMCS fields (SDM 3, appendix B), control bits (24.6 to 24.8) and access to the current VMCS. */
#include <facet/check.h>
#include <facet/types.h>
#include "vcpu/state.h"

enum vmcs_field {
    VPID = 0x0000,
    EPTP_INDEX = 0x0004,
    GUEST_ES_SEL = 0x0800, /* ES CS SS DS FS GS LDTR TR: steps of 2 in each group */
    GUEST_CS_SEL = 0x0802,
    GUEST_SS_SEL = 0x0804,
    GUEST_TR_SEL = 0x080e,
    HOST_ES_SEL = 0x0c00,
    HOST_CS_SEL = 0x0c02,
    HOST_SS_SEL = 0x0c04,
    HOST_DS_SEL = 0x0c06,
    HOST_FS_SEL = 0x0c08,
    HOST_GS_SEL = 0x0c0a,
    HOST_TR_SEL = 0x0c0c,
    MSR_BITMAP = 0x2004,
    TSC_OFFSET = 0x2010,
    VMFUNC_CONTROLS = 0x2018,
    EPT_POINTER = 0x201a,
    EPTP_LIST = 0x2024,
    VE_INFO = 0x202a,
    GUEST_PHYSICAL = 0x2400,
    VMCS_LINK = 0x2800,
    GUEST_DEBUGCTL = 0x2802,
    GUEST_PAT = 0x2804,
    GUEST_EFER = 0x2806,
    GUEST_PDPTE0 = 0x280a,
    HOST_PAT = 0x2c00,
    HOST_EFER = 0x2c02,
    PIN_CONTROLS = 0x4000,
    CPU_CONTROLS = 0x4002,
    EXCEPTION_BITMAP = 0x4004,
    PF_ERROR_MASK = 0x4006,
    PF_ERROR_MATCH = 0x4008,
    CR3_TARGET_COUNT = 0x400a,
    EXIT_CONTROLS = 0x400c,
    EXIT_MSR_STORE_COUNT = 0x400e,
    EXIT_MSR_LOAD_COUNT = 0x4010,
    ENTRY_CONTROLS = 0x4012,
    ENTRY_MSR_LOAD_COUNT = 0x4014,
    ENTRY_INTR_INFO = 0x4016,
    ENTRY_INTR_ERROR = 0x4018,
    ENTRY_INSTR_LENGTH = 0x401a,
    CPU_CONTROLS_2 = 0x401e,
    INSTRUCTION_ERROR = 0x4400,
    EXIT_REASON = 0x4402,
    EXIT_INTR_INFO = 0x4404,
    EXIT_INTR_ERROR = 0x4406,
    IDT_VECTORING_INFO = 0x4408,
    IDT_VECTORING_ERROR = 0x440a,
    EXIT_INSTR_LENGTH = 0x440c,
    EXIT_INSTR_INFO = 0x440e,
    GUEST_ES_LIMIT = 0x4800,
    GUEST_GDTR_LIMIT = 0x4810,
    GUEST_IDTR_LIMIT = 0x4812,
    GUEST_ES_AR = 0x4814,
    GUEST_CS_AR = 0x4816,
    GUEST_SS_AR = 0x4818,
    GUEST_INTERRUPTIBILITY = 0x4824,
    GUEST_ACTIVITY = 0x4826,
    PREEMPTION_TIMER = 0x482e,
    GUEST_SYSENTER_CS = 0x482a,
    HOST_SYSENTER_CS = 0x4c00,
    CR0_MASK = 0x6000,
    CR4_MASK = 0x6002,
    CR0_SHADOW = 0x6004,
    CR4_SHADOW = 0x6006,
    CR3_TARGET_VALUE = 0x6008, /* the first of them */
    EXIT_QUALIFICATION = 0x6400,
    GUEST_LINEAR = 0x640a,
    GUEST_CR0 = 0x6800,
    GUEST_CR3 = 0x6802,
    GUEST_CR4 = 0x6804,
    GUEST_ES_BASE = 0x6806,
    GUEST_FS_BASE = 0x680e,
    GUEST_GS_BASE = 0x6810,
    GUEST_GDTR_BASE = 0x6816,
    GUEST_IDTR_BASE = 0x6818,
    GUEST_DR7 = 0x681a,
    GUEST_RSP = 0x681c,
    GUEST_RIP = 0x681e,
    GUEST_RFLAGS = 0x6820,
    GUEST_PENDING_DEBUG = 0x6822,
    GUEST_SYSENTER_ESP = 0x6824,
    GUEST_SYSENTER_EIP = 0x6826,
    HOST_CR0 = 0x6c00,
    HOST_CR3 = 0x6c02,
    HOST_CR4 = 0x6c04,
    HOST_FS_BASE = 0x6c06,
    HOST_GS_BASE = 0x6c08,
    HOST_TR_BASE = 0x6c0a,
    HOST_GDTR_BASE = 0x6c0c,
    HOST_IDTR_BASE = 0x6c0e,
    HOST_SYSENTER_ESP = 0x6c10,
    HOST_SYSENTER_EIP = 0x6c12,
    HOST_RSP = 0x6c14,
    HOST_RIP = 0x6c16,
};

#define PIN_EXTINT_EXITING (1u << 0)
#define PIN_NMI_EXITING    (1u << 3)
#define PIN_VIRTUAL_NMI    (1u << 5)
#define PIN_PREEMPTION     (1u << 6)

#define CPU_INTERRUPT_WINDOW (1u << 2)
#define CPU_HLT_EXITING      (1u << 7)
#define CPU_MWAIT_EXITING    (1u << 10)
#define CPU_RDPMC_EXITING    (1u << 11)
#define CPU_CR3_LOAD         (1u << 15)
#define CPU_CR8_LOAD         (1u << 19)
#define CPU_CR8_STORE        (1u << 20)
#define CPU_NMI_WINDOW       (1u << 22)
#define CPU_IO_EXITING       (1u << 24)
#define CPU_MONITOR_TRAP     (1u << 27)
#define CPU_MSR_BITMAPS      (1u << 28)
#define CPU_MONITOR_EXITING  (1u << 29)
#define CPU_SECONDARY        (1u << 31)

#define CPU2_EPT          (1u << 1)
#define CPU2_DESCRIPTORS  (1u << 2)
#define CPU2_RDTSCP       (1u << 3)
#define CPU2_VPID         (1u << 5)
#define CPU2_WBINVD       (1u << 6)
#define CPU2_UNRESTRICTED (1u << 7)
#define CPU2_INVPCID      (1u << 12)
#define CPU2_VMFUNC       (1u << 13)
#define CPU2_VE           (1u << 18)

#define EXIT_SAVE_DEBUG      (1u << 2)
#define EXIT_HOST_64         (1u << 9)
#define EXIT_ACK_INTR        (1u << 15)
#define EXIT_SAVE_PAT        (1u << 18)
#define EXIT_LOAD_PAT        (1u << 19)
#define EXIT_SAVE_EFER       (1u << 20)
#define EXIT_SAVE_PREEMPTION (1u << 22)
#define EXIT_LOAD_EFER       (1u << 21)

#define ENTRY_LOAD_DEBUG (1u << 2)
#define ENTRY_IA32E      (1u << 9)
#define ENTRY_LOAD_PAT   (1u << 14)
#define ENTRY_LOAD_EFER  (1u << 15)

/* Interruption information (24.8.3, 24.9.2). */
#define INTR_VALID        (1u << 31)
#define INTR_ERROR_CODE   (1u << 11)
#define INTR_TYPE(info)   ((info) >> 8 & 7)
#define INTR_VECTOR(info) ((info)&0xff)
#define INTR_EXTERNAL     0u
#define INTR_NMI          2u
#define INTR_HARDWARE     3u
#define INTR_SOFTWARE     4u
#define INTR_PRIV_SW      5u
#define INTR_SW_EXC       6u

/* A failed VMREAD or VMWRITE means that Facet named a field that is not there: a bug. */
static inline uint64_t vmread(enum vmcs_field f)
{
    uint64_t v;
    bool bad;

    __asm__ volatile("vmread %2, %0" : "=r"(v), "=@ccbe"(bad) : "r"((uint64_t)f));
    CHECK(!bad);
    return v;
}
static inline void vmwrite(enum vmcs_field f, uint64_t v)
{
    bool bad;

    __asm__ volatile("vmwrite %1, %2" : "=@ccbe"(bad) : "rm"(v), "r"((uint64_t)f));
    CHECK(!bad);
}
static inline enum vmcs_field vmcs_seg(enum vmcs_field first, unsigned seg)
{
    return (enum vmcs_field)(first + 2 * seg);
}

# SPDX-License-Identifier: MIT
HV_GUEST_SRCS := $(addprefix hv/guest/,acpi.c builder.c ending.c console.c context.c cpu_policy.c cpuid.c domain.c domctl.c dtree.c elf_image.c \
              evtchn.c evtchn_bind.c evtchn_op.c foreign.c grant.c grant_copy.c grant_map.c grant_pin.c hvm.c hypercall.c interrupt.c lapic.c made.c memory.c monitor.c msr.c msr_exits.c pio.c reservation.c sched_op.c sysctl.c \
              time.c vcpu_op.c version.c vmevent.c waits.c)
HV_GUEST_SRCS += $(addprefix hv/guest/,monitor_access.c monitor_answer.c monitor_control.c)

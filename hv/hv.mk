# SPDX-License-Identifier: MIT
# The hypervisor image: build/facet.elf, a kernel of Multiboot 1 and 2.
-include hv/guest/guest.mk

HV_SRCS := $(wildcard hv/*.c hv/boot/*.c hv/lib/*.c hv/mm/*.c hv/x86/*.c hv/vcpu/*.c hv/vmx/*.c hv/svm/*.c hv/host/*.c hv/exit/*.c) $(HV_GUEST_SRCS) $(CORE_SRCS)
HV_ASMS := $(wildcard hv/boot/*.S hv/x86/*.S hv/vmx/*.S hv/svm/*.S)
HV_OBJS := $(HV_SRCS:%.c=$(B)/hv/%.o) $(HV_ASMS:%.S=$(B)/hv/%.o)

# No SSE and no red zone: guest FPU state stays in the registers across exits, and interrupts use
# the same stack. -fno-strict-aliasing is not needed and not given.
# Optimized as one program: the exit path crosses many small files. LTO=0 links faster.
LTO ?= 1
HV_LTO := $(if $(filter 1,$(LTO)),-flto=auto)
HV_CFLAGS := -O2 -g $(HV_LTO) $(WARN) -ffreestanding -DFACET_VERSION=\"$(VERSION)\" $(if $(filter 1,$(DEBUG)),-DFACET_DEBUG) $(if $(filter 1,$(STRETCH)),-DFACET_STRETCH) \
             $(if $(wildcard hv/svm/exit.c),-DFACET_SVM) -fno-pic -fno-pie -mcmodel=small -mno-red-zone \
             -mgeneral-regs-only -fno-stack-protector -fno-asynchronous-unwind-tables \
             -ffunction-sections -fdata-sections -fcf-protection=none \
             -Ihv -Iinclude -I. -isystem /usr/include/x86_64-linux-gnu
HV_LIBS := /usr/lib/x86_64-linux-gnu/libfdt.a $(B)/hv/vsnprintf.a /usr/lib/x86_64-linux-musl/libc.a

all: $(B)/facet.elf

$(B)/hv/%.o: %.c
	@mkdir -p $(@D)
	$(INTO) $(CC) $(HV_CFLAGS) $(DEPFLAGS) -c $< -o $@

$(B)/hv/%.o: %.S
	@mkdir -p $(@D)
	$(INTO) $(CC) $(HV_CFLAGS) $(DEPFLAGS) -c $< -o $@

# Only vsnprintf is taken from klibc; memory and string functions come from musl.
$(B)/hv/vsnprintf.a: /usr/lib/klibc/lib/libc.a
	@mkdir -p $(@D)/klibc
	cd $(@D)/klibc && ar x $< vsnprintf.o
	$(INTO) ar rcs $@ $(@D)/klibc/vsnprintf.o

$(B)/facet.elf: $(HV_OBJS) hv/boot/facet.ld $(B)/hv/vsnprintf.a
	$(INTO) $(CC) $(HV_CFLAGS) -nostdlib -static -no-pie -Wl,-T,hv/boot/facet.ld -Wl,--gc-sections -Wl,--build-id=none \
	    -Wl,-z,max-page-size=0x1000 -Wl,-z,noexecstack $(HV_OBJS) $(HV_LIBS) -o $@

# The same hypervisor, which counts its longest stretch (hv/x86/stretch.h).
.PHONY: stretch
stretch:
	$(MAKE) B=$(B)/stretch STRETCH=1 $(B)/stretch/facet.elf

# The same sources through the second compiler: warnings only, nothing is linked.
CLANG ?= clang
HV_CLANG_OBJS := $(HV_SRCS:%.c=$(B)/hv-clang/%.o)
$(B)/hv-clang/%.o: %.c
	@mkdir -p $(@D)
	$(INTO) $(CLANG) $(filter-out -flto%,$(HV_CFLAGS)) $(DEPFLAGS) -c $< -o $@
.PHONY: check-clang-hv
check-clang-hv: $(HV_CLANG_OBJS)

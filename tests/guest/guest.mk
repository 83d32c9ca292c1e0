# SPDX-License-Identifier: MIT
# Test guests: one ELF per tests/guest/*.c, linked with the little framework in tests/guest/lib.
GUEST_DIR := tests/guest
GUEST_SRCS := $(wildcard $(GUEST_DIR)/*.c)
GUEST_ELFS := $(patsubst $(GUEST_DIR)/%.c,$(B)/guest/%.elf,$(GUEST_SRCS))
GUEST_LIB := $(addprefix $(B)/guest/lib/,start.o trap.o page.o hypercall.o event.o)
GUEST_FLAGS = $(WARN) $(DEPFLAGS) -O2 -g -ffreestanding -fno-pie -fno-pic -mno-red-zone \
	-mgeneral-regs-only -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none \
	-m64 -D__XEN_TOOLS__ -I$(GUEST_DIR) -Iinclude
# klibc first: its vsnprintf needs neither floating point nor stdio.
GUEST_LIBC := /usr/lib/klibc/lib/libc.a
GUEST_MEM := /usr/lib/x86_64-linux-musl/libc.a

.PHONY: guests
all: guests
guests: $(GUEST_ELFS)

$(B)/guest/lib/%.o: $(GUEST_DIR)/lib/%.c
	@mkdir -p $(@D)
	$(INTO) $(CC) $(GUEST_FLAGS) -DTEST_NAME='"lib"' -c $< -o $@

$(B)/guest/lib/%.o: $(GUEST_DIR)/lib/%.S
	@mkdir -p $(@D)
	$(INTO) $(CC) -m64 $(DEPFLAGS) -g -c $< -o $@

# test.c knows the guest's name, so each guest has its own object of it.
$(B)/guest/%.main.o: $(GUEST_DIR)/lib/test.c
	@mkdir -p $(@D)
	$(INTO) $(CC) $(GUEST_FLAGS) -DTEST_NAME='"$*"' -c $< -o $@

$(B)/guest/%.o: $(GUEST_DIR)/%.c
	@mkdir -p $(@D)
	$(INTO) $(CC) $(GUEST_FLAGS) -DTEST_NAME='"$*"' -c $< -o $@

$(B)/guest/%.elf: $(B)/guest/%.o $(B)/guest/%.main.o $(GUEST_LIB) $(GUEST_DIR)/lib/guest.lds
	$(INTO) $(CC) -m64 -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,max-page-size=4096 \
		-Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -T $(GUEST_DIR)/lib/guest.lds \
		$(GUEST_LDFLAGS) -o $@ $(filter %.o,$^) $(GUEST_LIBC) $(GUEST_MEM)

$(patsubst $(GUEST_DIR)/%.c,$(B)/guest/%.elf,$(wildcard $(GUEST_DIR)/conform*.c)): \
	$(B)/guest/lib/conform.o

$(patsubst $(GUEST_DIR)/%.c,$(B)/guest/%.elf,$(wildcard $(GUEST_DIR)/grant*.c)): $(B)/guest/lib/grant.o

$(B)/guest/maker.elf: $(B)/guest/lib/grant.o $(B)/guest/lib/monitor.o

# Leaves the first GiB to the test.
$(B)/guest/ept-matrix.elf: GUEST_LDFLAGS := -Wl,--defsym=image_base=0x40100000

# Where a machine has memory, behind the hypervisor.
$(B)/guest/hardware.elf $(B)/guest/hidden.elf $(B)/guest/reset.elf: GUEST_LDFLAGS := -Wl,--defsym=image_base=0x1000000

$(B)/guest/chaos.elf $(B)/guest/mon-watch.elf $(B)/guest/mon-lets.elf $(B)/guest/tasks-pin.elf: $(B)/guest/lib/monitor.o
$(B)/guest/mon-listen.elf $(B)/guest/mon-allow.elf $(B)/guest/carry-watch.elf $(B)/guest/mirror-listens.elf $(B)/guest/tasks-watch.elf $(B)/guest/pae-watch.elf: $(B)/guest/lib/monitor.o $(B)/guest/lib/listen.o
$(addprefix $(B)/guest/,mon-acts.elf mon-tries.elf mon-steps.elf mon-kinds.elf mon-kinds86.elf carried.elf mirror-exits.elf tasks.elf pae.elf): $(B)/guest/lib/target.o
$(B)/guest/mon-kinds.elf: $(patsubst $(GUEST_DIR)/%.c,$(B)/guest/%.o,$(wildcard $(GUEST_DIR)/lib/kinds_*.c))
$(B)/guest/mon-kinds86.elf: $(B)/guest/lib/kinds86_rows.o
$(B)/guest/mon-keeps.elf: $(B)/guest/lib/monitor.o $(B)/guest/lib/listen.o
$(B)/guest/mon-takes.elf: $(B)/guest/lib/target.o
$(B)/guest/mon-verdict.elf: $(B)/guest/lib/monitor.o $(B)/guest/lib/listen.o
$(B)/guest/mon-anew.elf: $(B)/guest/lib/target.o $(B)/guest/lib/smp.o
$(B)/guest/mon-context.elf $(B)/guest/mon-regs.elf: $(B)/guest/lib/monitor.o
$(patsubst $(GUEST_DIR)/%.c,$(B)/guest/%.elf,$(wildcard $(GUEST_DIR)/monitor-*.c)): $(B)/guest/lib/monitor.o
$(B)/guest/attack-watch.elf $(B)/guest/attack-watched.elf: $(B)/guest/lib/monitor.o

$(addprefix $(B)/guest/,smp.elf smp-shows.elf flood.elf flood-beside.elf wakes.elf smp-scale.elf hand.elf seal.elf enter.elf stretch.elf agent-smp.elf agent-tables.elf mon-steps.elf monitor-prey.elf monitor-soak.elf pins.elf pin-tables.elf enter-many.elf mirrors.elf): $(B)/guest/lib/smp.o

$(addprefix $(B)/guest/,enter.elf enter-open.elf enter-many.elf pins.elf pin-tables.elf ticks-enter.elf attack-watched.elf): $(B)/guest/lib/inside.o

.SECONDARY:

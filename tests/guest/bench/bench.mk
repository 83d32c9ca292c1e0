# SPDX-License-Identifier: MIT
# What `facet bench` boots: a piece that runs before a Linux kernel, and a program for its user space.
BENCH_DIR := tests/guest/bench

guests: $(B)/guest/bench-chain.bin $(B)/guest/bench-linux $(B)/guest/bench-churn $(B)/guest/bench-pv

$(B)/guest/bench-chain.elf: $(BENCH_DIR)/chain.c $(BENCH_DIR)/chain.lds $(BENCH_DIR)/marks.h
	@mkdir -p $(@D)
	$(INTO) $(CC) -m32 $(WARN) -O2 -g -ffreestanding -D__XEN_TOOLS__ -fno-pie -fno-pic -mgeneral-regs-only \
		-fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none -nostdlib -static \
		-no-pie -Wl,--build-id=none -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments \
		-T $(BENCH_DIR)/chain.lds -o $@ $<

$(B)/guest/bench-chain.bin: $(B)/guest/bench-chain.elf
	$(INTO) objcopy -O binary $< $@

$(B)/guest/bench-linux: $(BENCH_DIR)/linux.c $(BENCH_DIR)/marks.h $(BENCH_DIR)/say.h include/facet/hvmop.h
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(WARN) -D_GNU_SOURCE -D__XEN_TOOLS__ -Iinclude -O2 -g -static -o $@ $<

$(B)/guest/bench-churn: $(BENCH_DIR)/churn.c $(BENCH_DIR)/marks.h $(BENCH_DIR)/say.h
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(WARN) -D_GNU_SOURCE -O2 -g -static -o $@ $<

$(B)/guest/bench-pv: $(BENCH_DIR)/pv.c $(BENCH_DIR)/marks.h
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(WARN) -D_GNU_SOURCE -O2 -g -static -o $@ $<

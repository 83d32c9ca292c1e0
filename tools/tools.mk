# SPDX-License-Identifier: MIT
# Host tools. tools/altp2m has its own fragment.
TOOL_CFLAGS = $(WARN) -D_GNU_SOURCE -O2 -g $(DEPFLAGS) -Iinclude -I.

CONFIG_LIB = diag xlcfg keys cpus domain tree
# The hypervisor's own reader of what facet-config writes, the names of sub-operations, and the size of pools.
CONFIG_SHARED = hv/guest/dtree core/policy core/pool_size
CONFIG_OBJS = $(CONFIG_LIB:%=$(B)/tools/config/%.o) $(B)/tools/config/main.o \
              $(CONFIG_SHARED:%=$(B)/tools/%.o)
KERNEL_LIB = unpack lzop kernel
KERNEL_OBJS = $(KERNEL_LIB:%=$(B)/tools/kernel/%.o) $(B)/tools/kernel/main.o \
              $(B)/tools/hv/guest/elf_image.o
KERNEL_LIBS = -lz -lbz2 -llzma -llzo2 -llz4 -lzstd

.PHONY: tools run-needs
tools: $(B)/facet-config $(B)/facet-kernel $(B)/seed.so $(B)/sector.bin
all: tools

# What `facet run` and `facet image` use.
run-needs: $(B)/facet-config $(B)/facet-kernel $(B)/seed.so $(B)/sector.bin $(if $(wildcard hv/hv.mk),$(B)/facet.elf)

$(B)/tools/config/%.o: tools/config/%.c
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(TOOL_CFLAGS) -c -o $@ $<

$(B)/tools/core/%.o: core/%.c
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(TOOL_CFLAGS) -c -o $@ $<

# What the hypervisor refuses, by its own words.
$(B)/tools/hv/%.o: hv/%.c
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(TOOL_CFLAGS) -c -o $@ $<

$(B)/tools/kernel/%.o: tools/kernel/%.c
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(TOOL_CFLAGS) -c -o $@ $<

$(B)/facet-config: $(CONFIG_OBJS)
	$(INTO) $(HOSTCC) -o $@ $^ -lfdt

$(B)/facet-kernel: $(KERNEL_OBJS)
	$(INTO) $(HOSTCC) -o $@ $^ $(KERNEL_LIBS)

$(B)/seed.so: tools/runner/seed.c
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(TOOL_CFLAGS) -fPIC -shared -o $@ $<

$(B)/sector.bin: tools/loader/sector.S
	@mkdir -p $(@D)
	$(CC) -m32 -c -o $(@:.bin=.o) $<
	$(INTO) $(LD) -m elf_i386 -Ttext 0x7c00 -e start --oformat binary -o $@ $(@:.bin=.o)

include $(wildcard tools/altp2m/altp2m.mk tools/check/check.mk tests/fuzz/tools.mk)

# SPDX-License-Identifier: MIT
# Unit tests of tools/config and tools/kernel, with sanitizers.
TOOL_TEST_FLAGS = -fsanitize=address,undefined -fno-sanitize-recover=all -O1 -g
TOOL_TEST_OBJ = $(B)/unit-tools

.PHONY: unit unit-tools
unit-tools: $(B)/test_xlcfg $(B)/test_kernel
	$(B)/test_xlcfg
	$(B)/test_kernel
unit: unit-tools

$(TOOL_TEST_OBJ)/%.o: %.c
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(WARN) -D_GNU_SOURCE -Iinclude -I. -Itools/config -Itools/kernel $(TOOL_TEST_FLAGS) $(DEPFLAGS) \
		-c -o $@ $<

$(B)/test_xlcfg: $(TOOL_TEST_OBJ)/tests/unit/test_xlcfg.o \
		$(CONFIG_LIB:%=$(TOOL_TEST_OBJ)/tools/config/%.o) $(CONFIG_SHARED:%=$(TOOL_TEST_OBJ)/%.o)
	$(INTO) $(HOSTCC) $(TOOL_TEST_FLAGS) -o $@ $^ -lcmocka -lfdt

$(B)/test_kernel: $(TOOL_TEST_OBJ)/tests/unit/test_kernel.o \
		$(KERNEL_LIB:%=$(TOOL_TEST_OBJ)/tools/kernel/%.o) $(TOOL_TEST_OBJ)/hv/guest/elf_image.o
	$(INTO) $(HOSTCC) $(TOOL_TEST_FLAGS) -o $@ $^ -lcmocka $(KERNEL_LIBS)

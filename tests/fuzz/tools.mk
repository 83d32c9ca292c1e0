# SPDX-License-Identifier: MIT
# libFuzzer targets of the host tools. `make fuzz-smoke` runs each for a while, always the same
# way; `$(B)/fuzz_xlcfg DIRECTORY` goes on for as long as one likes.
FUZZ_CC ?= clang
FUZZ_FLAGS = -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -O1 -g
FUZZ_TOOL_OBJ = $(B)/fuzz-tools
FUZZ_TOOLS = xlcfg kernel watch

.PHONY: fuzz-smoke fuzz-tools
fuzz-tools: $(FUZZ_TOOLS:%=$(B)/fuzz_%)
fuzz-smoke: $(FUZZ_TOOLS:%=fuzz-smoke-%)

.PHONY: $(FUZZ_TOOLS:%=fuzz-smoke-%)
$(FUZZ_TOOLS:%=fuzz-smoke-%): fuzz-smoke-%: $(B)/fuzz_%
	@rm -rf $(B)/fuzz-found/$* && mkdir -p $(B)/fuzz-found/$*
	@if $< -runs=20000 -seed=1 -max_len=1024 -timeout=10 -artifact_prefix=$(B)/fuzz_$*- \
		$(B)/fuzz-found/$* tests/fuzz/seeds/$* >$(B)/fuzz_$*.log 2>&1; \
	then echo "ok - fuzz_$*"; \
	else echo "not ok - fuzz_$*"; tail -n 20 $(B)/fuzz_$*.log | sed 's/^/# /'; exit 1; fi

$(FUZZ_TOOL_OBJ)/%.o: %.c
	@mkdir -p $(@D)
	$(INTO) $(FUZZ_CC) $(WARN) -D_GNU_SOURCE -Iinclude -I. -Itools/config -Itools/kernel -Itools/altp2m -Itests/unit $(FUZZ_FLAGS) $(DEPFLAGS) -c -o $@ $<

$(B)/fuzz_xlcfg: $(FUZZ_TOOL_OBJ)/tests/fuzz/fuzz_xlcfg.o \
		$(CONFIG_LIB:%=$(FUZZ_TOOL_OBJ)/tools/config/%.o) $(CONFIG_SHARED:%=$(FUZZ_TOOL_OBJ)/%.o)
	$(INTO) $(FUZZ_CC) $(FUZZ_FLAGS) -o $@ $^ -lfdt -lxlutil

$(B)/fuzz_kernel: $(FUZZ_TOOL_OBJ)/tests/fuzz/fuzz_kernel.o \
		$(KERNEL_LIB:%=$(FUZZ_TOOL_OBJ)/tools/kernel/%.o) $(FUZZ_TOOL_OBJ)/hv/guest/elf_image.o
	$(INTO) $(FUZZ_CC) $(FUZZ_FLAGS) -o $@ $^ $(KERNEL_LIBS)

FUZZ_WATCH = tests/fuzz/fuzz_watch tests/unit/made_kernel $(addprefix tools/altp2m/,btf expr kallsyms modules symbols)
$(B)/fuzz_watch: $(FUZZ_WATCH:%=$(FUZZ_TOOL_OBJ)/%.o)
	$(INTO) $(FUZZ_CC) $(FUZZ_FLAGS) -o $@ $^ -lcmocka

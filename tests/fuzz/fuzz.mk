# SPDX-License-Identifier: MIT
# libFuzzer target of the core. `make fuzz-smoke` runs every target for a while, always the same way;
# `make fuzz-altp2m FUZZ_SECONDS=1800` goes on, and keeps what it finds in $(B)/fuzz-corpus/altp2m.
CORE_FUZZ_CC = clang
CORE_FUZZ_FLAGS = -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -O1 -g
CORE_FUZZ_OBJS = $(patsubst %.c,$(B)/fuzz-core/%.o,tests/fuzz/fuzz_altp2m.c tests/unit/fake.c $(CORE_SRCS))
FUZZ_SECONDS ?= 60

.PHONY: fuzz-smoke fuzz-smoke-altp2m fuzz-altp2m
fuzz-smoke: fuzz-smoke-altp2m

$(B)/fuzz-core/%.o: %.c
	@mkdir -p $(@D)
	$(CORE_FUZZ_CC) $(WARN) $(CORE_FUZZ_FLAGS) -Iinclude -I. -Itests/unit $(DEPFLAGS) -c -o $@ $<

$(B)/fuzz_altp2m: $(CORE_FUZZ_OBJS)
	$(CORE_FUZZ_CC) $(CORE_FUZZ_FLAGS) -o $@ $^

fuzz-smoke-altp2m: $(B)/fuzz_altp2m
	@rm -rf $(B)/fuzz-found/altp2m && mkdir -p $(B)/fuzz-found/altp2m
	@if $< -runs=8000 -seed=1 -max_len=600 -len_control=0 -timeout=10 \
		-artifact_prefix=$(B)/fuzz_altp2m- $(B)/fuzz-found/altp2m >$(B)/fuzz_altp2m.log 2>&1; \
	then echo "ok - fuzz_altp2m"; \
	else echo "not ok - fuzz_altp2m"; tail -n 20 $(B)/fuzz_altp2m.log | sed 's/^/# /'; exit 1; fi

fuzz-altp2m: $(B)/fuzz_altp2m
	@mkdir -p $(B)/fuzz-corpus/altp2m
	$< -max_total_time=$(FUZZ_SECONDS) -max_len=1200 -timeout=20 -print_final_stats=1 \
	    -artifact_prefix=$(B)/fuzz_altp2m- $(B)/fuzz-corpus/altp2m

include $(filter-out tests/fuzz/fuzz.mk $(MAKEFILE_LIST),$(wildcard tests/fuzz/*.mk))

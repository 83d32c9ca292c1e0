# SPDX-License-Identifier: MIT
# libFuzzer targets of the core. `make fuzz-smoke` runs every target for a while, always the same way;
# `make fuzz-altp2m FUZZ_SECONDS=1800` goes on, and keeps what it finds in $(B)/fuzz-corpus/altp2m.
CORE_FUZZ_CC = clang
CORE_FUZZ_FLAGS = -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -O1 -g
CORE_FUZZ_OBJS = $(patsubst %.c,$(B)/fuzz-core/%.o,tests/unit/fake.c tests/unit/fake_platform.c tests/unit/grammar.c hv/svm/npt.c $(CORE_SRCS))
CORE_FUZZ = altp2m adversary
FUZZ_SECONDS ?= 60

.PHONY: fuzz-smoke $(CORE_FUZZ:%=fuzz-smoke-%) $(CORE_FUZZ:%=fuzz-%)
fuzz-smoke: $(CORE_FUZZ:%=fuzz-smoke-%)

$(B)/fuzz-core/%.o: %.c
	@mkdir -p $(@D)
	$(INTO) $(CORE_FUZZ_CC) $(WARN) $(CORE_FUZZ_FLAGS) -Iinclude -I. -Itests/unit $(DEPFLAGS) -c -o $@ $<

$(B)/fuzz_altp2m: $(B)/fuzz-core/tests/fuzz/fuzz_altp2m.o $(CORE_FUZZ_OBJS)
	$(INTO) $(CORE_FUZZ_CC) $(CORE_FUZZ_FLAGS) -o $@ $^

$(B)/fuzz_adversary: $(patsubst %,$(B)/fuzz-core/tests/%.o,fuzz/fuzz_adversary unit/adversary) \
		$(CORE_FUZZ_OBJS)
	$(INTO) $(CORE_FUZZ_CC) $(CORE_FUZZ_FLAGS) -o $@ $^

$(CORE_FUZZ:%=fuzz-smoke-%): fuzz-smoke-%: $(B)/fuzz_%
	@rm -rf $(B)/fuzz-found/$* && mkdir -p $(B)/fuzz-found/$*
	@if $< -runs=8000 -seed=1 -max_len=600 -len_control=0 -timeout=10 \
		-artifact_prefix=$(B)/fuzz_$*- $(B)/fuzz-found/$* >$(B)/fuzz_$*.log 2>&1; \
	then echo "ok - fuzz_$*"; \
	else echo "not ok - fuzz_$*"; tail -n 20 $(B)/fuzz_$*.log | sed 's/^/# /'; exit 1; fi

$(CORE_FUZZ:%=fuzz-%): fuzz-%: $(B)/fuzz_%
	@mkdir -p $(B)/fuzz-corpus/$*
	$< -max_total_time=$(FUZZ_SECONDS) -max_len=1200 -timeout=20 -print_final_stats=1 \
	    -artifact_prefix=$(B)/fuzz_$*- $(B)/fuzz-corpus/$*

include $(filter-out tests/fuzz/fuzz.mk $(MAKEFILE_LIST),$(wildcard tests/fuzz/*.mk))

# SPDX-License-Identifier: MIT
# libFuzzer target of the whole hypervisor (tests/whole). `make fuzz-whole FUZZ_SECONDS=1800` goes on.
WHOLE_FUZZ_SRCS = tests/fuzz/fuzz_whole.c $(WHOLE_TEST) $(WHOLE_HV)

$(B)/fuzz-whole/%.o: %.c
	@mkdir -p $(@D)
	$(CORE_FUZZ_CC) $(WHOLE_FLAGS) $(CORE_FUZZ_FLAGS) $(DEPFLAGS) -c -o $(@:.o=.raw) $<
	$(INTO) objcopy $(if $(filter $<,$(WHOLE_HV)),$(WHOLE_RENAME)) $(@:.o=.raw) $@

$(B)/fuzz_whole: $(patsubst %.c,$(B)/fuzz-whole/%.o,$(WHOLE_FUZZ_SRCS))
	$(INTO) $(CORE_FUZZ_CC) $(CORE_FUZZ_FLAGS) -o $@ $^ -lfdt

.PHONY: fuzz-smoke-whole fuzz-whole
fuzz-smoke: fuzz-smoke-whole
fuzz-smoke-whole: $(B)/fuzz_whole
	@rm -rf $(B)/fuzz-found/whole && mkdir -p $(B)/fuzz-found/whole
	@if $< -runs=300 -seed=1 -max_len=600 -len_control=0 -timeout=20 \
		-artifact_prefix=$(B)/fuzz_whole- $(B)/fuzz-found/whole >$(B)/fuzz_whole.log 2>&1; \
	then echo "ok - fuzz_whole"; \
	else echo "not ok - fuzz_whole"; tail -n 20 $(B)/fuzz_whole.log | sed 's/^/# /'; exit 1; fi

fuzz-whole: $(B)/fuzz_whole
	@mkdir -p $(B)/fuzz-corpus/whole
	$< -max_total_time=$(FUZZ_SECONDS) -max_len=1600 -timeout=20 -print_final_stats=1 \
	    -artifact_prefix=$(B)/fuzz_whole- $(B)/fuzz-corpus/whole

# SPDX-License-Identifier: MIT
# libFuzzer target of the instruction decoder, with Zydis as the oracle. Its inputs need no seeds.
.PHONY: fuzz-smoke fuzz-smoke-decode
fuzz-smoke: fuzz-smoke-decode
fuzz-smoke-decode: $(B)/fuzz_decode
	@rm -rf $(B)/fuzz-found/decode && mkdir -p $(B)/fuzz-found/decode
	@if $< -runs=100000 -seed=1 -max_len=20 -timeout=10 -artifact_prefix=$(B)/fuzz_decode- \
		$(B)/fuzz-found/decode >$(B)/fuzz_decode.log 2>&1; \
	then echo "ok - fuzz_decode"; \
	else echo "not ok - fuzz_decode"; tail -n 20 $(B)/fuzz_decode.log | sed 's/^/# /'; exit 1; fi

HV_FUZZ_FLAGS = -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -O1 -g
$(B)/fuzz-hv/%.o: %.c
	@mkdir -p $(@D)
	$(INTO) $(or $(FUZZ_CC),clang) $(WARN) -D_GNU_SOURCE $(HV_FUZZ_FLAGS) -Iinclude -I. -Ihv $(DEPFLAGS) -c -o $@ $<

$(B)/fuzz_decode: $(patsubst %,$(B)/fuzz-hv/%.o,tests/fuzz/fuzz_decode tests/unit/decode_oracle hv/exit/decode)
	$(INTO) $(or $(FUZZ_CC),clang) $(HV_FUZZ_FLAGS) -o $@ $^ -lZydis

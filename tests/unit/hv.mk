# SPDX-License-Identifier: MIT
# Host tests of the parts of hv/ that need no processor of their own: each program compiles the
# source it tests into itself, or links it.
HV_TEST_FLAGS = $(WARN) -DFACET_VERSION=\"$(VERSION)\" -D_GNU_SOURCE -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all \
                -Iinclude -I. -Ihv -Itests/unit
HV_TESTS = $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_hv_*.c))

.PHONY: unit-hv
unit: unit-hv
unit-hv: $(HV_TESTS:%=$(B)/unit-hv/%)
	@status=0; for t in $^; do CMOCKA_MESSAGE_OUTPUT=TAP $$t || status=1; done; exit $$status

$(B)/unit-hv/%.o: %.c
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(HV_TEST_FLAGS) $(DEPFLAGS) -c $< -o $@

$(B)/unit-hv/test_hv_%: $(B)/unit-hv/tests/unit/test_hv_%.o $(B)/unit-hv/tests/unit/hv_test.o
	$(INTO) $(HOSTCC) $(HV_TEST_FLAGS) $^ -lcmocka $(HV_TEST_LIBS) -o $@

$(B)/unit-hv/test_hv_decode: $(patsubst %,$(B)/unit-hv/%.o,tests/unit/decode_oracle hv/exit/decode)
$(B)/unit-hv/test_hv_decode: HV_TEST_LIBS = -lZydis
$(B)/unit-hv/test_hv_touch: $(patsubst %,$(B)/unit-hv/%.o,hv/exit/touch hv/exit/decode)
$(B)/unit-hv/test_hv_touch: HV_TEST_LIBS = -lZydis
$(B)/unit-hv/tests/unit/test_hv_svm% $(B)/unit-hv/hv/svm/%.o: HV_TEST_FLAGS += -DFACET_SVM
$(B)/unit-hv/test_hv_instruction: $(patsubst %,$(B)/unit-hv/%.o,hv/vcpu/instruction hv/x86/code)
$(B)/unit-hv/test_hv_instruction: HV_TEST_LIBS = -lZydis
$(B)/unit-hv/test_hv_needs: $(patsubst %,$(B)/unit-hv/%.o,hv/x86/needs hv/vmx/needs hv/svm/needs tools/check/check tools/check/facts)
$(B)/unit-hv/test_hv_boot $(B)/unit-hv/test_hv_processors: $(B)/unit-hv/hv/mm/ram.o
$(B)/unit-hv/test_hv_host_memory: $(B)/unit-hv/hv/mm/ram.o
$(B)/unit-hv/test_hv_entry_state: $(B)/unit-hv/hv/vcpu/entry_state.o

include tests/fuzz/hv.mk

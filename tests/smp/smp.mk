# SPDX-License-Identifier: MIT
# Host test of the protocols for several processors (machine.h), under ThreadSanitizer. Whether it finds what is wrong: mutants.py.
SMP_HV = hv/x86/smp.c hv/vcpu/remote.c hv/vcpu/sched.c hv/vcpu/load.c hv/exit/run.c hv/platform.c $(CORE_SRCS)
SMP_TEST = $(patsubst %,tests/smp/%.c,test_smp machine threads guest_side calls)
SMP_FLAGS = $(WARN) -Wno-unused-variable -D_GNU_SOURCE -DFACET_DEBUG -DWORK_EFFORT=2u -Dsched_yield=hv_sched_yield -DFACET_VERSION=\"$(VERSION)\" -O1 -g \
            -Iinclude -I. -Ihv -Itests/smp -include tests/smp/processor.h

# Threads may meet at each basic block of what is tested (threads.h).
$(B)/smp/%.o: SMP_SANITIZE = -fsanitize=thread
$(patsubst %.c,$(B)/smp/%.o,$(SMP_HV)): SMP_SANITIZE = -fsanitize=thread -fsanitize-coverage=trace-pc
$(B)/smp/tests/smp/threads.o: SMP_SANITIZE =
$(B)/smp/%.o: %.c
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(SMP_FLAGS) $(SMP_SANITIZE) $(DEPFLAGS) -c $< -o $@

$(B)/unit/test_smp: $(patsubst %.c,$(B)/smp/%.o,$(SMP_TEST) $(SMP_HV))
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) -fsanitize=thread $^ -lcmocka -o $@

.PHONY: unit-smp
unit-smp: $(B)/unit/test_smp
	@CMOCKA_MESSAGE_OUTPUT=TAP $<

unit: unit-smp

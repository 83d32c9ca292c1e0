# SPDX-License-Identifier: MIT
# Host tests of the guest interface: what comes from files, and what guests drive from inside.
.PHONY: unit-guest
unit: unit-guest

GUEST_TESTS = test_guest_loader test_guest_lapic test_guest_evtchn
unit-guest: $(GUEST_TESTS:%=$(B)/unit-hv/%)
	@status=0; for t in $^; do CMOCKA_MESSAGE_OUTPUT=TAP $$t || status=1; done; exit $$status

$(B)/unit-hv/test_guest_%: $(B)/unit-hv/tests/unit/test_guest_%.o
	$(INTO) $(HOSTCC) $(HV_TEST_FLAGS) $^ -lcmocka -lfdt -o $@

GUEST_EVTCHN = $(patsubst %,$(B)/unit-hv/hv/guest/%.o,evtchn evtchn_bind evtchn_op)
GUEST_FAKE = $(B)/unit-hv/tests/unit/guest_fake.o $(B)/unit-hv/tests/unit/hv_test.o
$(B)/unit-hv/test_guest_loader: $(B)/unit-hv/hv/guest/elf_image.o $(B)/unit-hv/hv/guest/dtree.o \
                              $(B)/unit-hv/core/policy.o
$(B)/unit-hv/test_guest_lapic: $(B)/unit-hv/hv/guest/lapic.o $(B)/unit-hv/hv/guest/interrupt.o $(B)/unit-hv/hv/guest/waits.o $(GUEST_EVTCHN) $(GUEST_FAKE)
$(B)/unit-hv/test_guest_evtchn: $(B)/unit-hv/hv/guest/lapic.o $(B)/unit-hv/hv/guest/interrupt.o $(GUEST_EVTCHN) $(B)/unit-hv/hv/guest/waits.o $(GUEST_FAKE)

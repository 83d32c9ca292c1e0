# SPDX-License-Identifier: MIT
# Host tests of the guest interface's parsers: what comes from files.
unit: unit-guest

$(B)/unit/test_guest_loader: $(addprefix $(B)/unit/,tests/unit/test_guest_loader.o hv/guest/elf_image.o \
        hv/guest/dtree.o)
	$(HOSTCC) $(SANITIZE) $^ -lcmocka -lfdt -o $@

.PHONY: unit-guest
unit-guest: $(B)/unit/test_guest_loader
	@CMOCKA_MESSAGE_OUTPUT=TAP $<

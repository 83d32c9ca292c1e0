# SPDX-License-Identifier: MIT
# What is made from the table of sub-operations and checked in: docs/reference.md and the client stubs.
# And docs/audit.md against the table and the tests, and that only the hand reaches into guests.
INTERFACE_DEPS = tools/interface/rows.c tools/interface/rows.h core/args.h core/subops.h core/fields.h \
                 core/policy.c core/policy.h include/facet/hvmop.h
.PHONY: reference stubs format check-reference
unit: check-reference

$(B)/facet-reference $(B)/facet-stubs: $(B)/facet-%: tools/interface/%.c $(INTERFACE_DEPS)
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(WARN) -O1 -Iinclude -I. -o $@ $< tools/interface/rows.c core/policy.c

reference: $(B)/facet-reference
	$< >$(B)/reference.part && mv -f $(B)/reference.part docs/reference.md

stubs: $(B)/facet-stubs
	$< >$(B)/stubs.part && mv -f $(B)/stubs.part include/facet/altp2m_stubs.h

format:
	python3 tests/unit/check_format.py --write

check-reference: $(B)/facet-reference $(B)/facet-stubs
	@if $(B)/facet-reference | cmp -s - docs/reference.md; then echo "ok - docs/reference.md is current"; \
	else echo "not ok - docs/reference.md is stale: run make reference"; exit 1; fi
	@if $(B)/facet-stubs | cmp -s - include/facet/altp2m_stubs.h; then \
		echo "ok - include/facet/altp2m_stubs.h is current"; \
	else echo "not ok - include/facet/altp2m_stubs.h is stale: run make stubs"; exit 1; fi
	@python3 tests/unit/check_audit.py $(B)/facet-reference
	@python3 tests/unit/check_hand.py
	@python3 tests/unit/check_rooms.py
	@python3 tests/unit/check_format.py

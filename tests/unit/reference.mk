# SPDX-License-Identifier: MIT
# docs/reference.md is made from the table of sub-operations, and has a section of the audit for each.
.PHONY: reference check-reference
unit: check-reference

$(B)/facet-reference: tools/reference.c core/policy.c core/subops.h core/policy.h include/facet/hvmop.h
	@mkdir -p $(@D)
	$(HOSTCC) $(WARN) -O1 -Iinclude -I. -o $@ tools/reference.c core/policy.c

reference: $(B)/facet-reference
	$< >docs/reference.md

check-reference: $(B)/facet-reference
	@if $< | cmp -s - docs/reference.md; then echo "ok - docs/reference.md is current"; \
	else echo "not ok - docs/reference.md is stale: run make reference"; exit 1; fi
	@missing=$$($< | sed -n 's/^## //p' | while read -r name; do \
		grep -q "^### .*$$name" docs/audit.md || echo "$$name"; done); \
	if [ -z "$$missing" ]; then echo "ok - docs/audit.md has a section for each sub-operation"; \
	else echo "not ok - docs/audit.md lacks a section for: $$missing"; exit 1; fi

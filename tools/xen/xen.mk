# SPDX-License-Identifier: MIT
# What runs in dom0 of real Xen (whose headers of saved states want GNU C), beside Debian's own programs. Not part of `make all`.
$(B)/xen-tables: tools/xen/tables.c
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(WARN) -std=gnu11 -O2 -g -o $@ $< -lxenctrl

.PHONY: xen-needs
xen-needs: $(B)/xen-tables

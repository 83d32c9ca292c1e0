# SPDX-License-Identifier: MIT
# `facet check`: whether a machine would do, by the hypervisor's own decisions.
CHECK_SRCS = tools/check/main.c tools/check/check.c tools/check/facts.c tools/altp2m/json.c \
             hv/x86/needs.c hv/vmx/needs.c hv/svm/needs.c
CHECK_CFLAGS = $(WARN) -D_GNU_SOURCE -Iinclude -I. -Ihv -O2 -g $(DEPFLAGS)

.PHONY: facet-check
facet-check: $(B)/facet-check
all: facet-check

$(B)/tools/facet-check/%.o: %.c
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(CHECK_CFLAGS) -c -o $@ $<

$(B)/facet-check: $(CHECK_SRCS:%.c=$(B)/tools/facet-check/%.o)
	$(INTO) $(HOSTCC) -o $@ $^

# SPDX-License-Identifier: MIT
# Host tools. tools/altp2m has its own fragment.
TOOL_CFLAGS = $(WARN) -D_GNU_SOURCE -O2 -g $(DEPFLAGS)

CONFIG_LIB = diag xlcfg domain tree
CONFIG_OBJS = $(CONFIG_LIB:%=$(B)/tools/config/%.o) $(B)/tools/config/main.o

.PHONY: tools
tools: $(B)/facet-config
all: tools

$(B)/tools/config/%.o: tools/config/%.c
	@mkdir -p $(@D)
	$(HOSTCC) $(TOOL_CFLAGS) -c -o $@ $<

$(B)/facet-config: $(CONFIG_OBJS)
	$(HOSTCC) -o $@ $^ -lfdt

include $(wildcard tools/altp2m/altp2m.mk)

# SPDX-License-Identifier: MIT
# The demo's guest program, static like the altp2m command, whose library it uses.
DEMO_OBJS = $(patsubst demo/guest/%.c,$(B)/demo/%.o,$(wildcard demo/guest/*.c))

.PHONY: demo
demo: $(B)/facet-demo $(B)/facet-target $(B)/facet-usermap $(B)/greet $(B)/altp2m
all: demo

$(B)/demo/%.o: demo/guest/%.c
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(WARN) -D_GNU_SOURCE -Iinclude -Itools/altp2m -O2 -g $(DEPFLAGS) -c -o $@ $<

$(B)/facet-demo: $(DEMO_OBJS) $(B)/tools/altp2m/libaltp2m.a
	$(INTO) $(HOSTCC) -static -o $@ $^ $(ALTP2M_LDLIBS)

# What the tutorial puts a breakpoint into; at a fixed address, so that it can be told before.
$(B)/greet: demo/tutorial/greet.c
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(WARN) -D_GNU_SOURCE -O2 -fcf-protection=none $(DEPFLAGS) -static -no-pie -o $@ $<

# What the watched guest of the monitor's demo does.
$(B)/facet-target: demo/monitor/target.c
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(WARN) -D_GNU_SOURCE -O2 -g -static -o $@ $<

# What attacks the agent's guest from user space.
$(B)/facet-usermap: demo/agent/usermap.c
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(WARN) -D_GNU_SOURCE -O2 -g -static -o $@ $<

# SPDX-License-Identifier: MIT
# The altp2m command: one static binary, so that it also runs in a guest's initramfs. What only a
# monitor needs is in it, but opens its devices only when used.
ALTP2M_LIB = hypercall_xen subop own survey words parse json ranges command cmd_info cmd_list cmd_views cmd_pages cmd_own \
             hypercall_monitor control ring guestmem symbols cmd_agent cmd_domains cmd_map cmd_watch watch_parse watch_view watch_pair watch_print \
             watch_kernel watch_place watch_call watch_expr watch_act cmd_graph files kallsyms modules btf expr
ALTP2M_CFLAGS = $(WARN) -D_GNU_SOURCE -Iinclude -I. -Itools/altp2m -O2 -g $(DEPFLAGS)
ALTP2M_LDLIBS = -lxenevtchn -lxenforeignmemory -lxencall -lxentoollog -lxentoolcore

.PHONY: altp2m
altp2m: $(B)/altp2m
all: altp2m

$(B)/tools/altp2m/%.o: tools/altp2m/%.c
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(ALTP2M_CFLAGS) -c -o $@ $<

# Shared with the demo's guest program.
$(B)/tools/altp2m/libaltp2m.a: $(ALTP2M_LIB:%=$(B)/tools/altp2m/%.o)
	$(INTO) $(AR) rcs $@ $^

$(B)/altp2m: $(B)/tools/altp2m/main.o $(B)/tools/altp2m/libaltp2m.a
	$(INTO) $(HOSTCC) -static -o $@ $^ $(ALTP2M_LDLIBS)

include $(wildcard tests/unit/altp2m-tool.mk)

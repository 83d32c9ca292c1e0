# SPDX-License-Identifier: MIT
# The agent library, and guests with an agent: tests/guest/agent-*.c and agent/examples/*.c.
AGENT_B := $(B)/agent
# One object for every user: linked at any address, above 2 GiB from the top or below 2 GiB.
AGENT_FLAGS = $(WARN) $(DEPFLAGS) -O2 -g -ffreestanding -fno-pie -fno-pic -mcmodel=kernel \
	-mno-red-zone -mgeneral-regs-only -ffixed-r14 -ffixed-r15 -fno-stack-protector -fno-asynchronous-unwind-tables \
	-fcf-protection=none -fno-jump-tables -fno-tree-loop-distribute-patterns -m64 \
	-D__XEN_TOOLS__ -Iagent -Iinclude
AGENT_LIB := $(AGENT_B)/libagent.a
AGENT_LIB_OBJS := $(addprefix $(AGENT_B)/,altp2m.o vmfunc.o vmfunc_entry.o gate.o shield.o enter.o tables_find.o)
# What runs in the agent's view, but for the embedder's part.
AGENT_CORE_OBJS := $(addprefix $(AGENT_B)/,gate_entry.o guard.o tables.o)

.PHONY: agent
all: agent
agent: $(AGENT_LIB) $(AGENT_B)/vault.core.o $(AGENT_B)/examples/shield.elf \
	$(AGENT_B)/examples/views.elf

$(AGENT_B)/%.o: agent/%.c
	@mkdir -p $(@D)
	$(INTO) $(CC) $(AGENT_FLAGS) -c $< -o $@

$(AGENT_B)/%.o: agent/%.S
	@mkdir -p $(@D)
	$(INTO) $(CC) -m64 $(DEPFLAGS) -g -c $< -o $@

# A compiler may call these of its own accord: in a sealed guest they would be the kernel's.
$(AGENT_LIB): $(AGENT_LIB_OBJS)
	@if nm -u $^ | grep -E '\<(mem(cpy|set|move|cmp)|__stack_chk_fail)\>'; then echo "the agent's library needs these" >&2; exit 1; fi
	$(INTO) $(AR) rcs $@ $^

# Whatever the agent's view needs must be in this one object: it can call nothing else there.
define AGENT_LINK_CORE
	@mkdir -p $(@D)
	$(LD) -r -T agent/agent.lds -o $@.all $(filter %.o,$^)
	@if nm -u $@.all | grep -q .; then echo "$@ needs what the agent's view lacks:" >&2; \
		nm -u $@.all >&2; exit 1; fi
	$(INTO) cp $@.all $@
endef
$(AGENT_B)/vault.core.o: $(AGENT_CORE_OBJS) $(AGENT_B)/examples/vault.o agent/agent.lds
	$(AGENT_LINK_CORE)

AGENT_GUEST_HOOKS := $(AGENT_B)/examples/guest_hooks.guest.o
# Guests with the example's agent in them, on the test guests' framework.
$(B)/guest/agent-%.o $(B)/guest/enter-attacks.o $(AGENT_B)/examples/%.guest.o $(AGENT_GUEST_HOOKS): \
		GUEST_FLAGS += -Iagent -Iagent/examples

$(AGENT_B)/examples/%.guest.o: agent/examples/%.c
	@mkdir -p $(@D)
	$(INTO) $(CC) $(GUEST_FLAGS) -DTEST_NAME='"$*"' -c $< -o $@

$(AGENT_B)/examples/%.main.o: tests/guest/lib/test.c
	@mkdir -p $(@D)
	$(INTO) $(CC) $(GUEST_FLAGS) -DTEST_NAME='"$*"' -c $< -o $@

define AGENT_LINK_GUEST
	$(INTO) $(CC) -m64 -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,max-page-size=4096 \
		-Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -T tests/guest/lib/guest.lds -o $@ \
		$(filter %.o,$^) $(AGENT_LIB) $(GUEST_LIBC) $(GUEST_MEM)
endef
$(AGENT_B)/examples/%.elf: $(AGENT_B)/examples/%.guest.o $(AGENT_B)/examples/%.main.o \
		$(AGENT_B)/vault.core.o $(AGENT_GUEST_HOOKS) $(GUEST_LIB) $(AGENT_LIB) tests/guest/lib/guest.lds
	$(AGENT_LINK_GUEST)

$(B)/guest/agent-%.elf: $(B)/guest/agent-%.o $(B)/guest/agent-%.main.o $(AGENT_B)/vault.core.o \
		$(AGENT_GUEST_HOOKS) $(GUEST_LIB) $(AGENT_LIB) tests/guest/lib/guest.lds
	$(AGENT_LINK_GUEST)

$(B)/guest/enter-attacks.elf: $(B)/guest/enter-attacks.o $(B)/guest/enter-attacks.main.o $(AGENT_B)/vault.core.o \
		$(AGENT_GUEST_HOOKS) $(GUEST_LIB) $(AGENT_LIB) tests/guest/lib/guest.lds
	$(AGENT_LINK_GUEST)

# The Linux modules. KERNEL_HEADERS: the build directory of the kernel that they are for; the demo
# finds it. Kbuild leaves its files beside the sources, hence the copies.
LINUX_B := $(AGENT_B)/linux
LINUX_SRCS := $(wildcard agent/linux/*.c agent/linux/*.h) agent/linux/Kbuild
LINUX_CORE := $(LINUX_B)/agent_core.o_shipped
LINUX_LIB := $(LINUX_B)/agent_lib.o_shipped

.PHONY: agent-linux
agent: $(LINUX_CORE) $(LINUX_LIB)
$(LINUX_CORE): $(AGENT_CORE_OBJS) $(AGENT_B)/linux/keeper.o $(AGENT_B)/linux/copy.o $(AGENT_B)/linux/sites.o \
		agent/agent.lds
	$(AGENT_LINK_CORE)

$(LINUX_LIB): $(AGENT_LIB_OBJS)
	@mkdir -p $(@D)
	$(INTO) $(LD) -r -o $@ $^

agent-linux: $(LINUX_CORE) $(LINUX_LIB) $(LINUX_SRCS) $(wildcard agent/*.h)
	@test -n "$(KERNEL_HEADERS)" || { echo "KERNEL_HEADERS is not set" >&2; exit 1; }
	@mkdir -p $(LINUX_B)/src
	cp -u $(LINUX_SRCS) $(wildcard agent/*.h) $(LINUX_CORE) $(LINUX_LIB) $(LINUX_B)/src
	@# modpost looks for the sources of objects there.
	touch $(LINUX_B)/src/.agent_core.o.cmd $(LINUX_B)/src/.agent_lib.o.cmd
	$(MAKE) -C $(KERNEL_HEADERS) M=$(abspath $(LINUX_B)/src) modules

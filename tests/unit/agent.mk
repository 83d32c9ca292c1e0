# SPDX-License-Identifier: MIT
# The Linux agent's rule about the kernel's own patching, as it runs in the agent's view.
AGENT_TEST_OBJS = $(B)/unit/tests/unit/test_agent_keeper.o $(B)/unit/tests/unit/agent_copies.o \
                  $(B)/unit/agent/linux/keeper.o $(B)/unit/agent/linux/copy.o
AGENT_SITES_OBJS = $(B)/unit/tests/unit/test_agent_sites.o $(B)/unit/agent/linux/sites.o
# The library's about page tables.
AGENT_TABLES_OBJS = $(B)/unit/tests/unit/test_agent_tables.o $(B)/unit/agent/tables.o $(B)/unit/agent/tables_find.o
$(AGENT_TEST_OBJS) $(AGENT_SITES_OBJS) $(AGENT_TABLES_OBJS): UNIT_CFLAGS += -Iagent -Iagent/linux -D__XEN_TOOLS__

$(B)/unit/tests/unit/%.o: tests/unit/%.S
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(DEPFLAGS) -g -c $< -o $@

$(B)/unit/test_agent_keeper: $(AGENT_TEST_OBJS)
	$(INTO) $(HOSTCC) $(SANITIZE) $^ -lcmocka -o $@

$(B)/unit/test_agent_sites: $(AGENT_SITES_OBJS)
	$(INTO) $(HOSTCC) $(SANITIZE) $^ -lcmocka -o $@

$(B)/unit/test_agent_tables: $(AGENT_TABLES_OBJS)
	$(INTO) $(HOSTCC) $(SANITIZE) $^ -lcmocka -o $@

.PHONY: unit-agent
unit-agent: $(B)/unit/test_agent_keeper $(B)/unit/test_agent_sites $(B)/unit/test_agent_tables
	@for t in $^; do CMOCKA_MESSAGE_OUTPUT=TAP $$t || exit 1; done
unit: unit-agent

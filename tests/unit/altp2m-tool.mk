# SPDX-License-Identifier: MIT
# The altp2m command against a model of the hypervisor.
ALTP2M_TEST_SRCS = tests/unit/test_altp2m_tool.c tests/unit/altp2m_model.c \
	$(patsubst %,tools/altp2m/%.c,$(filter-out hypercall_xen,$(ALTP2M_LIB)))
ALTP2M_TEST_OBJS = $(ALTP2M_TEST_SRCS:%.c=$(B)/unit-altp2m/%.o)
ALTP2M_TEST_FLAGS = -fsanitize=address,undefined -fno-sanitize-recover=all -O1 -g

.PHONY: unit-altp2m
unit-altp2m: $(B)/test_altp2m_tool
	@CMOCKA_MESSAGE_OUTPUT=TAP $<
unit: unit-altp2m

$(B)/unit-altp2m/%.o: %.c
	@mkdir -p $(@D)
	$(HOSTCC) $(WARN) -D_GNU_SOURCE -Iinclude -I. -Itools/altp2m $(ALTP2M_TEST_FLAGS) $(DEPFLAGS) -c -o $@ $<

$(B)/test_altp2m_tool: $(ALTP2M_TEST_OBJS)
	$(HOSTCC) $(ALTP2M_TEST_FLAGS) -o $@ $^ -lcmocka

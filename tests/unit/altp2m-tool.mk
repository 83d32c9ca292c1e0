# SPDX-License-Identifier: MIT
# The altp2m command against a model of Xen, and on the real core.
ALTP2M_TESTS = altp2m_tool altp2m_watch altp2m_kernel altp2m_process altp2m_options
ALTP2M_TEST_SRCS = tests/unit/altp2m_model.c tests/unit/altp2m_watched.c tests/unit/made_kernel.c \
	$(patsubst %,tools/altp2m/%.c,$(filter-out hypercall_xen hypercall_monitor,$(ALTP2M_LIB)))
ALTP2M_TEST_OBJS = $(ALTP2M_TEST_SRCS:%.c=$(B)/unit-altp2m/%.o)
ALTP2M_TEST_FLAGS = -fsanitize=address,undefined -fno-sanitize-recover=all -O1 -g

.PHONY: unit-altp2m
unit-altp2m: $(ALTP2M_TESTS:%=$(B)/test_%) $(B)/test_altp2m_core
	@for t in $^; do CMOCKA_MESSAGE_OUTPUT=TAP $$t || exit 1; done
unit: unit-altp2m

$(B)/unit-altp2m/%.o: %.c
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(WARN) -D_GNU_SOURCE -Iinclude -I. -Itools/altp2m $(ALTP2M_TEST_INCLUDES) $(ALTP2M_TEST_FLAGS) $(DEPFLAGS) -c -o $@ $<

ALTP2M_CORE_OBJS = $(patsubst %.c,$(B)/unit-altp2m/%.o,tests/unit/core_machine.c tests/unit/fake.c tests/unit/fake_platform.c hv/svm/npt.c $(CORE_SRCS))
$(ALTP2M_CORE_OBJS): ALTP2M_TEST_INCLUDES = -Itests/unit

# One object: names of the core are names of the command's, too.
$(B)/unit-altp2m/machine.o: $(ALTP2M_CORE_OBJS)
	$(LD) -r -o $(@:.o=.all) $^
	$(INTO) objcopy --wildcard --keep-global-symbol='machine_*' $(@:.o=.all) $@

$(B)/test_altp2m_core: $(B)/unit-altp2m/tests/unit/test_altp2m_core.o $(B)/unit-altp2m/machine.o \
		$(filter-out $(B)/unit-altp2m/tests/%,$(ALTP2M_TEST_OBJS))
	$(INTO) $(HOSTCC) $(ALTP2M_TEST_FLAGS) -o $@ $^ -lcmocka

$(ALTP2M_TESTS:%=$(B)/test_%): $(B)/test_%: $(B)/unit-altp2m/tests/unit/test_%.o $(ALTP2M_TEST_OBJS)
	$(INTO) $(HOSTCC) $(ALTP2M_TEST_FLAGS) -o $@ $^ -lcmocka

# SPDX-License-Identifier: MIT
# How much one call can cost. The compiler has the core call a function of the test for each basic block.
WORK_CORE_OBJS = $(CORE_SRCS:%.c=$(B)/work/%.o)
WORK_OBJS = $(B)/unit/tests/unit/test_work.o $(B)/unit/tests/unit/fake.o $(B)/unit/tests/unit/fake_platform.o $(B)/unit/tests/unit/grammar.o \
            $(B)/unit/hv/svm/npt.o

$(B)/work/%.o: %.c
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(WARN) -O1 -g -fsanitize-coverage=trace-pc -Iinclude -I. $(DEPFLAGS) -c $< -o $@

$(B)/unit/test_work: $(WORK_OBJS) $(WORK_CORE_OBJS)
	$(INTO) $(HOSTCC) $(SANITIZE) -Wl,--wrap=platform_preempt_pending $^ -lcmocka -o $@

.PHONY: unit-work
unit-work: $(B)/unit/test_work
	@CMOCKA_MESSAGE_OUTPUT=TAP $<
unit: unit-work

# SPDX-License-Identifier: MIT
# Host unit tests. `make unit` builds and runs them all, each test printing one line. Other tests join
# by a .mk file of their own in this directory that adds prerequisites to `unit`.
SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all
# A stretch of work is short, so that most operations leave something to be done in pieces.
UNIT_CFLAGS = $(WARN) -O1 -g $(SANITIZE) -Iinclude -I. -Itests/unit -DWORK_EFFORT=8u
UNIT_CORE_OBJS = $(CORE_SRCS:%.c=$(B)/unit/%.o) $(B)/unit/hv/svm/npt.o \
                 $(patsubst %,$(B)/unit/tests/unit/%.o,fake fake_platform model model_says model_own model_gate \
                                                       adversary grammar)
UNIT_TESTS = $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_core_*.c))

.PHONY: unit unit-core check-clang
unit: unit-core

$(B)/unit/%.o: %.c
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(UNIT_CFLAGS) $(DEPFLAGS) -c $< -o $@

$(B)/unit/test_core_%: $(B)/unit/tests/unit/test_core_%.o $(UNIT_CORE_OBJS)
	$(INTO) $(HOSTCC) $(SANITIZE) $^ -lcmocka -o $@

unit-core: $(UNIT_TESTS:%=$(B)/unit/%)
	@status=0; for t in $^; do CMOCKA_MESSAGE_OUTPUT=TAP $$t || status=1; done; exit $$status

# The core with the second compiler: freestanding, as the hypervisor is built. Nothing is linked.
CHECK_CLANG = clang-14
$(B)/clang/%.o: %.c
	@mkdir -p $(@D)
	$(INTO) $(CHECK_CLANG) $(WARN) -O2 -ffreestanding -mgeneral-regs-only -mno-red-zone -Iinclude -I. \
	    $(DEPFLAGS) -c $< -o $@
check-clang: $(CORE_SRCS:%.c=$(B)/clang/%.o)
unit: check-clang

include $(filter-out tests/unit/unit.mk $(MAKEFILE_LIST),$(wildcard tests/unit/*.mk tests/whole/*.mk tests/smp/*.mk))

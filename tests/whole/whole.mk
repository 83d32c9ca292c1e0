# SPDX-License-Identifier: MIT
# Host tests of the whole hypervisor (machine.h): core/ and hv/ as they are, above the instructions of the processor.
WHOLE_HV = $(filter-out hv/boot/% hv/vmx/% hv/svm/% hv/lib/console.c hv/exit/selftest.c hv/exit/run.c hv/vcpu/sched.c \
             hv/x86/apic.c hv/x86/clocks.c hv/x86/desc.c hv/x86/fpu.c hv/x86/mce.c hv/x86/nmi.c hv/x86/power.c hv/x86/processors.c \
             hv/x86/paging.c hv/x86/trap.c,$(HV_SRCS)) \
           $(patsubst %,tests/whole/%.c,hv_console hv_ept hv_sched vendor)
WHOLE_TEST = $(patsubst %,tests/whole/%.c,machine machine_begin machine_guest property accounts calls gate linear random random_begin) tests/unit/grammar.c
WHOLE_FLAGS = $(WARN) -Wno-unused-variable -D_GNU_SOURCE -DFACET_DEBUG -Dsched_yield=hv_sched_yield -DFACET_VERSION=\"$(VERSION)\" -O1 -g -Iinclude -I. -Ihv \
              -Itests/whole -Itests/unit -include tests/whole/processor.h

WHOLE_RENAME = --rename-section .data=hv_data --rename-section .data.rel=hv_data \
               --rename-section .data.rel.local=hv_data --rename-section .bss=hv_bss

# What the hypervisor has in its own data is put back for each run: its sections get names that can be found.
$(B)/whole/%.o: %.c
	@mkdir -p $(@D)
	$(HOSTCC) $(WHOLE_FLAGS) $(SANITIZE) $(DEPFLAGS) -c $< -o $(@:.o=.raw)
	$(INTO) objcopy $(if $(filter $<,$(WHOLE_HV)),$(WHOLE_RENAME)) $(@:.o=.raw) $@

WHOLE_PROGRAMS = $(patsubst tests/whole/%.c,$(B)/unit/%,$(wildcard tests/whole/test_whole*.c))

$(WHOLE_PROGRAMS): $(B)/unit/test_whole%: $(B)/whole/tests/whole/test_whole%.o \
		$(patsubst %.c,$(B)/whole/%.o,$(WHOLE_TEST) $(WHOLE_HV))
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(SANITIZE) $^ -lcmocka -lfdt -o $@

.PHONY: unit-whole
unit-whole: $(WHOLE_PROGRAMS)
	@status=0; for t in $^; do CMOCKA_MESSAGE_OUTPUT=TAP $$t || status=1; done; exit $$status
unit: unit-whole

# SPDX-License-Identifier: MIT
# Proofs by enumeration, on the host. `make prove` runs them all; each prints how many cases it saw.
PROVE_CFLAGS = $(WARN) -O2 -g -fsanitize=undefined -fno-sanitize-recover=all -D_GNU_SOURCE \
               -DFACET_VERSION=\"$(VERSION)\" -Iinclude -I. -Ihv -Itests/unit
PROVE_OBJS = $(CORE_SRCS:%.c=$(B)/prove/%.o) $(B)/prove/hv/svm/npt.o \
             $(patsubst %,$(B)/prove/tests/unit/%.o,fake fake_platform model model_says model_own model_gate) \
             $(patsubst %,$(B)/prove/tests/prove/%.o,formats ept)
PROVE_TESTS = $(patsubst tests/prove/%.c,%,$(wildcard tests/prove/prove_*.c))

.PHONY: prove
prove: $(PROVE_TESTS:%=$(B)/prove/%)
	@status=0; for t in $^; do CMOCKA_MESSAGE_OUTPUT=TAP $$t || status=1; done; exit $$status

$(B)/prove/%.o: %.c
	@mkdir -p $(@D)
	$(INTO) $(HOSTCC) $(PROVE_CFLAGS) $(DEPFLAGS) -c $< -o $@

$(B)/prove/prove_%: $(B)/prove/tests/prove/prove_%.o $(PROVE_OBJS)
	$(INTO) $(HOSTCC) $(PROVE_CFLAGS) $^ -lcmocka -o $@

# Handlers are replaced to see who reaches them.
PROVE_WRAPPED = $(shell sed -n 's/^SUBOP.[^,]*, *\([a-z0-9_]*\),.*/-Wl,--wrap=subop_\1/p' core/subops.h)
$(B)/prove/prove_who: PROVE_CFLAGS += $(PROVE_WRAPPED)

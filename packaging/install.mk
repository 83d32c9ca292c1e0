# SPDX-License-Identifier: MIT
# make install, make uninstall: with prefix, DESTDIR and GNU's names of directories. COMPONENTS: which of facet, altp2m
# (the commands), agent, core (the libraries). packaging/files tells what goes where.
DESTDIR ?=
prefix ?= /usr/local
exec_prefix ?= $(prefix)
bindir ?= $(exec_prefix)/bin
libdir ?= $(exec_prefix)/lib
libexecdir ?= $(exec_prefix)/libexec
includedir ?= $(prefix)/include
datarootdir ?= $(prefix)/share
datadir ?= $(datarootdir)
mandir ?= $(datarootdir)/man
sysconfdir ?= $(prefix)/etc
docrootdir ?= $(datarootdir)/doc
pkglibexecdir ?= $(libexecdir)/facet
pkgdatadir ?= $(datadir)/facet
docdir ?= $(docrootdir)/facet
agentdocdir ?= $(docrootdir)/libfacet-agent-dev
coredocdir ?= $(docrootdir)/libfacet-core-dev
pkgconfigdir ?= $(libdir)/pkgconfig
completiondir ?= $(datadir)/bash-completion/completions
# GRUB looks into /etc/grub.d only: sysconfdir=/etc to start Facet from its menu.
grubdir ?= $(sysconfdir)/grub.d
configdir ?= $(sysconfdir)/facet
COMPONENTS ?= facet altp2m agent core

INSTALL_DIRECTORIES = prefix bindir libdir includedir mandir pkglibexecdir pkgdatadir docdir agentdocdir coredocdir \
	pkgconfigdir completiondir grubdir configdir
INSTALL = B='$(B)' DESTDIR='$(DESTDIR)' $(foreach d,$(INSTALL_DIRECTORIES),$(d)='$($(d))') packaging/install.sh

INSTALL_NEEDS_facet = $(B)/facet.elf $(B)/facet-config $(B)/facet-kernel $(B)/facet-check $(B)/seed.so $(B)/sector.bin $(B)/facet-demo $(B)/facet-target \
	$(B)/greet
INSTALL_NEEDS_altp2m = $(B)/altp2m
INSTALL_NEEDS_agent = $(AGENT_LIB) $(AGENT_B)/guard.core.o
INSTALL_NEEDS_core = $(B)/libfacet-core.a

.PHONY: install uninstall install-needs install-list
all: install-needs
install-needs: $(foreach c,$(COMPONENTS),$(INSTALL_NEEDS_$(c)))
install: install-needs
	@$(INSTALL) install $(COMPONENTS)
uninstall:
	@$(INSTALL) uninstall $(COMPONENTS)
install-list:
	@$(INSTALL) list $(COMPONENTS)

# For whoever embeds the core: linked at any address, in programs and in hypervisors that keep the FPU to their guests and
# have interrupts on the same stack.
CORE_LIB_CFLAGS = $(WARN) $(DEPFLAGS) -O2 -g -ffreestanding -fPIC -mno-red-zone -mgeneral-regs-only \
	-fno-stack-protector -fno-asynchronous-unwind-tables -Iinclude -I.
$(B)/core-lib/%.o: core/%.c
	@mkdir -p $(@D)
	$(INTO) $(CC) $(CORE_LIB_CFLAGS) -c $< -o $@
$(B)/libfacet-core.a: $(CORE_SRCS:core/%.c=$(B)/core-lib/%.o)
	$(INTO) $(AR) rcs $@ $^

# What every agent's view holds, as one object: the agent's own is linked to it by agent.lds.
$(AGENT_B)/guard.core.o: $(AGENT_CORE_OBJS)
	$(INTO) $(LD) -r -o $@ $^

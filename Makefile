# SPDX-License-Identifier: MIT
# Builds everything below B (default: build). `make help` lists the targets.
B ?= build
VERSION := 0.1
DEBUG ?= 1
CC = gcc
HOSTCC ?= $(CC)
WARN = -std=c11 -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -Wundef
DEPFLAGS = -MMD -MP -MT $@ -MF $@.deps
# A file is there whole or not at all, whatever ends make (tools/into).
INTO = tools/into $@

.DELETE_ON_ERROR:
.PHONY: all help clean
all:

help:
	@echo "make            everything: hypervisor, tools, test guests"
	@echo "make unit       build and run the host unit tests (sanitizers on)"
	@echo "make install    install (prefix, DESTDIR, ...; packaging/install.mk); make uninstall takes it back"
	@echo "make clean      remove $(B)"

include $(wildcard core/core.mk hv/hv.mk tools/tools.mk tests/unit/unit.mk tests/prove/prove.mk tests/guest/guest.mk tests/fuzz/fuzz.mk demo/demo.mk agent/agent.mk tools/xen/xen.mk tests/guest/bench/bench.mk packaging/install.mk)

clean:
	rm -rf $(B)

-include $(shell find $(B) -name '*.d' -type f 2>/dev/null)

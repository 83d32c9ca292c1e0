# SPDX-License-Identifier: MIT
# The altp2m core. Whoever embeds it compiles CORE_SRCS with its own flags and -Iinclude -I. ;
# it needs memcpy, memset and the functions of core/platform.h, include/facet/{check,lock}.h.
CORE_SRCS = core/pool.c core/pool_size.c core/hostmap.c core/view.c core/override.c core/remap.c core/physmap.c \
            core/vcpus.c core/fault.c core/subop.c core/subop_facet.c core/altp2m.c \
            core/range.c core/subop_range.c core/shadow.c core/subop_shadow.c \
            core/isolate.c core/policy.c core/owner.c core/seal.c core/enter.c core/pin.c core/lift.c core/narrow.c core/trace.c core/work.c

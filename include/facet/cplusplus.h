/* SPDX-License-Identifier: MIT */
#pragma once

/* So that what embedders and agents include is C++, too: names without mangling, and
 * C11's words. */
#ifdef __cplusplus
#define FACET_BEGIN_C       extern "C" {
#define FACET_END_C         }
#define FACET_NORETURN      [[noreturn]]
#define FACET_STATIC_ASSERT static_assert
#else
#define FACET_BEGIN_C
#define FACET_END_C
#define FACET_NORETURN      _Noreturn
#define FACET_STATIC_ASSERT _Static_assert
#endif

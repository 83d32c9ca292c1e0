/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The version of the core's interface: the headers that embedders include, and what they promise.
 * MAJOR grows, and MINOR begins at 0 again, when an embedder has to change something; MINOR when
 * there is something new. CHANGELOG.md tells what it was.
 */
#define FACET_CORE_MAJOR   2
#define FACET_CORE_MINOR   0
#define FACET_CORE_VERSION "2.0"

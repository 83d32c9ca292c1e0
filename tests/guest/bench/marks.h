/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What benchmark guests tell the runner. Lines to port 0xE9: "BENCH name NUMBER". And they read
 * MARK_PORT where a stretch begins and where it ends: each read is a VM exit that the emulator's
 * log shows by its port, so that the runner can count the exits between the n-th pair of them. The
 * line "EXITS name" after a pair gives it its name.
 */
#define SAY_PORT  0xe9
#define MARK_PORT 0xea

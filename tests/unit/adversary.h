/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A guest under the policy `audited` that tries everything, beside a monitor that does what
 * monitors do. Any bytes are a sequence of their calls. After each step the fake machine is asked
 * what processors could do, and the test fails (fake.h) if the guest
 *   - has an access to a frame that the host map denies, in a view that it can be on;
 *   - can enter a view that is neither its own, nor view 0, nor shown to it by the monitor;
 *   - moved a vCPU that the monitor holds, or has VMFUNC there;
 *   - changed a monitor's view, the host map or what the monitor turned on;
 *   - changed what the monitor pinned;
 *   - turned the exit of a host restriction into a #VE;
 *   - holds more views or pages than its quota.
 * In a sealed run the guest has sealed itself first, and who goes on is an attacker in it, whose
 * code does not run on the agent's view. Then the test also fails if what he does
 *   - changes a view of the guest's, what VMFUNC reaches, a #VE page, or the seal;
 *   - enters the agent's view where it has entries, by anything else than one of these;
 *   - has a vCPU on view 0, or any other view that the guest does not have open.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct adversary_options {
    unsigned format; /* enum fake_format */
    bool scarce;     /* a small pool */
    bool blind;      /* the monitor keeps to its own views, so that the guest must not notice it */
    bool absent;     /* and now it does not even do that: the guest's answers are to be the same */
    bool sealed;     /* not with the two before */
};

/* Runs the sequence from a fresh machine; returns a hash of all that the guest was told. */
uint64_t adversary_run(struct adversary_options o, const uint8_t *data, size_t size);

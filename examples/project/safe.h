/* SPDX-License-Identifier: MIT */
#pragma once

/* The agent: it keeps a secret, and gives it to who knows the PIN; three wrong ones, and nobody
 * gets it. */
#include <guard.h>

enum safe_op {
    SAFE_OPEN,  /* a: the PIN; the secret, or -EPERM */
    SAFE_LOWER, /* a: the PIN; ends the seal */
};

/* Private once the shield is up. */
extern uint64_t safe_pin, safe_secret;

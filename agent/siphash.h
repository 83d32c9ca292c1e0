/* SPDX-License-Identifier: MIT */
#pragma once

/* SipHash-2-4 (Aumasson, Bernstein 2012) of two words: what a key can be good for without being
 * given away. Inlined whole, so that it runs wherever its caller may run. */
#include "altp2m.h"

AGENT_BEGIN_C

struct siphash_key {
    uint64_t k0, k1;
};

static inline __attribute__((always_inline)) uint64_t siphash_rotate(uint64_t x, unsigned int n)
{
    return x << n | x >> (64 - n);
}

static inline __attribute__((always_inline)) void siphash_rounds(uint64_t v[4], unsigned int n)
{
    while (n--) {
        v[0] += v[1];
        v[1] = siphash_rotate(v[1], 13) ^ v[0];
        v[0] = siphash_rotate(v[0], 32);
        v[2] += v[3];
        v[3] = siphash_rotate(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = siphash_rotate(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = siphash_rotate(v[1], 17) ^ v[2];
        v[2] = siphash_rotate(v[2], 32);
    }
}

/* Of the 16 bytes of a and b, little-endian. */
static inline __attribute__((always_inline)) uint64_t siphash(const struct siphash_key *key,
                                                              uint64_t a, uint64_t b)
{
    const uint64_t words[3] = {a, b, 16ULL << 56};
    uint64_t v[4] = {key->k0 ^ 0x736f6d6570736575ULL, key->k1 ^ 0x646f72616e646f6dULL,
                     key->k0 ^ 0x6c7967656e657261ULL, key->k1 ^ 0x7465646279746573ULL};

    for (unsigned int i = 0; i < 3; i++) {
        v[3] ^= words[i];
        siphash_rounds(v, 2);
        v[0] ^= words[i];
    }
    v[2] ^= 0xff;
    siphash_rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

AGENT_END_C

/* SPDX-License-Identifier: MIT */
#pragma once

/* Between hardware.c, whose device looks for memory, and dma-prey.c, whose memory it is. */
#define PREY_DOMAIN 2
#define PREY_MAGIC  0x6d656d6f72792121ULL /* begins each page of it */
#define PREY_HIT    0x6869742121212121ULL /* what the device writes there */
#define PREY_FIRST  (32ULL << 20)         /* where it looks, from ... to ..., so often */
#define PREY_END    (256ULL << 20)
#define PREY_STEP   (4ULL << 20)

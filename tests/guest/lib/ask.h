/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What an attacker (attack-watched.c) has its monitor (attack-watch.c) do, through their mailbox:
 * the attacker tells the whole story, so that a test can be read in one place.
 */
#include "monitor.h"

enum ask {
    ASK_STATE,    /* on: turns altp2m on or off */
    ASK_ON,       /* gives whether it is on, as the monitor sees it */
    ASK_CREATE,   /* gives the view's number */
    ASK_DESTROY,  /* view */
    ASK_ACCESS,   /* view, gfn, access: sets; what a write there that is reported will lift */
    ASK_READ,     /* view, gfn: gives its access */
    ASK_READ_VE,  /* view, gfn: gives its #VE bit */
    ASK_REMAP,    /* view, gfn, gfn that it shows */
    ASK_SWITCH,   /* vcpu, view */
    ASK_WHERE,    /* vcpu: gives its view */
    ASK_SHOW,     /* view, on: set_visibility */
    ASK_NOTIFY,   /* vcpu, gfn: enable_notify; gfn all ones: disable */
    ASK_SHADOW,   /* gfn: shadow_create; gives the name */
    ASK_UNSHADOW, /* name */
    ASK_EVENTS,   /* gives how many accesses were reported since the last time */
    ASK_UNSEAL,
    ASK_PIN, /* vcpu, bits of CR0, on */
    ASK_END,
};

/* In the mailbox's data: */
enum { ASK_WHAT, ASK_ARGUMENT, ASK_RESULT = ASK_ARGUMENT + 3, ASK_VALUE };

/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The words of a configuration, as the tools write them into the device tree and the hypervisor
 * reads them: lists for an array of strings, in the order of their numbers.
 */
#define WORDS_ALTP2M_MODE   "disabled", "mixed", "external", "limited" /* XEN_ALTP2M_* */
#define WORDS_ALTP2M_POLICY "open", "grandfathered", "audited"         /* enum altp2m_policy */
#define WORDS_ACTION        "destroy", "restart", "preserve"           /* enum domain_action */

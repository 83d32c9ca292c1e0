/* SPDX-License-Identifier: MIT */
/*
 * A watched guest whose second vCPU waits for a monitor's word (mon-verdict.c) about a write, and
 * is then started anew by INIT and SIPI at a write of the guest's choice. What the monitor allowed
 * was the other one.
 */
#include <string.h>
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/page.h"
#include "lib/smp.h"
#include "lib/target.h"
#include "lib/test.h"

#define REAL    0x8000UL /* what vCPU 1 runs after SIPI, in real mode */
#define OTHER   ((volatile uint16_t *)0x9000UL)
#define WRITTEN ((volatile uint8_t *)0xa000UL) /* it is past that write */
#define MSR_ICR 0x830u
#define TO_1    (2ULL << 32)

static struct mailbox *mail;
static volatile uint64_t *page;

static void write_page(unsigned vcpu)
{
    (void)vcpu;
    *page = 1;
}

static void setup(void)
{
    event_init();
    mail = page_alloc(1, 1);
    page = page_alloc(1, 1);
    mail->data[0] = gfn_of(page);
    mail->data[1] = (uint64_t)OTHER / PAGE;
    expect(hvm_param_set(MAILBOX_PARAM, gfn_of(mail)), 0);
}

static void started_anew(void)
{
    static const uint8_t code[] = {
        0xc7, 0x06, 0x00, 0x90, 0xad, 0x0b, /* movw $0xbad, 0x9000 */
        0xc6, 0x06, 0x00, 0xa0, 0x01,       /* movb $1, 0xa000 */
        0xfa, 0xf4,                         /* cli; hlt */
    };

    memcpy((void *)REAL, code, sizeof(code));
    *OTHER = 0x600d;
    *WRITTEN = 0;
    target_begin(mail, 1); /* both pages are restricted */
    expect(smp_start(1, write_page), 0);
    while (mail->data[2] != 1) /* the monitor has the event */
        sched_op(SCHEDOP_yield, NULL);
    expect(try_wrmsr(MSR_ICR, TO_1 | 0xc500), VEC_NONE);
    expect(try_wrmsr(MSR_ICR, TO_1 | 0x4600 | REAL >> 12), VEC_NONE);
    mail->data[2] = 2; /* its answer comes now */
    while (mail->data[2] != 3 && !*WRITTEN)
        sched_op(SCHEDOP_yield, NULL);
    if (mail->data[2] != 3) {
        check(false, "the other write was done, and told nobody");
        mail->data[2] = 4;
    }
    expect(*OTHER, 0x600d);
    expect(*page, 0);
    target_end(mail);
}

static void finish(void)
{
    target_finish(mail);
}

TEST_CASES(CASE(setup), CASE(started_anew), CASE(finish))

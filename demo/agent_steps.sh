# SPDX-License-Identifier: MIT
# shellcheck shell=dash
# What the guest of `facet demo agent` does, as its init; demo/steps.sh comes first.

agent=/sys/kernel/facet_agent
attack=/sys/kernel/facet_attack/run
code=5ec7e7

get() { cat "$agent/$1"; }

# The last word on attacks that has this in it. What is only counted is told later, once a second:
# of another attack than the last.
told() {
    dmesg | grep -E "$1" | grep -vE ' allowed: | writes of registers ' | tail -n 1
}

# Runs an attack in a process of its own, which may die of it. True if it came back.
try() {
    sh -c "echo $1 >$attack" 2>/dev/null
    status=$?
    last=$(told 'facet_(attack|agent): ')
    note "attack, $1: ${last#*] }"
    return $status
}

must_work() {
    try "$1" || fail "the attack on the $1 does not work"
}

# The attack must kill its process, count once under $2, and be told in the log.
must_fail() {
    before=$(get "$2")
    try "$1" && fail "the attack on the $1 worked"
    [ "$status" -eq 139 ] || fail "the attacker was not killed: status $status"
    [ "$(get "$2")" -eq $((before + 1)) ] || fail "$2 went from $before to $(get "$2")"
    case $last in
        *"facet_agent: denied"*) ;;
        *) fail "the kernel's log does not tell" ;;
    esac
}

# The attack must be told to go away with EPERM, and nobody dies of it.
must_be_refused() {
    try "$1" && fail "the attack by $1 worked"
    [ "$status" -eq 1 ] || fail "the attacker was not refused: status $status"
}

key_in_log() {
    dmesg | sed -n 's/.*facet_attack: key: //p' | tail -n 1
}

before_it() {
    insmod /lib/facet_agent.ko protect=0 || fail "facet_agent does not load" || return
    insmod /lib/facet_attack.ko || fail "facet_attack does not load" || return
    echo "1 2" >$agent/sign
    direct=$(get ticks)
    must_work table && must_work idt && must_work key && must_work text || return
    [ "$(id -u)" = 1337 ] || fail "geteuid() is not the attacker's: $(id -u)"
    note "id -u says $(id -u)"
    stolen=$(key_in_log)
    [ ${#stolen} -eq 32 ] || fail "no key was read"
    must_work table && must_work idt && must_work text || return
    must_work leaf && must_work top && must_work load || return
    [ "$(id -u)" = 0 ] || fail "the attacks are not undone"
    result="system calls, interrupts and the key are the attacker's; all put back"
}

protect_it() {
    echo $code >$agent/code
    echo 1 >$agent/protect || fail "the agent does not protect: see dmesg" || return
    [ "$(get protect)" = 1 ] || fail "the agent does not say that it protects"
    note "$(dmesg | sed -n 's/.*facet_agent: \(the kernel is on\)/\1/p' | tail -n 1)"
    dmesg | grep -q "facet_agent: .* on $(nproc) vCPUs, sealed" || fail "it is not sealed" || return
    note "\$ altp2m create"
    altp2m create 2>&1 | head -n 1 | while read -r line; do note "$line"; done
    result="the kernel runs in a view where what matters cannot be written, and cannot leave it"
}

use_it() {
    one=$(get sign)
    echo "1 3" >$agent/sign
    two=$(get sign)
    echo "1 2" >$agent/sign
    note "signatures of two messages: $one $two"
    [ ${#one} -eq 16 ] && [ "$one" != "$two" ] && [ "$(get sign)" = "$one" ] ||
        fail "the agent does not sign" || return
    gate=$(get ticks)
    [ "$gate" -gt "$direct" ] || fail "the gate costs nothing: $gate against $direct ticks"
    result="a signature costs $gate ticks, $((gate - direct)) more than without the gate"
}

attack_tables() {
    must_fail table denied
    case $last in
        *sys_call_table*) ;;
        *) fail "the log does not name the table" ;;
    esac
    must_fail idt denied
    result="the system call table and the IDT are as before; the attackers died"
}

attack_text() {
    must_fail text denied
    [ "$(id -u)" = 0 ] || fail "geteuid() has changed: $(id -u)"
    result="the kernel's text is as before: id -u says $(id -u)"
}

attack_key() {
    must_fail key denied
    [ "$(key_in_log)" = "$stolen" ] || fail "a key was read"
    must_be_refused vmfunc
    [ "$(get sign)" = "$one" ] || fail "the key has changed"
    result="the key is where it was: VMFUNC does not help either, there is one way in"
}

attack_mapping() {
    must_be_refused alias
    [ "$(id -u)" = 0 ] || fail "geteuid() has changed: $(id -u)"
    dmesg | grep -q 'facet_attack: alias: the key' && fail "the key was copied"
    result="nobody comes between a violation and the agent: the interrupt table stays the kernel's"
}

attack_agent() {
    must_fail gate denied
    must_fail report denied
    [ "$(get denied) $(get stray)" = "6 0" ] || fail "the counts are wrong"
    result="neither its code nor its counters: $(get denied) denied, $(get stray) stray"
}

attack_altp2m() {
    must_be_refused hypercall
    case $last in
        *"shown -1, entered -1; text made writable -1; unsealed -1; off -1"*) ;;
        *) fail "a call was taken: $last" ;;
    esac
    must_fail table denied
    echo 0 2>/dev/null >$agent/protect && fail "lowered without the code"
    echo "0 123" 2>/dev/null >$agent/protect && fail "lowered with a wrong code"
    note "lowering it without the code: refused"
    result="the agent's calls are the agent's: -EPERM for everybody else"
}

attack_idt() {
    lost=$(get lost)
    before=$(get refused)
    must_be_refused lidt
    case $last in
        *"lidt: refused"*) ;;
        *) fail "not as it should be: $last" ;;
    esac
    [ "$(get lost)" -eq "$lost" ] || fail "a #VE was not the agent's"
    [ "$(get refused)" -eq $((before + 1)) ] || fail "it was not counted"
    must_fail text denied
    result="IDTR is pinned: LIDT is a general protection fault, and violations go on to come to the agent"
}

attack_registers() {
    before=$(get refused)
    must_be_refused registers
    case $last in
        *"refused 1ff of 1ff"*) ;;
        *) fail "not all were refused: $last" ;;
    esac
    refused=$(($(get refused) - before))
    [ "$refused" -eq 9 ] || fail "$refused were counted"
    [ "$(id -u)" = 0 ] || fail "system calls go elsewhere: $(id -u)"
    result="LSTAR, STAR, FMASK, SYSENTER_EIP, EFER, CR0, CR4, IDTR and GDTR are as they were"
}

attack_tables_of_pages() {
    must_be_refused remap
    [ "$(get sign)" = "$one" ] || fail "the key has changed"
    result="the agent has page tables of its own: with the attacker's pages in its place it signs as before"
}

# Refused, counted once under `denied`, told in the log as $2.
must_be_denied() {
    before=$(get denied)
    must_be_refused "$1"
    [ "$(get denied)" -eq $((before + 1)) ] || fail "denied went from $before to $(get denied)"
    last=$(told 'facet_agent: denied')
    note "${last#*] }"
    case $last in
        *"facet_agent: denied: $2"*) ;;
        *) fail "the kernel's log does not tell" ;;
    esac
}

attack_by_remap() {
    must_be_denied leaf "write of" && must_be_denied top "write of" &&
        must_be_denied load "load of page tables" || return
    [ "$(id -u)" = 0 ] || fail "geteuid() has changed: $(id -u)"
    result="the kernel's addresses go on to name the kernel's frames, in all processes"
}

attack_from_user() {
    before=$(get denied)
    facet-usermap /sys/kernel/facet_attack/text 2>/dev/null
    status=$?
    [ "$status" -eq 139 ] || fail "the attacker was not killed: status $status"
    [ "$(get denied)" -eq $((before + 1)) ] || fail "denied went from $before to $(get denied)"
    isolated="without page-table isolation"
    grep -q "^flags.* pti" /proc/cpuinfo && isolated="page-table isolation is on"
    [ "$(id -u)" = 0 ] || fail "geteuid() has changed: $(id -u)"
    result="a process that has the kernel's text mapped dies of writing there; $isolated"
}

patch_it() {
    denied=$(get denied)
    allowed=$(get allowed)
    echo 1 >/proc/sys/kernel/sched_schedstats && echo 0 >/proc/sys/kernel/sched_schedstats ||
        fail "the kernel cannot switch its statistics" || return
    patches=$(($(get allowed) - allowed))
    [ "$patches" -gt 0 ] || fail "the kernel has not patched itself"
    note "scheduler statistics on and off: $patches writes to the kernel's text"
    try border || fail "a patch over the border of two pages does not work" || return
    insmod /lib/dummy.ko numdummies=1 || fail "a module of the kernel's own does not load" || return
    [ -d /sys/class/net/dummy0 ] || fail "the module does nothing"
    rmmod dummy || fail "the module does not unload"
    note "Debian's dummy.ko: loaded, dummy0 seen, unloaded"
    [ "$(get denied)" = "$denied" ] || fail "the kernel itself was denied something"
    result="jump labels and modules work; each patch comes to the agent as a #VE"
}

leave_it() {
    rmmod facet_agent 2>/dev/null && fail "it unloads while it protects"
    echo "0 $code" >$agent/protect || fail "it cannot be lowered with the code" || return
    rmmod facet_agent || fail "facet_agent does not unload" || return
    must_work text
    [ "$(id -u)" = 1337 ] || fail "still protected"
    must_work text
    [ "$(id -u)" = 0 ] || fail "the attack is not undone"
    oopses=$(dmesg | grep -c "general protection fault")
    note "up since $(cut -d ' ' -f 1 /proc/uptime) s, $oopses oopses survived"
    result="without the agent the attack works again"
}

insmod /lib/xen-privcmd.ko 2>/dev/null
echo "demo: begin steps=16"
step "what a rootkit can do without an agent" before_it
step "the agent protects the kernel" protect_it
step "the key can be used, through the gate" use_it
step "attack the system call table and the IDT" attack_tables
step "attack the kernel's text" attack_text
step "attack the key" attack_key
step "attack the key by another mapping of it" attack_mapping
step "attack the agent" attack_agent
step "attack by the agent's own hypercalls" attack_altp2m
step "attack by an interrupt table of one's own" attack_idt
step "attack the registers that lead into the kernel" attack_registers
step "attack the agent by page tables" attack_tables_of_pages
step "attack the kernel by page tables" attack_by_remap
step "attack from user space" attack_from_user
step "the kernel goes on patching itself" patch_it
step "unload the agent" leave_it
echo "demo: end ok=$done_ok failed=$done_failed"

/* SPDX-License-Identifier: MIT */
#include "command.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "parse.h"
#include "xenabi.h"

const struct command command_table[] = {
    {"info", "", 0, 0, cmd_info, "what runs here, and the state of altp2m",
     "Shows the hypervisor, the domain, its altp2m mode and state, the view of each vCPU, and\n"
     "which sub-operations answer. Changes nothing.\n"},
    {"on", "", 0, 0, cmd_on, "turn altp2m on", "Every vCPU starts on view 0.\n"},
    {"off", "", 0, 0, cmd_off, "turn altp2m off",
     "Destroys every view: restrictions and remaps are lost.\n"},
    {"list", "", 0, 0, cmd_list, "the views that exist",
     "Shows each view's default access and the vCPUs that run on it.\n"},
    {"create", "", 0, 0, cmd_create, "make a new view and print its number",
     "  --access ACCESS   access of every page that has none of its own (default: rwx)\n"
     "\nXen before 4.19 accepts a default access but does not apply it.\n"},
    {"destroy", "V", 1, 1, cmd_destroy, "remove view V",
     "Refused for view 0 and for a view that a vCPU runs on.\n"},
    {"switch", "V [VCPU]", 1, 2, cmd_switch, "put all vCPUs of the domain, or one, on view V",
     "Refused if V does not exist or is hidden. A single vCPU: on Facet only.\n"},
    {"access", "V GFN[+COUNT] [ACCESS]", 2, 3, cmd_access,
     "read or set what may be done with pages in view V",
     "Without ACCESS, reads back and prints ranges; \"-\" is a gfn that has no page in the view,\n"
     "or, on Xen, one that was not used in it yet. On view 0 this is the host's own map.\n"},
    {"remap", "V OLD[+COUNT] NEW [same]", 3, 4, cmd_remap,
     "in view V, let gfn OLD show the page of gfn NEW",
     "Other views do not change. altp2m unremap V OLD takes it back. With COUNT, OLD+1 shows "
     "NEW+1\n"
     "and so on; with \"same\" all show NEW. On Facet, NEW may be a shadow page.\n"},
    {"remaps", "V FILE", 2, 2, cmd_remaps, "remap by a list: lines OLD NEW, or OLD - to take back",
     "- as FILE is the standard input. Stops at the first that is refused.\n"},
    {"unremap", "V GFN[+COUNT]", 2, 2, cmd_unremap,
     "in view V, let gfn GFN show its own page again",
     "Also takes back an access that was set for it.\n"},
    {"ve", "V GFN[+COUNT] [on|off]", 2, 3, cmd_ve, "whether a violation may raise #VE in the guest",
     "on: a violation raises #VE if the guest has asked for it on that vCPU; off: it goes to the\n"
     "hypervisor (the state of a new entry). Without on or off, reads back and prints ranges.\n"},
    {"show", "V", 1, 1, cmd_show, "let VMFUNC and switch reach view V", ""},
    {"hide", "V", 1, 1, cmd_hide, "keep VMFUNC and switch from view V",
     "vCPUs that run on it stay there.\n"},
    {"set", "V GFN[+COUNT] ACCESS VE", 4, 4, cmd_set,
     "access and #VE bit of pages in view V together",
     "ACCESS as for access, VE on or off as for ve; - leaves it as it is. On Facet only.\n"},
    {"isolate", "V GFN[+COUNT] ACCESS OTHERS [VE]", 4, 5, cmd_isolate,
     "ACCESS in view V, and at once OTHERS in all other views",
     "Holds in views that are created later too: view 0 gets OTHERS. Each 512 pages are done at\n"
     "once. VE, on or off, is set in all views. On Facet only.\n"},
    {"overrides", "V [GFN[+COUNT]]", 1, 2, cmd_overrides, "what view V has of its own",
     "Prints ranges: access, #VE and remaps that were set in this view. On Facet only.\n"},
    {"changes", "V", 1, 1, cmd_changes, "how often the host changed pages under V's overrides",
     "And the last gfns where it did, newest first. On Facet only.\n"},
    {"shadow", "new|free|read|write ...", 1, 4, cmd_shadow,
     "pages that the guest does not have, to remap to",
     "  shadow new [GFN]                make one, a copy of GFN or of zeroes, and print its name\n"
     "  shadow free S                   free it; no view may show it\n"
     "  shadow read S OFFSET LENGTH     print its bytes as hexadecimal digits\n"
     "  shadow write S OFFSET HEX       write bytes, given as hexadecimal digits\n"
     "\nNames are s and a number: altp2m remap V GFN s12. On Facet only.\n"},
    {"notify", "VCPU GFN|off", 2, 2, cmd_notify, "#VE information of a vCPU goes to page GFN",
     "On Xen this gives the vCPU VMFUNC, too. One page for each vCPU.\n"},
    {"vmfunc", "VCPU on|off", 2, 2, cmd_vmfunc, "whether a vCPU may switch views with VMFUNC",
     "On Facet only; under the policy \"audited\" the only way to have it.\n"},
    {"seal", "AGENT START|off", 1, 2, cmd_seal, "take the guest's calls from view AGENT only",
     "vCPUs on view 0 are put on view START. Only under the policy \"audited\", on Facet; off is\n"
     "for a monitor, or from view AGENT.\n"},
    {"map", "V [GFN+COUNT]", 1, 2, cmd_map, "draw view V against the host's map",
     "  --svg FILE   as a picture\n"
     "\nShows where the view has something of its own: private or remapped pages, restrictions.\n"
     "Without a range, all of the domain's memory.\n"},
    {"graph", "", 0, 0, cmd_graph, "who shares, who overrides what, who runs where",
     "  -o, --svg FILE   as a picture, with a legend\n"
     "\nAll views with what they have of their own, and what two of them both override. Xen does "
     "not\ntell of overrides.\n"},
    {"domains", "", 0, 0, cmd_domains, "the domains that this one may watch",
     "With their memory, vCPUs, altp2m mode and state.\n"},
    {"watch", "WHAT...", 1, 512, cmd_watch, "tell what another domain (-d) does, as it happens",
     "  read|write|exec|access PLACE...   accesses to pages: GFN[+COUNT], @ADDRESS[:LENGTH] or\n"
     "                                    SYMBOL[+OFFSET][:LENGTH]\n"
     "  break PLACE...                    hidden breakpoints: @ADDRESS or SYMBOL[+OFFSET]\n"
     "  syscall NAME[,NAME]...            system calls, with their arguments\n"
     "  user PID:ADDRESS...               hidden breakpoints in a process\n"
     "  cr0 cr3 cr4 xcr0 msr NUMBER... cpuid descriptor debug request exit\n"
     "\n"
     "  --if EXPR        tell only if it is true: 'pid == 312 && args.flags & 1'\n"
     "  --args           at a function: what it is called with, by the kernel's types\n"
     "  --result         tell when the function has returned, and what\n"
     "  --process        pid and comm with every event (always with system calls)\n"
     "  --symbols FILE   the guest kernel's System.map or kallsyms; else those in its memory\n"
     "  --slide N        how far the kernel was moved from there (KASLR); else found by itself\n"
     "  --cr3 N          page tables to look addresses up in; else those that it runs on\n"
     "  --show LIST      expressions to print: rdi,rsi:str,[rdi+0x70]:str,task->mm\n"
     "  --values         with a write: the bytes before and after\n"
     "  --return N       at a breakpoint: the function returns N and does nothing\n"
     "  --set LIST       at a breakpoint: new values of registers: rax=0,rdi=rsi+8\n"
     "  --exec COMMAND   run it by sh, with the event as JSON on its input; the guest waits\n"
     "  --limit N        tell of at most N events a second\n"
     "  --summary        tell of none; at the end a chart: how many in each second, and what\n"
     "  --by-steps       pages with breakpoints are executed an instruction at a time: slow, and\n"
     "                   on AMD the one way to hide a breakpoint from its own page's code, too\n"
     "  --kind LIST, --vcpu N, --gfn GFN[+COUNT]   tell only of these\n"
     "  --count N, --for SECONDS   end after that\n"
     "  --stats          a line with the rate each second\n"
     "\nThe guest does not notice: reads of a page with breakpoints give what it wrote there. "
     "What\n"
     "was changed is taken back at the end. Needs the modules xen-privcmd and xen-evtchn.\n"},
};
const unsigned int command_count = ARRAY_SIZE(command_table);

const struct command *command_find(const char *name)
{
    for (unsigned int i = 0; i < command_count; i++)
        if (!strcmp(command_table[i].name, name))
            return &command_table[i];
    return NULL;
}

void command_usage(FILE *f)
{
    fprintf(f, "usage: altp2m [-d DOMID] [--json] COMMAND [ARGUMENT...]\n"
               "Works on a domain's altp2m views, on Facet and on Xen.\n\n");
    for (unsigned int i = 0; i < command_count; i++)
        fprintf(f, "  %-9s %-32s %s\n", command_table[i].name, command_table[i].args,
                command_table[i].summary);
    fprintf(f, "\n  -d, --domain DOMID  the domain to work on (default: the one altp2m runs in)\n"
               "  -j, --json          print JSON\n"
               "  -h, --help          this text, or a command's\n"
               "  -V, --version       altp2m's version\n\n"
               "Numbers are decimal or 0x hexadecimal. ACCESS is one of\n"
               "  " PARSE_ACCESS_NAMES "\n"
               "Exit status: 0 done, 1 refused, 2 usage.\n");
}

void command_help(FILE *f, const struct command *c)
{
    fprintf(f, "usage: altp2m %s%s%s\n%s\n", c->name, *c->args ? " " : "", c->args, c->summary);
    if (*c->help)
        fprintf(f, "\n%s", c->help);
}

enum command_status command_refuse(struct session *s, const char *text, const char *hint, int err)
{
    char buf[24];

    if (s->json) {
        struct json j = json_to(s->out);

        json_open(&j, NULL, '{');
        json_bool(&j, "ok", false);
        json_string(&j, "error", text);
        json_string(&j, "hint", hint && *hint ? hint : NULL);
        json_string(&j, "errno", words_errno(err, buf));
        json_close(&j, '}');
        fputc('\n', s->out);
        return COMMAND_REFUSED;
    }
    fprintf(s->err, "altp2m: %s\n", text);
    if (hint && *hint)
        fprintf(s->err, "  %s\n", hint);
    return COMMAND_REFUSED;
}

enum command_status command_refused(struct session *s, unsigned int cmd, int err,
                                    const struct words_about *about)
{
    static const struct words_about nothing;
    struct words_refusal r;

    memset(&r, 0, sizeof(r));
    words_explain(&s->target, cmd, err, about ? about : &nothing, &r);
    return command_refuse(s, r.text, r.hint, r.err);
}

enum command_status command_misuse(struct session *s, const char *what, const char *arg,
                                   const char *expected)
{
    fprintf(s->err, "altp2m: \"%s\" is not %s: %s\n", arg, what, expected);
    return COMMAND_USAGE;
}

enum command_status command_done(struct session *s)
{
    if (s->json)
        fprintf(s->out, "{\"ok\": true}\n");
    return COMMAND_OK;
}

struct options {
    bool help, version;
    const char *domid;
};

static int usage_error(FILE *err, const char *text, const char *arg)
{
    fprintf(err, "altp2m: %s%s\nTry altp2m --help.\n", text, arg);
    return COMMAND_USAGE;
}

#define OWN_OPTIONS 256 /* above every character */

static const struct option own_options[OPT_NR] = {
    [OPT_ACCESS] = {"access", required_argument, NULL, OWN_OPTIONS + OPT_ACCESS},
    [OPT_SVG] = {"svg", required_argument, NULL, OWN_OPTIONS + OPT_SVG},
    [OPT_COUNT] = {"count", required_argument, NULL, OWN_OPTIONS + OPT_COUNT},
    [OPT_FOR] = {"for", required_argument, NULL, OWN_OPTIONS + OPT_FOR},
    [OPT_STATS] = {"stats", no_argument, NULL, OWN_OPTIONS + OPT_STATS},
    [OPT_SYMBOLS] = {"symbols", required_argument, NULL, OWN_OPTIONS + OPT_SYMBOLS},
    [OPT_SLIDE] = {"slide", required_argument, NULL, OWN_OPTIONS + OPT_SLIDE},
    [OPT_SHOW] = {"show", required_argument, NULL, OWN_OPTIONS + OPT_SHOW},
    [OPT_VALUES] = {"values", no_argument, NULL, OWN_OPTIONS + OPT_VALUES},
    [OPT_RETURN] = {"return", required_argument, NULL, OWN_OPTIONS + OPT_RETURN},
    [OPT_CR3] = {"cr3", required_argument, NULL, OWN_OPTIONS + OPT_CR3},
    [OPT_KIND] = {"kind", required_argument, NULL, OWN_OPTIONS + OPT_KIND},
    [OPT_VCPU] = {"vcpu", required_argument, NULL, OWN_OPTIONS + OPT_VCPU},
    [OPT_GFN] = {"gfn", required_argument, NULL, OWN_OPTIONS + OPT_GFN},
    [OPT_BY_STEPS] = {"by-steps", no_argument, NULL, OWN_OPTIONS + OPT_BY_STEPS},
    [OPT_IF] = {"if", required_argument, NULL, OWN_OPTIONS + OPT_IF},
    [OPT_ARGS] = {"args", no_argument, NULL, OWN_OPTIONS + OPT_ARGS},
    [OPT_RESULT] = {"result", no_argument, NULL, OWN_OPTIONS + OPT_RESULT},
    [OPT_PROCESS] = {"process", no_argument, NULL, OWN_OPTIONS + OPT_PROCESS},
    [OPT_EXEC] = {"exec", required_argument, NULL, OWN_OPTIONS + OPT_EXEC},
    [OPT_SET] = {"set", required_argument, NULL, OWN_OPTIONS + OPT_SET},
    [OPT_LIMIT] = {"limit", required_argument, NULL, OWN_OPTIONS + OPT_LIMIT},
    [OPT_SUMMARY] = {"summary", no_argument, NULL, OWN_OPTIONS + OPT_SUMMARY},
};

static bool owns(const struct command *c, unsigned int opt)
{
    return opt == OPT_ACCESS ? c->run == cmd_create
           : opt == OPT_SVG  ? c->run == cmd_map || c->run == cmd_graph
                             : c->run == cmd_watch;
}

/* 0, or the exit status for a wrong option. */
static int parse_options(int argc, char **argv, struct session *s, struct options *o)
{
    static const struct option general[] = {
        {"domid", required_argument, NULL, 'd'}, {"domain", required_argument, NULL, 'd'},
        {"json", no_argument, NULL, 'j'},        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
    };
    struct option longs[ARRAY_SIZE(general) + OPT_NR + 1] = {0};
    int c;

    memcpy(longs, general, sizeof(general));
    memcpy(longs + ARRAY_SIZE(general), own_options, sizeof(own_options));
    optind = 0; /* glibc: start anew */
    opterr = 0;
    while ((c = getopt_long(argc, argv, "d:jhVo:", longs, NULL)) != -1) {
        c = c == 'o' ? OWN_OPTIONS + OPT_SVG : c;
        switch (c) {
        case 'd':
            if (o->domid)
                return usage_error(s->err, "given twice: -d ", optarg);
            o->domid = optarg;
            break;
        case 'j':
            s->json = true;
            break;
        case 'h':
            o->help = true;
            break;
        case 'V':
            o->version = true;
            break;
        default:
            if (c >= OWN_OPTIONS && s->opt[c - OWN_OPTIONS])
                return usage_error(s->err, "given twice: --", own_options[c - OWN_OPTIONS].name);
            if (c >= OWN_OPTIONS) {
                s->opt[c - OWN_OPTIONS] = optarg ? optarg : "";
                break;
            }
            return usage_error(s->err, "unknown option, or one without its value: ",
                               argv[optind > 1 ? optind - 1 : 1]);
        }
    }
    return 0;
}

static int check_words(struct session *s, const struct command *c, int nargs)
{
    if (nargs < c->min_args || nargs > c->max_args) {
        fprintf(s->err, "altp2m: usage: altp2m %s%s%s\n", c->name, *c->args ? " " : "", c->args);
        return COMMAND_USAGE;
    }
    for (unsigned int i = 0; i < OPT_NR; i++) {
        if (s->opt[i] && !owns(c, i)) {
            fprintf(s->err, "altp2m: --%s does not belong to %s\nTry altp2m --help.\n",
                    own_options[i].name, c->name);
            return COMMAND_USAGE;
        }
    }
    return 0;
}

static int run(struct session *s, const struct command *c, char **argv, int argc,
               int (*open)(struct hypercall *, struct hypercall_trouble *),
               void (*close)(struct hypercall *))
{
    struct hypercall hc;
    struct hypercall_trouble why = {"", ""};
    int rc = open(&hc, &why);

    if (rc)
        return command_refuse(s, why.text, why.hint, -rc);
    s->target.hc = &hc;
    rc = c->run(s, argv, argc);
    close(&hc);
    return rc;
}

int command_main(int argc, char **argv, FILE *out, FILE *err, bool progress,
                 int (*open)(struct hypercall *, struct hypercall_trouble *),
                 void (*close)(struct hypercall *))
{
    struct session s = {{NULL, DOMID_SELF}, out, err, false, progress, {NULL}};
    struct options o = {false, false, NULL};
    const struct command *c = NULL;
    uint64_t domid;
    int rc = parse_options(argc, argv, &s, &o);

    if (rc)
        return rc;
    if (o.version) {
        fprintf(out, "altp2m " COMMAND_VERSION "\n");
        return COMMAND_OK;
    }
    if (optind < argc) {
        c = command_find(argv[optind]);
        if (!c)
            return usage_error(err, "no such command: ", argv[optind]);
    }
    if (o.help) {
        if (c)
            command_help(out, c);
        else
            command_usage(out);
        return COMMAND_OK;
    }
    if (!c) {
        command_usage(err);
        return COMMAND_USAGE;
    }
    if (o.domid) {
        if (!parse_number(o.domid, DOMID_FIRST_RESERVED - 1, &domid))
            return command_misuse(&s, "a domain number", o.domid, "0 to 32751");
        s.target.domid = (uint16_t)domid;
    }
    rc = check_words(&s, c, argc - optind - 1);
    return rc ? rc : run(&s, c, argv + optind + 1, argc - optind - 1, open, close);
}

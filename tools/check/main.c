/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/altp2m/json.h"

#define USAGE 2

static const char *word(enum verdict v)
{
    return v == VERDICT_YES ? "yes" : v == VERDICT_NO ? "no" : "unknown";
}

static void human(const struct report *r)
{
    printf("%s\n", r->processor);
    for (unsigned int i = 0; i < r->nr; i++) {
        const struct item *x = &r->items[i];

        printf("  %-4s %-14s %s\n",
               x->verdict == VERDICT_YES       ? "yes"
               : x->verdict == VERDICT_UNKNOWN ? "?"
               : x->needed                     ? "NO"
                                               : "no",
               x->name, x->text);
    }
    if (r->verdict == VERDICT_YES)
        printf("Facet would run here.\n");
    else if (r->verdict == VERDICT_NO)
        printf("Facet would not run here: %s.\n", r->why);
    else
        printf("Whether Facet would run here is not known: %s.\n", r->why);
}

static void machine(const struct report *r)
{
    struct json j = json_to(stdout);

    json_open(&j, NULL, '{');
    json_number(&j, "schema", 1);
    json_string(&j, "runs", word(r->verdict));
    json_string(&j, "why", r->why[0] ? r->why : NULL);
    json_string(&j, "processor", r->processor);
    json_open(&j, "items", '[');
    for (unsigned int i = 0; i < r->nr; i++) {
        json_open(&j, NULL, '{');
        json_string(&j, "name", r->items[i].name);
        json_string(&j, "verdict", word(r->items[i].verdict));
        json_bool(&j, "needed", r->items[i].needed);
        json_string(&j, "text", r->items[i].text);
        json_close(&j, '}');
    }
    json_close(&j, ']');
    json_close(&j, '}');
    printf("\n");
}

static int from_file(struct facts *f, const char *path, char why[CHECK_TEXT])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc;
    struct stat what;
    FILE *file;

    if (fd < 0 || fstat(fd, &what)) {
        snprintf(why, CHECK_TEXT, "cannot read: %s", strerror(errno));
        return -errno;
    }
    if (!S_ISREG(what.st_mode)) { /* a pipe might never end */
        snprintf(why, CHECK_TEXT, "it is no file");
        close(fd);
        return -EINVAL;
    }
    file = fdopen(fd, "r");
    if (!file)
        return -errno;
    rc = facts_read(f, file, why);
    fclose(file);
    return rc;
}

static int show(const struct facts *f, bool json, bool dump)
{
    static struct report r;

    check(f, &r);
    if (dump)
        facts_write(f, stdout);
    else if (json)
        machine(&r);
    else
        human(&r);
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "facet: error: standard output: %s\n", strerror(errno));
        return USAGE;
    }
    return dump ? 0 : r.verdict == VERDICT_YES ? 0 : r.verdict == VERDICT_NO ? 1 : 3;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"dump", no_argument, NULL, 'd'},
                                            {"from", required_argument, NULL, 'f'},
                                            {0}};
    static struct facts f;
    bool json = false, dump = false;
    const char *path = NULL;
    char why[CHECK_TEXT] = "";
    int c, rc;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        json |= c == 'j';
        dump |= c == 'd';
        path = c == 'f' ? optarg : path;
        if (c == '?')
            return USAGE;
    }
    if (optind < argc) {
        fprintf(stderr, "facet: error: check takes no \"%s\"\n", argv[optind]);
        return USAGE;
    }
    rc = path ? from_file(&f, path, why) : facts_here(&f, why);
    if (rc) {
        fprintf(stderr, "facet: error: %s: %s\n", path ? path : "check", why);
        return USAGE;
    }
    return show(&f, json, dump);
}

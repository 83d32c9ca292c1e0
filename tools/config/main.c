/* SPDX-License-Identifier: MIT */
/* facet-config: xl.cfg files in, device tree for the hypervisor and list of boot modules out. */
#include "domain.h"
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
    "usage: facet-config [OPTION]... CONFIG...\n"
    "Checks configuration files in xl.cfg syntax and compiles them for the hypervisor.\n"
    "\n"
    "  -o, --output FILE    write the device tree to FILE\n"
    "  -i, --interactive    domain 1's console is the terminal\n"
    "  -m, --memory MIB     refuse domains that need more memory than this together\n"
    "  -h, --help           show this text\n"
    "\n"
    "Prints, each on a line of its own with tabs between the fields:\n"
    "  module INDEX kernel|ramdisk PATH     the boot modules, from index 1\n"
    "  domain ID MEMORY-KIB TABLES-KIB NAME KERNEL-INDEX RAMDISK-BYTES FILE:LINE\n"
    "where FILE:LINE is where the kernel is named.\n"
    "Exit status: 0, or 2 if anything is wrong with the files or options.\n";

struct options {
    const char *output;
    bool interactive;
    uint64_t memory_mib; /* 0: not checked */
};

/* Opens a regular file; nothing else can keep us waiting. NULL with errno set, 0 if it is
 * something else. */
static FILE *open_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    FILE *file = NULL;
    struct stat st;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0) {
        if (S_ISREG(st.st_mode))
            file = fdopen(fd, "rb");
        else
            errno = S_ISDIR(st.st_mode) ? EISDIR : 0;
    }
    if (!file) {
        int error = errno;

        close(fd);
        errno = error;
    }
    return file;
}

/* Reads a whole file of at most XLCFG_MAX_FILE + 1 bytes; NULL with the error reported. */
static char *read_file(const char *path, size_t *length, struct diag *diag)
{
    FILE *file = open_file(path);
    char *text = file ? malloc(XLCFG_MAX_FILE + 1) : NULL;

    if (!text) {
        diag_error(diag, 0, "cannot read: %s", errno ? strerror(errno) : "not a regular file");
    } else {
        *length = fread(text, 1, XLCFG_MAX_FILE + 1, file);
        if (ferror(file)) {
            diag_error(diag, 0, "cannot read: %s", strerror(errno));
            free(text);
            text = NULL;
        }
    }
    if (file)
        fclose(file);
    return text;
}

/* Reads one configuration. Returns the number of errors it has. */
static unsigned read_domain(const char *path, struct domain *domain)
{
    struct diag diag = {.out = stderr, .file = path};
    struct xlcfg config;
    size_t length;
    char *text = read_file(path, &length, &diag);

    *domain = (struct domain){0};
    if (!text)
        return diag.errors;
    xlcfg_parse(text, length, &config, &diag);
    domain_from_config(&config, domain, &diag);
    xlcfg_free(&config);
    free(text);
    return diag.errors;
}

static unsigned check_names(const struct domain *domains, char *const *files, size_t count)
{
    unsigned errors = 0;

    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (!strcmp(domains[i].name, domains[j].name)) {
                fprintf(stderr, "%s: name \"%s\" is also the name in %s\n", files[i],
                        domains[i].name, files[j]);
                errors++;
                break;
            }
        }
    }
    return errors;
}

static unsigned check_hardware(const struct domain *domains, char *const *files, size_t count)
{
    const char *first = NULL;

    for (size_t i = 0; i < count; i++) {
        if (domains[i].hardware && first) {
            fprintf(stderr, "%s: hardware = 1 is also in %s\n", files[i], first);
            return 1;
        }
        first = domains[i].hardware ? files[i] : first;
    }
    return 0;
}

static unsigned check_memory(const struct domain *domains, size_t count, uint64_t limit_mib)
{
    uint64_t total_kib = 0;

    for (size_t i = 0; i < count; i++)
        total_kib += domains[i].memory_kib + domains[i].table_memory_kib;
    if (!limit_mib || total_kib <= limit_mib * 1024)
        return 0;
    fprintf(stderr,
            "facet-config: the domains need %" PRIu64 " MiB together, but the machine has %" PRIu64
            " MiB for them:\n",
            (total_kib + 1023) / 1024, limit_mib);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "  %s: %" PRIu64 " MiB of memory and %" PRIu64 " MiB of tables\n",
                domains[i].name, domains[i].memory_kib / 1024,
                (domains[i].table_memory_kib + 1023) / 1024);
    return 1;
}

static bool write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    bool good = file && fwrite(data, 1, size, file) == size;

    if (file && fclose(file))
        good = false;
    if (!good)
        fprintf(stderr, "facet-config: cannot write %s: %s\n", path, strerror(errno));
    return good;
}

static void print_list(const struct domain *domains, char *const *files, size_t count,
                       const struct module_list *modules)
{
    static const char *const kinds[] = {[MODULE_KERNEL] = "kernel", [MODULE_RAMDISK] = "ramdisk"};

    for (size_t i = 0; i < modules->count; i++)
        printf("module\t%zu\t%s\t%s\n", i + 1, kinds[modules->modules[i].kind],
               modules->modules[i].path);
    for (size_t i = 0; i < count; i++)
        printf("domain\t%" PRIu32 "\t%" PRIu64 "\t%" PRIu64 "\t%s\t%zu\t%" PRIu64 "\t%s:%u\n",
               tree_domid(domains, count, i), domains[i].memory_kib, domains[i].table_memory_kib,
               domains[i].name, module_find(modules, MODULE_KERNEL, domains[i].kernel),
               domains[i].ramdisk_size, files[i], domains[i].kernel_line);
}

static bool emit(const struct domain *domains, char *const *files, size_t count,
                 const struct options *options)
{
    struct module_list modules = {0};
    const char *refusal;
    size_t size, bad;
    void *tree = tree_build(domains, count, options->interactive, &modules, &size);
    bool good = tree != NULL;

    if (!tree) {
        fprintf(stderr, "facet-config: cannot build the device tree: %s\n", strerror(errno));
    } else if ((refusal = tree_refusal(tree, size, modules.count, &bad))) {
        fprintf(stderr, "%s: the hypervisor would refuse it: %s\n", files[bad], refusal);
        good = false;
    } else if (options->output)
        good = write_file(options->output, tree, size);
    if (good)
        print_list(domains, files, count, &modules);
    module_list_free(&modules);
    free(tree);
    return good;
}

static int run(char *const *files, size_t count, const struct options *options)
{
    struct domain *domains = calloc(count, sizeof(*domains));
    unsigned errors = 0;

    if (!domains) {
        perror("facet-config");
        return 2;
    }
    for (size_t i = 0; i < count; i++)
        errors += read_domain(files[i], &domains[i]);
    if (!errors)
        errors = check_names(domains, files, count) + check_hardware(domains, files, count) +
                 check_memory(domains, count, options->memory_mib);
    if (!errors && !emit(domains, files, count, options))
        errors++;
    for (size_t i = 0; i < count; i++)
        domain_free(&domains[i]);
    free(domains);
    return errors ? 2 : 0;
}

static bool parse_memory(const char *text, uint64_t *mib)
{
    char *end;

    errno = 0;
    *mib = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !errno && !*end && *mib && *mib <= UINT32_MAX;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"output", required_argument, NULL, 'o'},
        {"interactive", no_argument, NULL, 'i'},
        {"memory", required_argument, NULL, 'm'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct options options = {0};
    int c;

    while ((c = getopt_long(argc, argv, "o:im:h", names, NULL)) != -1) {
        switch (c) {
        case 'o':
            options.output = optarg;
            break;
        case 'i':
            options.interactive = true;
            break;
        case 'm':
            if (!parse_memory(optarg, &options.memory_mib)) {
                fprintf(stderr, "facet-config: --memory wants a number of MiB, not '%s'\n", optarg);
                return 2;
            }
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            return 2;
        }
    }
    if (optind == argc) {
        fprintf(stderr, "facet-config: give 1 to %u configuration files\n", DOMAIN_MAX);
        return 2;
    }
    if ((unsigned)(argc - optind) > DOMAIN_MAX) {
        fprintf(stderr, "%s: domain %u of %d; the most is %u\n", argv[optind + (int)DOMAIN_MAX],
                DOMAIN_MAX + 1, argc - optind, DOMAIN_MAX);
        return 2;
    }
    return run(argv + optind, (size_t)(argc - optind), &options);
}

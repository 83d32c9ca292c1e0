/* SPDX-License-Identifier: MIT */
/*
 * Prints include/facet/altp2m_stubs.h. `make stubs` writes it, `make check-reference` compares.
 */
#include <stdio.h>
#include <string.h>

#include "rows.h"
#include <facet/hvmop.h>

#define WIDTH 100u
#define MANY  4u /* results: beyond it the whole argument is handed over */

static const char head[] =
    "/* SPDX-License-Identifier: MIT */\n"
    "/* Made by `make stubs` from core/subops.h and core/fields.h. Do not edit. */\n"
    "#pragma once\n"
    "\n"
    "/*\n"
    " * One function per sub-operation of HVMOP_altp2m, Xen's and Facet's, for any caller that can "
    "make\n"
    " * hypercalls: no libc, no state. Include Xen's hvm/hvm_op.h and facet/hvmop.h first.\n"
    " *\n"
    " * Each returns what the hypercall returns: 0 or a negative errno. What a pointer leads to is "
    "sent\n"
    " * as it is and is afterwards what the hypervisor left there, whatever is returned. Addresses "
    "of\n"
    " * lists and buffers are linear addresses of the caller.\n"
    " */\n"
    "\n"
    "struct altp2m_stub {\n"
    "    /* Makes the hypercall hvm_op (34). */\n"
    "    long (*hvm_op)(void *context, unsigned op, void *arg);\n"
    "    void *context;\n"
    "    uint16_t domain; /* whom calls are about: DOMID_SELF, or another */\n"
    "};\n"
    "\n";

static const char call[] =
    "/* struct xen_hvm_altp2m_op with Facet's arguments. It is filled in where it is sent from: "
    "nothing is\n"
    " * copied, and no function of a library called. */\n"
    "struct altp2m_stub_op {\n"
    "    uint32_t version, cmd;\n"
    "    uint16_t domain, pad1;\n"
    "    uint32_t pad2;\n"
    "    union altp2m_stub_argument u;\n"
    "};\n"
    "typedef char altp2m_stub_op_is_xens\n"
    "    [sizeof(struct altp2m_stub_op) == sizeof(struct xen_hvm_altp2m_op) ? 1 : -1];\n"
    "\n"
    "/* `cmd` and its argument are there. */\n"
    "static inline long altp2m_stub_call(const struct altp2m_stub *s, struct altp2m_stub_op *op)\n"
    "{\n"
    "    op->version = HVMOP_ALTP2M_INTERFACE_VERSION;\n"
    "    op->domain = s->domain;\n"
    "    return s->hvm_op(s->context, HVMOP_altp2m, op);\n"
    "}\n";

/* Values that come back; one that no pointer to a number can take counts as many. */
static unsigned count_results(const struct row *r)
{
    unsigned n = 0;

    for (unsigned i = 0; i < r->nr_fields; i++) {
        n += r->fields[i].kind == BYTES ? MANY + 1 : r->fields[i].way != IN;
    }
    return n;
}

/* Each row's argument by the row's name. */
static void arguments(void)
{
    printf("union altp2m_stub_argument {\n    uint8_t pad[64];\n");
    for (unsigned i = 0; i < nr_rows; i++) {
        if (rows[i].nr_fields) {
            printf("    %s %s;\n", rows[i].type, rows[i].name);
        }
    }
    printf("};\n\n");
}

/* Prints ", PARAMETER" and returns the column, on a new line if it does not fit. */
static unsigned parameter(const struct field *f, unsigned column)
{
    static const char *const types[] = {
        [1] = "uint8_t", [2] = "uint16_t", [4] = "uint32_t", [8] = "uint64_t"};
    const char *type = f->kind == LIST || f->kind == HANDLE ? "const void"
                       : f->kind == BUFFER                  ? "void"
                       : f->kind == ERROR                   ? "int32_t"
                                                            : types[f->size];
    int pointer = f->way != IN || f->kind == LIST || f->kind == HANDLE || f->kind == BUFFER;
    unsigned length = (unsigned)(strlen(type) + strlen(f->name)) + 1 + (unsigned)pointer;

    if (column + 2 + length + 1 > WIDTH) {
        printf(",\n    ");
        column = 4;
    } else {
        printf(", ");
        column += 2;
    }
    printf(pointer ? "%s *%s" : "%s %s", type, f->name);
    return column + length;
}

static void fill(const struct row *r, const struct field *f)
{
    switch (f->kind) {
    case HANDLE:
        printf("    set_xen_guest_handle(op.u.%s.%s, %s);\n", r->name, f->name, f->name);
        break;
    case LIST:
    case BUFFER:
        printf("    op.u.%s.%s = (uint64_t)(uintptr_t)%s;\n", r->name, f->name, f->name);
        break;
    default:
        printf("    op.u.%s.%s = %s%s;\n", r->name, f->name, f->way == IN ? "" : "*", f->name);
        break;
    }
}

static void stub(const struct row *r)
{
    unsigned results = count_results(r);
    unsigned column = sizeof("    const struct altp2m_stub *s") - 1;
    const char *prefix = r->number < FACET_ALTP2M_query ? "HVMOP_altp2m_" : "FACET_ALTP2M_";

    printf("\n/* %s */\nstatic inline long altp2m_stub_%s(\n    const struct altp2m_stub *s",
           r->summary, r->name);
    if (results > MANY) {
        printf(", %s *u", r->type);
    }
    for (unsigned i = 0; results <= MANY && i < r->nr_fields; i++) {
        column = parameter(&r->fields[i], column);
    }
    printf(")\n{\n    struct altp2m_stub_op op = {0};\n%s\n    op.cmd = %s%s;\n",
           results ? "    long rc;\n" : "", prefix, r->name);
    if (results > MANY) {
        printf("    op.u.%s = *u;\n    rc = altp2m_stub_call(s, &op);\n    *u = op.u.%s;\n"
               "    return rc;\n}\n",
               r->name, r->name);
        return;
    }
    for (unsigned i = 0; i < r->nr_fields; i++) {
        fill(r, &r->fields[i]);
    }
    printf("    %s altp2m_stub_call(s, &op);\n", results ? "rc =" : "return");
    for (unsigned i = 0; i < r->nr_fields; i++) {
        if (r->fields[i].way != IN) {
            printf("    *%s = op.u.%s.%s;\n", r->fields[i].name, r->name, r->fields[i].name);
        }
    }
    printf("%s}\n", results ? "    return rc;\n" : "");
}

int main(void)
{
    rows_init();
    fputs(head, stdout);
    arguments();
    fputs(call, stdout);
    for (unsigned i = 0; i < nr_rows; i++) {
        stub(&rows[i]);
    }
    return ferror(stdout) || fflush(stdout) ? 1 : 0;
}

/* Which client has which row. */
#include "sim/prepare_rows.h"

#include "text/normalize.h"
#include "text/unicode.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 64 };

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "no memory for the clients of the data set");
}

/* "Debian Perl Group" -> "debian-perl-group"; accents go. */
static int file_name(const char *maintainer, char out[NAME_BYTES], struct err *e)
{
    struct normalizer plain = {0};
    struct ints text = {0}, spare = {0};
    size_t n = 0;
    int rc = normalizer_add(&plain, NORMALIZE_NFKD, e);

    if (!rc)
        rc = normalizer_add(&plain, NORMALIZE_DROP_MARKS, e);
    if (!rc)
        rc = normalizer_add(&plain, NORMALIZE_LOWER, e);
    if (!rc)
        rc = unicode_decode(maintainer, strlen(maintainer), &text, e);
    if (!rc)
        rc = normalize(&plain, &text, &spare, e);
    for (size_t i = 0; !rc && i < text.n && n < NAME_BYTES - 1; i++) {
        int32_t c = text.v[i];
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            out[n++] = (char)c;
        else if (n > 0 && out[n - 1] != '-')
            out[n++] = '-';
    }
    while (n > 0 && out[n - 1] == '-')
        n--;
    out[n] = '\0';
    if (!rc && n == 0)
        snprintf(out, NAME_BYTES, "maintainer");
    ints_release(&text);
    ints_release(&spare);
    return rc;
}

struct owner {
    const char *name;
    size_t n;      /* rows of train */
    size_t client; /* which one has them; SIZE_MAX: none */
};

struct owners {
    struct owner *v;
    size_t n;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct owner *)a)->name, ((const struct owner *)b)->name);
}

static int by_size(const void *a, const void *b)
{
    const struct owner *x = a, *y = b;

    return x->n != y->n ? (x->n < y->n) - (x->n > y->n) : by_name(a, b);
}

/* Names each row's maintainer and lists them, the one with the most rows first. */
static int list_owners(struct prepare_rows *r, struct owners *o, struct err *e)
{
    size_t n = 0, different = 0;

    for (size_t i = 0; i < r->n; i++) {
        char name[NAME_BYTES];
        struct prepare_row *row = &r->row[i];
        if (row->test)
            continue;
        int rc = file_name(row->package->maintainer, name, e);
        row->owner = rc ? NULL : arena_strdup(&r->mem, name);
        if (!row->owner)
            return rc ? rc : no_memory(e);
        o->v[n++] = (struct owner){.name = row->owner, .n = 1};
    }
    if (n)
        qsort(o->v, n, sizeof *o->v, by_name);
    for (size_t i = 0; i < n; i++) {
        if (different > 0 && strcmp(o->v[i].name, o->v[different - 1].name) == 0)
            o->v[different - 1].n++;
        else
            o->v[different++] = o->v[i];
    }
    if (different)
        qsort(o->v, different, sizeof *o->v, by_size);
    o->n = different;
    return 0;
}

/* The first owners are the clients. */
static int choose_clients(struct prepare_rows *r, struct owners *o, const struct prepare_spec *spec,
                          struct err *e)
{
    size_t n = o->n < spec->clients ? o->n : spec->clients;
    size_t *size = calloc(n + 1, sizeof *size);

    r->client = arena_calloc(&r->mem, n + 1, sizeof *r->client);
    if (!r->client || !size) {
        free(size);
        return no_memory(e);
    }
    for (size_t i = 0; i < o->n; i++) {
        struct owner *x = &o->v[i];
        x->client = i;
        if (i < n) {
            r->client[i] = x->name;
        } else if (spec->drop_rest) {
            x->client = SIZE_MAX;
            continue;
        } else {
            x->client = 0;
            for (size_t k = 1; k < n; k++)
                if (size[k] < size[x->client])
                    x->client = k;
        }
        size[x->client] += x->n;
    }
    r->n_clients = n;
    r->maintainers = spec->drop_rest ? n : o->n;
    free(size);
    return 0;
}

static void set_owners(struct prepare_rows *r, struct owners *o)
{
    if (o->n)
        qsort(o->v, o->n, sizeof *o->v, by_name);
    for (size_t i = 0; i < r->n; i++) {
        struct prepare_row *row = &r->row[i];
        if (row->test)
            continue;
        const struct owner key = {.name = row->owner};
        const struct owner *x = bsearch(&key, o->v, o->n, sizeof key, by_name);
        row->owner = x && x->client != SIZE_MAX ? r->client[x->client] : NULL;
    }
}

int prepare_rows_share(struct prepare_rows *r, const struct prepare_spec *spec, struct err *e)
{
    struct owners o = {.v = calloc(r->n + 1, sizeof *o.v)};

    if (!o.v)
        return no_memory(e);
    int rc = list_owners(r, &o, e);
    if (!rc)
        rc = choose_clients(r, &o, spec, e);
    if (!rc)
        set_owners(r, &o);
    free(o.v);
    return rc;
}

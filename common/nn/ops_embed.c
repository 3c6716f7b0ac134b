#include "nn/hot.h"
#include "nn/ops.h"
#include "nn/record.h"

#include <assert.h>
#include <string.h>

/* y += x, over a row */
HOT static void add_row(size_t n, const real *restrict x, real *restrict y)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

/* One record a table that wants a gradient; a selection of rows is an embedding in a table of
 * activations. */
struct lookup {
    struct record r;
    struct val *table;
    const int32_t *id; /* out->rows of them */
};

static void lookup_backward(struct tape *t, struct record *r)
{
    const struct lookup *l = (const struct lookup *)r;
    const size_t d = (size_t)r->out->cols;
    real *g = tape_grad_add(t, l->table);

    for (int i = 0; tape_computes(t) && i < r->out->rows; i++)
        add_row(d, r->out->g + (size_t)i * d, g + (size_t)l->id[i] * d);
}

static void record_lookup(struct tape *t, struct val *y, struct val *table, const int32_t *id)
{
    if (!table->wants_grad)
        return;
    struct lookup *l = tape_record(t, sizeof *l, lookup_backward, y);
    l->table = table;
    l->id = tape_copy(t, id, (size_t)y->rows * sizeof *id);
}

/* to = row `id` of a table, or to += it; `spare` is room for a row, when the table is stored. */
static void take_row(const struct val *table, int32_t id, bool add, real *spare, real *to)
{
    const size_t d = (size_t)table->cols, from = (size_t)id * d;
    const real *row = table->x ? table->x + from : spare;

    if (!table->x)
        stored_read(table->stored, from, d, spare);
    if (add)
        add_row(d, row, to);
    else
        memcpy(to, row, d * sizeof *to);
}

struct val *op_embed(struct tape *t, int T, int n, struct val *const *table,
                     const int32_t *const *id)
{
    const size_t d = (size_t)table[0]->cols;
    struct val *y = tape_new(t, T, (int)d);
    real *spare = tape_scratch(t, d);

    for (int i = 0; tape_computes(t) && i < T; i++)
        for (int k = 0; k < n; k++)
            take_row(table[k], id[k][i], k > 0, spare, val_data(y) + (size_t)i * d);
    tape_unscratch(t, spare, d);
    for (int k = 0; k < n; k++) {
        assert(table[k]->cols == (int)d);
        record_lookup(t, y, table[k], id[k]);
    }
    return y;
}

struct val *op_rows(struct tape *t, struct val *x, const int32_t *index, int n)
{
    return op_embed(t, n, 1, &x, &index);
}

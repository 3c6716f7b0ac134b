#include "work.h"
#include "base/file.h"
#include "base/rng.h"
#include "measure.h"
#include "model/model_dir.h"
#include "model/quantize.h"
#include "random_model.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LENGTHS = 16 << 20 }; /* bytes */

static const struct {
    const char *name;
    struct random_model model;
} shapes[] = {
    {"minilm", {"bert", 6, 384, 12, 1536, 30522, 512, 0.02f, 1, FAULT_NONE, DTYPE_F32}},
    {"roberta-base", {"roberta", 12, 768, 12, 3072, 50265, 514, 0.02f, 1, FAULT_NONE, DTYPE_F32}},
};

/* Lengths drawn from those of a file, one a line. */
static int draw_lengths(const char *path, int length[WORK_EXAMPLES], struct err *e)
{
    char *text;
    size_t n = 0;
    int rc = file_read(path, MOST_LENGTHS, &text, NULL, e);
    if (rc)
        return rc;
    long *known = malloc((strlen(text) / 2 + 1) * sizeof *known);
    for (char *at = text, *end; known; at = end) {
        long x = strtol(at, &end, 10);
        if (end == at)
            break;
        known[n++] = x < 1 ? 1 : x > WORK_MAX_LENGTH ? WORK_MAX_LENGTH : x;
    }
    struct rng rng = rng_stream(1, 0, 0, RNG_TEST);
    for (int i = 0; n > 0 && i < WORK_EXAMPLES; i++)
        length[i] = (int)known[rng_below(&rng, (uint32_t)n)];
    free(known);
    free(text);
    return n > 0 ? 0 : err_set(e, ERR_DATA, "%s: no lengths", path);
}

static int choose_lengths(const char *name, int length[WORK_EXAMPLES], struct err *e)
{
    bool full = strcmp(name, "full") == 0;
    struct rng rng = rng_stream(1, 0, 0, RNG_TEST);
    if (!full && strcmp(name, "pairs") != 0)
        return draw_lengths(name, length, e);
    for (int i = 0; i < WORK_EXAMPLES; i++)
        length[i] = full ? WORK_MAX_LENGTH : (int)(20 + rng_below(&rng, 34) + rng_below(&rng, 34));
    return 0;
}

static int write_lengths(const char *dir, const int length[WORK_EXAMPLES], struct err *e)
{
    char path[PATH_MAX], text[WORK_EXAMPLES * 4 + 1];
    size_t len = 0;
    for (int i = 0; i < WORK_EXAMPLES; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%d\n", length[i]);
    int rc = file_join(path, sizeof path, dir, "lengths.txt", e);
    return rc ? rc : file_write(path, text, len, 0644, e);
}

/* The random model in F32 beside `dir`, and out of it the one in int8. */
static int write_int8(const struct random_model *random, const char *dir, struct err *e)
{
    struct model *m;
    char f32[PATH_MAX];
    int n = snprintf(f32, sizeof f32, "%s.f32", dir);
    int rc = n < PATH_MAX ? random_model_write(random, f32, e)
                          : err_set(e, ERR_IO, "%.60s...: the path is too long", dir);
    if (rc)
        return rc;
    rc = model_open(&m, f32, e);
    if (!rc) {
        rc = quantize_model(m, dir, e);
        model_close(m);
    }
    model_dir_remove(f32);
    return rc;
}

int work_make(const char *shape, const char *lengths, enum stored_as as, const char *dir,
              struct err *e)
{
    int length[WORK_EXAMPLES], rc = choose_lengths(lengths, length, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (strcmp(shape, shapes[i].name) == 0) {
            struct random_model m = shapes[i].model;
            m.dtype = as == STORED_F16 ? DTYPE_F16 : DTYPE_F32;
            rc = as == STORED_INT8 ? write_int8(&m, dir, e) : random_model_write(&m, dir, e);
            return rc ? rc : write_lengths(dir, length, e);
        }
    return err_set(e, ERR_USAGE, "shape %s is unknown; use minilm or roberta-base", shape);
}

int work_data(struct dataset *d, const char *dir, int vocab, struct err *e)
{
    char path[PATH_MAX], *text = NULL;
    int rc = file_join(path, sizeof path, dir, "lengths.txt", e);
    if (!rc)
        rc = file_read(path, WORK_EXAMPLES * 8, &text, NULL, e);
    if (rc)
        return rc;
    struct rng rng = rng_stream(2, 0, 0, RNG_TEST);
    static const char *const labels[] = {"even", "odd"};
    d->n_labels = 2;
    d->label_name = labels;
    d->example = arena_calloc(&d->mem, WORK_EXAMPLES, sizeof *d->example);
    int32_t *type = arena_calloc(&d->mem, WORK_MAX_LENGTH, sizeof *type);
    bool room = d->example && type;
    for (char *at = text; room && d->n < WORK_EXAMPLES; d->n++) {
        long n = strtol(at, &at, 10);
        int32_t *id =
            n < 1 || n > WORK_MAX_LENGTH ? NULL : arena_calloc(&d->mem, (size_t)n, sizeof *id);
        if (!id)
            break;
        for (long i = 0; i < n; i++)
            id[i] = (int32_t)rng_below(&rng, (uint32_t)vocab);
        d->example[d->n] = (struct example){.id = id,
                                            .type = type,
                                            .n_tokens = (int32_t)n,
                                            .label = (int32_t)(d->n % 2),
                                            .text = ""};
    }
    free(text);
    return d->n == WORK_EXAMPLES
               ? 0
               : err_set(e, ERR_DATA, "%s: %d lengths expected", path, WORK_EXAMPLES);
}

struct local_spec work_local(uint32_t steps)
{
    return (struct local_spec){.steps = steps,
                               .batch_size = WORK_BATCH,
                               .accumulate = 1,
                               .max_length = WORK_MAX_LENGTH,
                               .lr = 1e-3,
                               .beta1 = 0.9,
                               .beta2 = 0.999,
                               .eps = 1e-8,
                               .max_grad_norm = 1,
                               .model_dropout = -1};
}

#define SPEC(NAME, ...)                                                                            \
    {                                                                                              \
        NAME,                                                                                      \
        {                                                                                          \
            .method = (char[]){NAME}, __VA_ARGS__                                                  \
        }                                                                                          \
    }
const struct work_method work_methods[] = {
    SPEC("lora", .r = 8, .alpha = 8, .targets = 1u << LIN_QUERY | 1u << LIN_VALUE),
    SPEC("adapter", .bottleneck = 16, .placement = PLACEMENT_HOULSBY),
    SPEC("prefix", .length = 16),
    SPEC("bitfit", .biases = BIASES_ALL),
    SPEC("head", .r = 0),
    SPEC("full", .r = 0),
};

/* Multiply-adds that a method adds to a layer's forward pass: so many for each token of its input
 * (in) and of its output (out). */
static void method_products(const struct peft_spec *s, double h, double *in, double *out)
{
    *in = *out = 0;
    if (strcmp(s->method, "lora") == 0)
        *in = *out = 2 * h * s->r; /* value; query */
    else if (strcmp(s->method, "adapter") == 0)
        *out = 4 * h * s->bottleneck;
    else if (strcmp(s->method, "prefix") == 0)
        *out = 2 * h * s->length;
}

double work_flops(const struct model_config *c, const struct dataset *d,
                  const struct work_method *m, bool training)
{
    bool head = strcmp(m->name, "head") == 0, full = strcmp(m->name, "full") == 0;
    /* What is trained below the projections of layer 0. */
    bool below = full || strcmp(m->name, "bitfit") == 0;
    double h = c->hidden, square = h * h, wide = 2 * h * c->ffn, tokens = 0, pairs = 0, total = 0;
    double own_in, own_out, weights = training && full ? 1 : 0, back = training && !head ? 1 : 0;
    method_products(&m->spec, h, &own_in, &own_out);
    for (size_t i = 0; i < d->n; i++) {
        tokens += d->example[i].n_tokens;
        pairs += (double)d->example[i].n_tokens * d->example[i].n_tokens;
    }
    for (int l = 0; l < c->layers; l++) {
        bool last = l == c->layers - 1;
        double out = last ? (double)d->n : tokens, in = 2 * tokens * square + out * square;
        double after = out * (square + wide), attention = 2 * h * (last ? tokens : pairs);
        total += in * (1 + (l > 0 || below ? back : 0) + weights);
        total += after * (1 + back + weights) + attention * (1 + 2 * back);
        total += (tokens * own_in + out * own_out) * (1 + 2 * back);
    }
    return 2 * total;
}

double work_gemm_rate(const struct model_config *c)
{
    enum { ROWS = 512 };
    double square = 4.0 * c->hidden * c->hidden, wide = (double)c->hidden * c->ffn;
    double time = square / measure_gemm(ROWS, c->hidden, c->hidden) +
                  wide / measure_gemm(ROWS, c->ffn, c->hidden) +
                  wide / measure_gemm(ROWS, c->hidden, c->ffn);
    return (square + 2 * wide) / time;
}

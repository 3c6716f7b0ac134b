/* Masked-language-modelling logits of a model directory, for mlm_parity.py.
 *
 *   mlm_scores MODEL IN OUT
 *
 * IN: safetensors with off [n + 1], id [tokens] and tag [tokens] (-1: not to be guessed), as F32.
 * OUT: logits [tagged tokens, vocabulary] and loss [1], the mean over tagged tokens. */
#include "nn/kernels.h"
#include "peft/peft.h"
#include <stdio.h>
#include <string.h>

struct scores {
    struct model *model;
    struct peft *peft;
    struct safetensors in;
    struct arena mem;
    struct batch batch;
    const char *out;
    real *theta;
    int rc;
    struct err *e;
};

static int32_t *read_ints(struct scores *s, const char *name, int *n)
{
    const struct st_tensor *t = safetensors_find(&s->in, name);
    float *x = t ? arena_calloc(&s->mem, t->count, sizeof *x) : NULL;
    int32_t *out = t ? arena_calloc(&s->mem, t->count, sizeof *out) : NULL;
    if (!x || !out || st_tensor_floats(t, x, s->e))
        return NULL;
    for (size_t i = 0; i < t->count; i++)
        out[i] = (int32_t)x[i];
    *n = (int)t->count;
    return out;
}

static int read_batch(struct scores *s)
{
    int n = 0, tokens = 0, tags = 0, first = model_first_position(&s->model->cfg);
    int32_t *off = read_ints(s, "off", &n), *id = read_ints(s, "id", &tokens);
    int32_t *tag = read_ints(s, "tag", &tags);
    int32_t *pos = arena_calloc(&s->mem, (size_t)tokens + 1, sizeof *pos);
    int32_t *type = arena_calloc(&s->mem, (size_t)tokens + 1, sizeof *type);
    if (!off || !id || !tag || !pos || !type || n < 2 || tags != tokens || off[n - 1] != tokens)
        return err_set(s->e, ERR_DATA, "off, id and tag do not fit");
    for (int k = 0; k + 1 < n; k++)
        for (int i = off[k]; i < off[k + 1]; i++)
            pos[i] = first + i - off[k];
    s->batch = (struct batch){
        .n = n - 1, .tokens = tokens, .off = off, .id = id, .type = type, .pos = pos, .tag = tag};
    return 0;
}

static void score(struct tape *t, void *arg)
{
    struct scores *s = arg;
    struct val *x = peft_logits(s->peft, t, &s->batch, s->theta, NULL);
    struct val *loss = peft_loss(s->peft, t, x, &s->batch, 1 / (real)x->rows);
    const struct st_out out[] = {
        {.name = "logits", .ndim = 2, .dim = {x->rows, x->cols}, .x = x->x},
        {.name = "loss", .ndim = 1, .dim = {1}, .x = loss->x}};
    s->rc = safetensors_write(s->out, out, 2, s->e);
}

static int run(struct scores *s, const char *dir, const char *in)
{
    static char method[] = "head";
    const struct peft_spec spec = {.method = method};
    struct tape *tape = NULL;
    int rc = model_open(&s->model, dir, s->e);
    if (!rc)
        rc = safetensors_open(&s->in, in, s->e);
    if (!rc)
        rc = read_batch(s);
    if (!rc)
        rc = peft_open(&s->peft, s->model, &spec, NULL, HEAD_MLM, 0, s->e);
    if (rc)
        return rc;
    s->theta = arena_calloc(&s->mem, peft_schema(s->peft)->count, sizeof *s->theta);
    if (!s->theta)
        return err_set(s->e, ERR_NOMEM, "no memory");
    peft_init(s->peft, 1, s->theta);
    rc = tape_open(&tape, 0, s->e);
    if (!rc)
        rc = tape_run(tape, false, rng_stream(0, 0, 0, RNG_DROPOUT), score, s, s->e);
    tape_close(tape);
    return rc ? rc : s->rc;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    kernels_choose(argv);
    struct scores s = {.out = argc == 4 ? argv[3] : NULL, .e = &e};
    arena_init(&s.mem, ARENA_NO_CAP);
    int rc = argc == 4 ? run(&s, argv[1], argv[2])
                       : err_set(&e, ERR_USAGE, "use: mlm_scores MODEL IN OUT");
    if (rc)
        fprintf(stderr, "mlm_scores: %s\n", e.text);
    peft_close(s.peft);
    safetensors_close(&s.in);
    model_close(s.model);
    arena_release(&s.mem);
    return rc;
}

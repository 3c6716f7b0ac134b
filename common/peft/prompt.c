/* Prompt tuning (Lester et al. 2021): P trained rows before the word embeddings of the text. They
 * pass through positions, type 0 and layer norm as words do, and the head reads the first of them,
 * as in HF PEFT. */
#include "peft/init.h"
#include "peft/method.h"
#include <string.h>

enum { PROMPT_MAX_LENGTH = 1024, ROWS = 0 };

static int prompt_plan(struct peft *p, struct err *e)
{
    uint32_t n = p->spec.length;
    if (n < 1 || n > PROMPT_MAX_LENGTH)
        return err_set(e, ERR_CONFIG, "peft.length is %u: must be from 1 to %d", n,
                       PROMPT_MAX_LENGTH);
    return peft_add_named(p, "prompt_embeddings", (int)n, p->model->cfg.hidden, e);
}

/* Embeddings of words drawn from the vocabulary: the start that Lester et al. found to be better
 * than random values, for all but the largest models. */
static void prompt_init(const struct peft *p, uint64_t seed, real *theta)
{
    const struct tensor_spec *s = &p->schema.tensor[ROWS];
    size_t d = (size_t)p->model->cfg.hidden;
    struct rng r = init_stream(seed, ROWS);
    for (size_t row = 0; row < p->spec.length; row++) {
        size_t word = rng_below(&r, (uint32_t)p->model->cfg.vocab);
        stored_read(p->model->word, word * d, d, theta + s->offset + row * d);
    }
}

static struct val *prompt_begin(const struct peft *p, struct tape *t, const real *theta, real *grad)
{
    return peft_param(p, t, ROWS, theta, grad);
}

static struct val *prompt_rows(const struct peft *p, struct tape *t, struct val *begun)
{
    (void)p;
    (void)t;
    return begun;
}

static int prompt_shift(const struct peft_spec *spec)
{
    return (int)spec->length;
}

const struct peft_method peft_prompt = {
    .name = "prompt",
    .what = "rows before the word embeddings of the text (Lester et al. 2021)",
    .settings = "length",
    .plan = prompt_plan,
    .init = prompt_init,
    .begin = prompt_begin,
    .prompt = prompt_rows,
    .shift = prompt_shift,
};

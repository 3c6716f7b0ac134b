/* A tiny random encoder and made-up sentences whose label follows from one word: enough to see
 * training work, small enough for sanitizers. */
#ifndef TESTS_CLIENT_TOY_H
#define TESTS_CLIENT_TOY_H

#include "base/arena.h"
#include "base/rng.h"
#include "client/train.h"
#include "peft/peft.h"
#include "random_model.h"
#include "text/dataset.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TOY_VOCAB = 40, TOY_POSITIONS = 64, TOY_YES = 7, TOY_NO = 8, TOY_FIRST_WORD = 10 };

struct toy {
    char dir[64];
    struct model *model;
    struct peft *peft;
    struct dataset data;
    struct local_spec local;
    struct peft_spec spec;
    float *theta; /* initial values */
    size_t count;
};

static inline void toy_check(int rc, const struct err *e)
{
    if (rc) {
        fprintf(stderr, "toy: %s\n", e->text);
        abort();
    }
}

/* n sentences of 4 to 40 tokens: [CLS] words [SEP], one of them yes or no. */
static inline void toy_sentences(struct toy *t, size_t n, uint32_t n_labels)
{
    static const char *const name[] = {"no", "yes"};
    struct rng r = rng_stream(11, 0, 0, RNG_TEST);
    arena_init(&t->data.mem, ARENA_NO_CAP);
    t->data.n = n;
    t->data.n_labels = n_labels;
    t->data.label_name = n_labels > 1 ? name : NULL;
    t->data.example = arena_calloc(&t->data.mem, n, sizeof *t->data.example);
    for (size_t i = 0; i < n; i++) {
        int32_t len = 4 + (int32_t)rng_below(&r, 37);
        int32_t *id = arena_calloc(&t->data.mem, (size_t)len, sizeof *id);
        int32_t *type = arena_calloc(&t->data.mem, (size_t)len, sizeof *type);
        uint32_t yes = rng_below(&r, 2);
        for (int32_t k = 1; k < len - 1; k++)
            id[k] = TOY_FIRST_WORD + (int32_t)rng_below(&r, TOY_VOCAB - TOY_FIRST_WORD);
        id[0] = 2;
        id[len - 1] = 3;
        id[1] = yes ? TOY_YES : TOY_NO;
        t->data.example[i] = (struct example){.id = id,
                                              .type = type,
                                              .n_tokens = len,
                                              .label = n_labels > 1 ? (int32_t)yes : -1,
                                              .target = n_labels > 1 ? 0 : (float)yes * 2 - 1};
    }
}

/* dtype: of the model's file, F32 or F16; dropout: of the LoRA branch, and of the model. Abort when
 * something fails: the modules beneath have their own tests. */
static inline void toy_open_as(struct toy *t, enum dtype dtype, int layers, size_t n,
                               uint32_t n_labels, double dropout)
{
    struct err e;
    memset(t, 0, sizeof *t);
    snprintf(t->dir, sizeof t->dir, "/tmp/fedpet-toy-XXXXXX");
    if (!mkdtemp(t->dir))
        abort();
    const struct random_model shape = {.type = "bert",
                                       .layers = layers,
                                       .hidden = 32,
                                       .heads = 2,
                                       .ffn = 64,
                                       .vocab = TOY_VOCAB,
                                       .positions = TOY_POSITIONS,
                                       .deviation = 0.1f,
                                       .seed = 3,
                                       .dtype = dtype};
    toy_check(random_model_write(&shape, t->dir, &e), &e);
    toy_check(model_open(&t->model, t->dir, &e), &e);
    t->local =
        (struct local_spec){.epochs = 2,
                            .batch_size = 32,
                            .accumulate = 1,
                            .max_length = TOY_POSITIONS,
                            .lr = 0.01,
                            .beta1 = 0.9,
                            .beta2 = 0.999,
                            .eps = 1e-4, /* rounding noise in a gradient of zero is no step */
                            .max_grad_norm = 1,
                            .model_dropout = dropout};
    t->spec = (struct peft_spec){.method = (char *)"lora",
                                 .r = 4,
                                 .alpha = 8,
                                 .dropout = dropout,
                                 .targets = 1 << LIN_QUERY | 1 << LIN_VALUE};
    toy_check(peft_open(&t->peft, t->model, &t->spec, &t->local, HEAD_SEQUENCE, n_labels, &e), &e);
    toy_sentences(t, n, n_labels);
    t->count = peft_schema(t->peft)->count;
    t->theta = malloc(t->count * sizeof *t->theta);
    peft_init(t->peft, 5, t->theta);
}

static inline void toy_open_deep(struct toy *t, int layers, size_t n, uint32_t n_labels,
                                 double dropout)
{
    toy_open_as(t, DTYPE_F32, layers, n, n_labels, dropout);
}

/* Tuned by another method, from its initial values. */
static inline void toy_use(struct toy *t, const char *method)
{
    struct err e;
    peft_close(t->peft);
    free(t->theta);
    t->spec.method = (char *)(uintptr_t)method;
    toy_check(
        peft_open(&t->peft, t->model, &t->spec, &t->local, t->data.head, t->data.n_labels, &e), &e);
    t->count = peft_schema(t->peft)->count;
    t->theta = malloc(t->count * sizeof *t->theta);
    peft_init(t->peft, 5, t->theta);
}

static inline void toy_open(struct toy *t, size_t n, uint32_t n_labels, double dropout)
{
    toy_open_deep(t, 2, n, n_labels, dropout);
}

static inline void toy_close(struct toy *t)
{
    static const char *const file[] = {"config.json", "model.safetensors"};
    peft_close(t->peft);
    model_close(t->model);
    arena_release(&t->data.mem);
    free(t->theta);
    for (size_t i = 0; i < 2; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", t->dir, file[i]);
        unlink(path);
    }
    rmdir(t->dir);
}

static inline struct train_job toy_job(const struct toy *t)
{
    return (struct train_job){
        .peft = t->peft, .data = &t->data, .local = &t->local, .seed = 9, .round = 2, .client = 4};
}

/* Trains a copy of the initial values; the caller frees it. */
static inline float *toy_fit(const struct toy *t, const struct train_job *job, unsigned threads,
                             struct train_result *r)
{
    struct trainer *trainer;
    struct err e;
    float *theta = malloc(t->count * sizeof *theta);
    memcpy(theta, t->theta, t->count * sizeof *theta);
    toy_check(trainer_open(&trainer, threads, NULL, &e), &e);
    toy_check(trainer_fit(trainer, job, theta, r, &e), &e);
    trainer_close(trainer);
    return theta;
}

#endif

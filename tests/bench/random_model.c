#include "random_model.h"
#include "base/file.h"
#include "base/rng.h"
#include "model/safetensors.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 80, LAYER_TENSORS = 16, OTHER_TENSORS = 8 };

/* The tensors of the file: first their shapes, then their values. */
struct weights {
    struct st_out *tensor;
    char (*name)[NAME_BYTES];
    size_t n;
};

static void add(struct weights *w, const char *parent, const char *name, int64_t rows, int64_t cols)
{
    snprintf(w->name[w->n], NAME_BYTES, "%s%s", parent, name);
    w->tensor[w->n] = (struct st_out){
        .name = w->name[w->n], .ndim = cols > 0 ? 2 : 1, .dim = {rows, cols > 0 ? cols : 0}};
    w->n++;
}

static void add_linear(struct weights *w, const char *parent, const char *name, int out, int in)
{
    char path[NAME_BYTES];
    snprintf(path, sizeof path, "%s.weight", name);
    add(w, parent, path, out, in);
    snprintf(path, sizeof path, "%s.bias", name);
    add(w, parent, path, out, 0);
}

static void add_layer(struct weights *w, const struct random_model *m, int layer)
{
    char parent[32];
    snprintf(parent, sizeof parent, "encoder.layer.%d.", layer);
    add_linear(w, parent, "attention.self.query", m->hidden, m->hidden);
    add_linear(w, parent, "attention.self.key", m->hidden, m->hidden);
    add_linear(w, parent, "attention.self.value", m->hidden, m->hidden);
    add_linear(w, parent, "attention.output.dense", m->hidden, m->hidden);
    add_linear(w, parent, "attention.output.LayerNorm", m->hidden, 0);
    add_linear(w, parent, "intermediate.dense", m->ffn, m->hidden);
    add_linear(w, parent, "output.dense", m->hidden, m->ffn);
    add_linear(w, parent, "output.LayerNorm", m->hidden, 0);
}

static void list_tensors(struct weights *w, const struct random_model *m)
{
    int types = strcmp(m->type, "roberta") == 0 ? 1 : 2;
    add(w, "embeddings.", "word_embeddings.weight", m->vocab, m->hidden);
    add(w, "embeddings.", "position_embeddings.weight", m->positions, m->hidden);
    add(w, "embeddings.", "token_type_embeddings.weight", types, m->hidden);
    add_linear(w, "embeddings.", "LayerNorm", m->hidden, 0);
    for (int i = 0; i < m->layers; i++)
        add_layer(w, m, i);
    add_linear(w, "", "pooler.dense", m->hidden, m->hidden);
    if (m->fault == FAULT_EXTRA)
        add(w, "encoder.", "novel.weight", m->hidden, 0);
    for (size_t i = 0; i < w->n; i++) {
        if (!strstr(w->name[i], "layer.0.intermediate.dense.weight"))
            continue;
        if (m->fault == FAULT_MISSING)
            w->tensor[i] = w->tensor[--w->n];
        if (m->fault == FAULT_SHAPE) {
            w->tensor[i].dim[0] = m->hidden;
            w->tensor[i].dim[1] = m->ffn;
        }
    }
}

static size_t count(const struct st_out *t)
{
    return (size_t)t->dim[0] * (t->ndim == 2 ? (size_t)t->dim[1] : 1);
}

static void fill(const struct st_out *t, float *x, float deviation, struct rng *rng)
{
    const float unit = deviation * sqrtf(12.0f) / 4294967296.0f;
    bool gain = strstr(t->name, "LayerNorm.weight") != NULL;
    for (size_t i = 0; i < count(t); i++) {
        if (t->ndim == 1)
            x[i] = gain ? 1.0f : 0.0f;
        else
            x[i] = ((float)rng_u32(rng) - 2147483648.0f) * unit;
    }
}

static int write_weights(struct weights *w, const struct random_model *m, const char *dir,
                         struct err *e)
{
    char path[PATH_MAX];
    int rc = file_join(path, sizeof path, dir, "model.safetensors", e);
    if (rc)
        return rc;
    list_tensors(w, m);
    size_t total = 0;
    for (size_t i = 0; i < w->n; i++)
        total += count(&w->tensor[i]);
    float *values = malloc(total * sizeof *values), *at = values;
    if (!values)
        return err_set(e, ERR_NOMEM, "no memory for %zu random weights", total);
    struct rng rng = rng_stream(m->seed, 0, 0, RNG_TEST);
    for (size_t i = 0; i < w->n; i++) {
        fill(&w->tensor[i], at, m->deviation, &rng);
        w->tensor[i].x = at;
        w->tensor[i].dtype = m->dtype;
        at += count(&w->tensor[i]);
    }
    rc = safetensors_write(path, w->tensor, w->n, e);
    free(values);
    return rc;
}

static int write_config(const struct random_model *m, const char *dir, struct err *e)
{
    char path[PATH_MAX], text[1024];
    int rc = file_join(path, sizeof path, dir, "config.json", e);
    if (rc)
        return rc;
    bool roberta = strcmp(m->type, "roberta") == 0;
    int n = snprintf(text, sizeof text,
                     "{\n"
                     "  \"model_type\": \"%s\",\n"
                     "  \"num_hidden_layers\": %d,\n"
                     "  \"hidden_size\": %d,\n"
                     "  \"num_attention_heads\": %d,\n"
                     "  \"intermediate_size\": %d,\n"
                     "  \"vocab_size\": %d,\n"
                     "  \"max_position_embeddings\": %d,\n"
                     "  \"type_vocab_size\": %d,\n"
                     "  \"pad_token_id\": %d,\n"
                     "  \"hidden_act\": \"gelu\",\n"
                     "  \"hidden_dropout_prob\": 0.1,\n"
                     "  \"attention_probs_dropout_prob\": 0.1,\n"
                     "  \"layer_norm_eps\": 1e-05\n"
                     "}\n",
                     m->type, m->layers, m->hidden, m->heads, m->ffn, m->vocab, m->positions,
                     roberta ? 1 : 2, roberta ? 1 : 0);
    return file_write(path, text, (size_t)n, 0644, e);
}

int random_model_write(const struct random_model *m, const char *dir, struct err *e)
{
    size_t most = (size_t)m->layers * LAYER_TENSORS + OTHER_TENSORS;
    struct weights w = {.tensor = calloc(most, sizeof *w.tensor),
                        .name = calloc(most, sizeof *w.name)};
    int rc = w.tensor && w.name ? 0 : err_set(e, ERR_NOMEM, "no memory for %zu tensors", most);
    if (!rc)
        rc = file_mkdirs(dir, 0755, e);
    if (!rc)
        rc = write_config(m, dir, e);
    if (!rc)
        rc = write_weights(&w, m, dir, e);
    free(w.tensor);
    free(w.name);
    return rc;
}

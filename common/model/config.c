#include "model/config.h"
#include "model/jsonfile.h"
#include "model/names.h"
#include "model/quantization.h"
#include <limits.h>
#include <string.h>

enum { MAX_LAYERS = 1024, MAX_WIDTH = 1 << 16, MAX_ROWS = 1 << 24, MAX_LABELS = 1 << 16 };

static int read_family(const struct jsonfile *f, enum family *out, struct err *e)
{
    const char *type = NULL;
    int rc = jsonfile_string(f, "model_type", &type, e);
    if (rc != 0)
        return rc;
    for (int i = 0; type != NULL && i < FAMILIES; i++)
        if (strcmp(type, family_names[i].model_type) == 0) {
            *out = (enum family)i;
            return 0;
        }
    return err_set(e, ERR_MODEL,
                   "%s: model_type \"%.60s\" is not supported: use bert, roberta or distilbert",
                   f->path, type != NULL ? type : "(absent)");
}

/* A size has no default: absent is an error. */
static int read_size(const struct jsonfile *f, const char *key, int max, int *out, struct err *e)
{
    *out = 0;
    int rc = jsonfile_int(f, key, 1, max, out, e);
    if (rc == 0 && *out == 0)
        rc = err_set(e, ERR_MODEL, "%s: field \"%s\" is missing", f->path, key);
    return rc;
}

static int read_sizes(const struct jsonfile *f, struct model_config *c, struct err *e)
{
    const struct family_names *names = &family_names[c->family];
    const struct {
        const char *key;
        int max, *out;
    } size[] = {
        {names->key.layers, MAX_LAYERS, &c->layers},
        {names->key.hidden, MAX_WIDTH, &c->hidden},
        {names->key.heads, MAX_WIDTH, &c->heads},
        {names->key.ffn, MAX_WIDTH, &c->ffn},
        {"vocab_size", MAX_ROWS, &c->vocab},
        {"max_position_embeddings", MAX_ROWS, &c->positions},
    };
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        int rc = read_size(f, size[i].key, size[i].max, size[i].out, e);
        if (rc != 0)
            return rc;
    }
    if (c->hidden % c->heads != 0)
        return err_set(e, ERR_MODEL, "%s: %s %d is not a multiple of %s %d", f->path,
                       names->key.hidden, c->hidden, names->key.heads, c->heads);
    return names->key.types != NULL ? read_size(f, names->key.types, MAX_ROWS, &c->types, e) : 0;
}

static int read_rate(const struct jsonfile *f, const char *key, real *out, struct err *e)
{
    double rate = (double)*out;
    int rc = jsonfile_number(f, key, 0, 0.999999, &rate, e);
    *out = (real)rate;
    return rc;
}

static int read_rates(const struct jsonfile *f, struct model_config *c, struct err *e)
{
    const struct family_names *names = &family_names[c->family];
    double eps = 1e-12;
    c->hidden_dropout = c->attention_dropout = (real)0.1;
    int rc = read_rate(f, names->key.hidden_dropout, &c->hidden_dropout, e);
    if (rc == 0)
        rc = read_rate(f, names->key.attention_dropout, &c->attention_dropout, e);
    c->head_dropout =
        names->default_head_dropout < 0 ? c->hidden_dropout : (real)names->default_head_dropout;
    if (rc == 0)
        rc = read_rate(f, names->key.head_dropout, &c->head_dropout, e);
    if (rc == 0)
        rc = jsonfile_number(f, "layer_norm_eps", 0, 1, &eps, e);
    c->norm_eps = (real)eps;
    return rc;
}

/* Options that change the computation must have the only value that we compute. */
static int read_options(const struct jsonfile *f, struct model_config *c, struct err *e)
{
    const char *act = "gelu", *position = "absolute";
    bool decoder = false;
    c->tied = true;
    int rc = jsonfile_string(f, family_names[c->family].key.act, &act, e);
    if (rc == 0)
        rc = jsonfile_string(f, "position_embedding_type", &position, e);
    if (rc == 0)
        rc = jsonfile_bool(f, "is_decoder", &decoder, e);
    if (rc == 0)
        rc = jsonfile_bool(f, "tie_word_embeddings", &c->tied, e);
    if (rc != 0)
        return rc;
    if (!act_parse(act, &c->act))
        return err_set(e, ERR_MODEL,
                       "%s: %s \"%.60s\" is not supported: use gelu, gelu_new, relu, tanh or silu",
                       f->path, family_names[c->family].key.act, act);
    if (strcmp(position, "absolute") != 0)
        return err_set(e, ERR_MODEL,
                       "%s: position_embedding_type \"%.60s\" is not supported: only absolute",
                       f->path, position);
    if (decoder)
        return err_set(e, ERR_MODEL, "%s: is_decoder is not supported: only encoders", f->path);
    return 0;
}

/* As transformers: the size of id2label, else num_labels, else 2. */
static int read_labels(const struct jsonfile *f, struct model_config *c, struct err *e)
{
    const json_t *names = json_object_get(f->root, "id2label");
    c->num_labels = 2;
    if (json_object_size(names) > 0 && json_object_size(names) <= MAX_LABELS)
        c->num_labels = (int)json_object_size(names);
    return jsonfile_int(f, "num_labels", 1, MAX_LABELS, &c->num_labels, e);
}

static int read_pad(const struct jsonfile *f, struct model_config *c, struct err *e)
{
    c->pad_id = family_names[c->family].default_pad_id;
    int rc = jsonfile_int(f, "pad_token_id", 0, c->vocab - 1, &c->pad_id, e);
    if (rc == 0 && model_max_tokens(c) < 1)
        rc = err_set(e, ERR_MODEL,
                     "%s: max_position_embeddings %d leaves no room after pad_token_id %d", f->path,
                     c->positions, c->pad_id);
    return rc;
}

static int read_name(const struct jsonfile *f, char **name, struct arena *mem, struct err *e)
{
    const char *given = NULL;
    int rc = jsonfile_string(f, "_name_or_path", &given, e);
    if (rc != 0 || given == NULL || *given == '\0')
        return rc;
    *name = arena_strdup(mem, given);
    return *name != NULL ? 0 : err_set(e, ERR_NOMEM, "%s: no memory", f->path);
}

static int read_quantization(const struct jsonfile *f, struct model_config *c, struct err *e)
{
    return quantization_read(f, &c->int8, e);
}

int config_read(struct model_config *c, char **name, const char *dir, struct arena *mem,
                struct err *e)
{
    static int (*const part[])(const struct jsonfile *, struct model_config *, struct err *) = {
        read_sizes, read_rates, read_options, read_labels, read_pad, read_quantization};
    char path[PATH_MAX];
    struct jsonfile f;
    struct model_config cfg = {0};
    int rc = file_join(path, sizeof path, dir, "config.json", e);
    if (rc == 0)
        rc = jsonfile_open(&f, path, e);
    if (rc != 0)
        return rc;
    *name = NULL;
    rc = read_family(&f, &cfg.family, e);
    for (size_t i = 0; rc == 0 && i < sizeof part / sizeof *part; i++)
        rc = part[i](&f, &cfg, e);
    if (rc == 0)
        rc = read_name(&f, name, mem, e);
    if (rc == 0)
        *c = cfg;
    jsonfile_close(&f);
    return rc;
}

int model_first_position(const struct model_config *c)
{
    return family_names[c->family].padded_positions ? c->pad_id + 1 : 0;
}

int model_max_tokens(const struct model_config *c)
{
    return c->positions - model_first_position(c);
}

#include "model/create.h"
#include "base/rng.h"
#include "model/config.h"
#include "model/jsonfile.h"
#include "model/model_dir.h"
#include "model/names.h"
#include "model/quantization.h"
#include <string.h>

/* The tensors of a new model and where their values come from. */
struct creation {
    const struct model_config *cfg;
    struct base_tensor *tensor;
    struct rng stream;
    double deviation;
};

static size_t row_of_padding(const struct model_config *c, const struct base_tensor *t)
{
    const struct family_names *names = &family_names[c->family];
    bool word = strstr(t->name, names->word) != NULL;
    bool position = names->padded_positions && strstr(t->name, names->position) != NULL;
    return word || position ? (size_t)c->pad_id : (size_t)t->dim[0];
}

static int initial_values(void *ctx, size_t i, void *values, struct err *e)
{
    const struct creation *c = ctx;
    const struct base_tensor *t = &c->tensor[i];
    float *x = values;
    bool random = t->role == ROLE_WEIGHT || t->role == ROLE_EMBEDDING;
    size_t cols = t->ndim > 1 ? (size_t)t->dim[1] : 1, rows = (size_t)t->dim[0];
    size_t padding = t->role == ROLE_EMBEDDING ? row_of_padding(c->cfg, t) : rows;
    struct rng r = rng_child(&c->stream, (uint32_t)i);
    (void)e;
    for (size_t k = 0; k < rows * cols; k++) {
        float value = random ? (float)(c->deviation * rng_normal(&r)) : t->role == ROLE_NORM_GAIN;
        x[k] = k / cols == padding ? 0 : value;
    }
    return 0;
}

static int write_weights(const struct model_config *cfg, double deviation, uint64_t seed,
                         const char *dir, struct arena *mem, struct err *e)
{
    const struct model empty = {.cfg = *cfg};
    struct creation c = {
        .cfg = cfg, .stream = rng_stream(seed, 0, 0, RNG_INIT), .deviation = deviation};
    size_t n;
    int rc = model_tensors(&empty, mem, &c.tensor, &n, e);
    if (rc != 0)
        return rc;
    struct st_out *out = arena_calloc(mem, n, sizeof *out);
    if (out == NULL)
        return err_set(e, ERR_NOMEM, "%s: no memory to write its weights", dir);
    for (size_t i = 0; i < n; i++) {
        out[i] = (struct st_out){.name = c.tensor[i].name, .ndim = c.tensor[i].ndim};
        memcpy(out[i].dim, c.tensor[i].dim, sizeof c.tensor[i].dim);
    }
    return model_dir_write_weights(dir, out, n, initial_values, &c, e);
}

/* config.json, of dense weights; *deviation: what it says of initial values. */
static int copy_config(const char *config, const char *dir, double *deviation, struct err *e)
{
    char path[PATH_MAX];
    struct jsonfile f;
    int rc = file_join(path, sizeof path, dir, MODEL_CONFIG, e);
    if (rc == 0)
        rc = jsonfile_open(&f, config, e);
    if (rc != 0)
        return rc;
    *deviation = 0.02;
    rc = jsonfile_number(&f, "initializer_range", 0, 1, deviation, e);
    json_object_del(f.root, QUANTIZATION_CONFIG); /* of the weights that it once had */
    if (rc == 0)
        rc = jsonfile_write(f.root, 0, path, e);
    jsonfile_close(&f);
    return rc;
}

static int fill(const char *config, const char *tokenizer_dir, uint64_t seed, const char *dir,
                struct err *e)
{
    struct model_config cfg;
    struct arena mem;
    char *name;
    double deviation;
    arena_init(&mem, ARENA_NO_CAP);
    int rc = copy_config(config, dir, &deviation, e);
    if (rc == 0 && (rc = config_read(&cfg, &name, dir, &mem, e)) != 0)
        err_wrap(e, "%s", config);
    if (rc == 0)
        rc = write_weights(&cfg, deviation, seed, dir, &mem, e);
    if (rc == 0)
        rc = model_dir_copy_tokenizer(tokenizer_dir, dir, e);
    arena_release(&mem);
    return rc;
}

int model_create(const char *config, const char *tokenizer_dir, uint64_t seed, const char *dir,
                 struct err *e)
{
    struct model_dir d;
    int rc = model_dir_begin(&d, dir, e);
    return rc == 0 ? model_dir_end(&d, fill(config, tokenizer_dir, seed, d.temp, e), e) : rc;
}

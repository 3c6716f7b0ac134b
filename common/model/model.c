#include "model/model.h"
#include "model/config.h"
#include "model/names.h"
#include <limits.h>
#include <math.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 160 };

/* Takes the weights out of the file one by one. The first failure stays in rc; later calls then do
 * nothing. */
struct binder {
    struct model *m;
    const struct family_names *names;
    const char *path;
    const char *prefix; /* of the encoder's tensors in this file: names->prefix, or "" */
    bool *used;         /* by tensor index */
    int rc;
    struct err *e;
};

static void tensor_name(char out[NAME_MAX_BYTES], const char *prefix, const char *parent,
                        const char *module, const char *part)
{
    snprintf(out, NAME_MAX_BYTES, "%s%s%s.%s", prefix, parent, module, part);
}

static void fail(struct binder *b, const char *tensor, const char *fault)
{
    b->rc = err_set(b->e, ERR_MODEL, "%s: tensor \"%.200s\" %s", b->path, tensor, fault);
}

/* Piece by piece, so that no second copy of an embedding table is needed. */
static int convert(const struct st_tensor *t, real *x, struct err *e)
{
    enum { PIECE = 1024 };
    float narrow[PIECE];
    struct st_tensor piece;
    for (size_t done = 0; done < t->count; done += piece.count) {
        size_t left = t->count - done;
        piece = st_tensor_piece(t, done, left < PIECE ? left : PIECE);
        int rc = st_tensor_floats(&piece, narrow, e);
        if (rc != 0)
            return rc;
        for (size_t i = 0; i < piece.count; i++)
            x[done + i] = (real)narrow[i];
    }
    return 0;
}

static bool aligned(const struct st_tensor *t, size_t to)
{
    return (uintptr_t)t->raw % to == 0;
}

/* Values of a tensor in reals: in the map itself when it holds them in our type, else converted
 * into the model's memory. */
static const real *reals(struct binder *b, const struct st_tensor *t)
{
    if (sizeof(real) == sizeof(float) && t->dtype == DTYPE_F32 && aligned(t, alignof(real)))
        return (const real *)(const void *)t->raw;

    real *x = arena_calloc(&b->m->mem, t->count, sizeof *x);
    if (x == NULL)
        b->rc = err_set(b->e, ERR_NOMEM, "%s: no memory to convert \"%.200s\"", b->path, t->name);
    else if ((b->rc = convert(t, x, b->e)) != 0)
        err_wrap(b->e, "%s", b->path);
    return b->rc == 0 ? x : NULL;
}

/* Values of a tensor: in the map, wherever they can be computed with there. */
static struct stored values(struct binder *b, const struct st_tensor *t)
{
    if (t->dtype == DTYPE_F16 && aligned(t, alignof(uint16_t)))
        return stored_halves(t->raw, STORED_F16);
    if (t->dtype == DTYPE_BF16 && aligned(t, alignof(uint16_t)))
        return stored_halves(t->raw, STORED_BF16);
    return stored_reals(reals(b, t));
}

static const struct st_tensor *find(struct binder *b, const char *name)
{
    const struct st_tensor *t = safetensors_find(&b->m->file, name);
    if (t != NULL)
        b->used[t - b->m->file.tensor] = true;
    return t;
}

/* The encoder's tensor PARENT MODULE.PART, of shape [rows, cols], or [rows] when cols is 0. NULL on
 * failure. */
static const struct st_tensor *take(struct binder *b, const char *parent, const char *module,
                                    const char *part, int rows, int cols)
{
    char name[NAME_MAX_BYTES], fault[120];
    if (b->rc != 0)
        return NULL;
    tensor_name(name, b->prefix, parent, module, part);
    const struct st_tensor *t = find(b, name);
    if (t == NULL) {
        fail(b, name,
             "is missing: config.json describes another model, or the file is a part of it");
        return NULL;
    }
    if (t->ndim == (cols > 0 ? 2 : 1) && t->dim[0] == rows && (cols == 0 || t->dim[1] == cols))
        return t;
    snprintf(fault, sizeof fault,
             cols > 0 ? "is not [%d, %d] as config.json says" : "is not [%d] as config.json says",
             rows, cols);
    fail(b, name, fault);
    return NULL;
}

static struct stored take_matrix(struct binder *b, const char *parent, const char *module, int rows,
                                 int cols)
{
    const struct st_tensor *t = take(b, parent, module, "weight", rows, cols);
    return t != NULL ? values(b, t) : (struct stored){0};
}

static const real *take_vector(struct binder *b, const char *parent, const char *module,
                               const char *part, int n)
{
    const struct st_tensor *t = take(b, parent, module, part, n, 0);
    return t != NULL ? reals(b, t) : NULL;
}

static bool has(const struct binder *b, const char *parent, const char *module, const char *part)
{
    char name[NAME_MAX_BYTES];
    tensor_name(name, b->prefix, parent, module, part);
    return safetensors_find(&b->m->file, name) != NULL;
}

/* --- int8 (quantization.h) --- */

static const real *take_scales(struct binder *b, const char *parent, const char *module, int rows)
{
    const struct st_tensor *t = take(b, parent, module, "weight_scale", rows, 1);
    const real *scale = t != NULL ? reals(b, t) : NULL;
    for (int i = 0; scale != NULL && b->rc == 0 && i < rows; i++)
        if (!isfinite(scale[i]) || scale[i] < 0)
            fail(b, t->name,
                 "holds a scale that is negative or not finite: the file is damaged, quantise the "
                 "original again");
    return scale;
}

/* The shape that is packed says nothing new, and must not say anything else. */
static void check_shape(struct binder *b, const char *parent, const char *module, int rows,
                        int cols)
{
    const struct st_tensor *t = take(b, parent, module, "weight_shape", 2, 0);
    const int64_t want[2] = {rows, cols};
    if (t != NULL && (t->dtype != DTYPE_I64 || memcmp(t->raw, want, sizeof want) != 0))
        fail(b, t->name, "is not what config.json says: the file belongs to another one");
}

static struct stored take_int8(struct binder *b, const char *parent, const char *module, int rows,
                               int cols)
{
    const int packed = (int)(stored_int8_row(cols) / sizeof(int32_t));
    const struct st_tensor *t = take(b, parent, module, "weight_packed", rows, packed);
    const real *scale = take_scales(b, parent, module, rows);
    check_shape(b, parent, module, rows, cols);
    if (b->rc == 0 && t->dtype != DTYPE_I32)
        fail(b, t->name, "is not I32, in which int8 weights are packed");
    if (b->rc == 0 && !b->m->cfg.int8)
        fail(
            b, t->name,
            "is quantised, and config.json has no quantization_config: it belongs to another file");
    return b->rc == 0 ? stored_int8(t->raw, scale, cols) : (struct stored){0};
}

/* --- encoder --- */

static struct linear_weights take_linear(struct binder *b, const char *parent, const char *module,
                                         int out, int in)
{
    bool int8 = has(b, parent, module, "weight_packed");
    return (struct linear_weights){.W = int8 ? take_int8(b, parent, module, out, in)
                                             : take_matrix(b, parent, module, out, in),
                                   .b = take_vector(b, parent, module, "bias", out),
                                   .out = out,
                                   .in = in};
}

/* Checkpoints converted from TensorFlow before 2019 call gain and bias gamma and beta. */
static struct norm_weights take_norm(struct binder *b, const char *parent, const char *module)
{
    bool old = has(b, parent, module, "gamma");
    int d = b->m->cfg.hidden;
    return (struct norm_weights){.gain =
                                     take_vector(b, parent, module, old ? "gamma" : "weight", d),
                                 .bias = take_vector(b, parent, module, old ? "beta" : "bias", d)};
}

static void take_layer(struct binder *b, int layer)
{
    struct layer_weights *w = &b->m->layer[layer];
    char parent[64];
    snprintf(parent, sizeof parent, "%s%d.", b->names->layer, layer);
    for (int s = 0; s < LIN_SITES; s++) {
        int out, in;
        linear_site_dims(&b->m->cfg, (enum linear_site)s, &out, &in);
        w->lin[s] = take_linear(b, parent, b->names->lin[s], out, in);
    }
    w->attn_norm = take_norm(b, parent, b->names->attn_norm);
    w->ffn_norm = take_norm(b, parent, b->names->ffn_norm);
}

static void take_encoder(struct binder *b)
{
    const struct model_config *c = &b->m->cfg;
    const struct family_names *names = b->names;
    b->prefix = names->prefix;
    if (!has(b, "", names->word, "weight"))
        b->prefix = "";
    b->m->word = take_matrix(b, "", names->word, c->vocab, c->hidden);
    b->m->position = take_matrix(b, "", names->position, c->positions, c->hidden);
    if (c->types > 0)
        b->m->type = take_matrix(b, "", names->type, c->types, c->hidden);
    b->m->emb_norm = take_norm(b, "", names->emb_norm);
    for (int i = 0; i < c->layers; i++)
        take_layer(b, i);
    /* Optional: an encoder saved without a pooler has it trained with the head. */
    if (names->pooler != NULL &&
        (has(b, "", names->pooler, "weight") || has(b, "", names->pooler, "weight_packed")))
        b->m->pooler = take_linear(b, "", names->pooler, c->hidden, c->hidden);
}

/* The head tensor of this name, or of the one that a norm's had before 2019. */
static const struct st_tensor *find_head(struct binder *b, const char *name)
{
    const char *norm = strstr(name, "LayerNorm.");
    char old[NAME_MAX_BYTES];
    const struct st_tensor *t = find(b, name);
    if (t != NULL || norm == NULL)
        return t;
    const char *part = strchr(norm, '.') + 1;
    snprintf(old, sizeof old, "%.*s%s", (int)(part - name), name,
             strcmp(part, "weight") == 0 ? "gamma" : "beta");
    return find(b, old);
}

/* A head tensor in whatever shape it has: whether it fits is known when kind of head and number of
 * labels are. */
static void take_head_tensor(struct binder *b, const char *name, struct head_tensor *out)
{
    const struct st_tensor *t = b->rc == 0 ? find_head(b, name) : NULL;
    if (t == NULL || t->ndim < 1 || t->ndim > 2 || !st_tensor_is_real(t))
        return;
    *out = (struct head_tensor){.name = name, .ndim = t->ndim};
    memcpy(out->dim, t->dim, sizeof out->dim);
    out->pretrained = values(b, t);
}

/* A pooler is no head tensor here: the file's is the encoder's. */
static void take_head(struct binder *b)
{
    const struct family_names *names = b->names;
    struct head_tensor *next = b->m->file_head;
    for (int i = names->pooler != NULL ? 2 : 0; i < 4; i++)
        take_head_tensor(b, names->head[i], next++);
    for (int i = 0; i < 2; i++)
        take_head_tensor(b, names_token_head[i], next++);
    for (int i = 0; i < 5; i++)
        take_head_tensor(b, names->mlm[i], next++);
}

static void refuse_extra(struct binder *b)
{
    size_t skip = strlen(b->names->prefix);
    for (size_t i = 0; i < b->m->file.n && b->rc == 0; i++) {
        const char *name = b->m->file.tensor[i].name;
        bool inside = strncmp(name, b->names->prefix, skip) == 0;
        const char *rest = inside ? name + skip : name;
        if (b->used[i])
            continue;
        if (!names_tolerated(rest))
            fail(b, name,
                 "is unknown to this model_type: a modified architecture gives other results");
        else if (strstr(rest, ".weight_packed") != NULL && strncmp(rest, "pooler.", 7) != 0)
            fail(b, name,
                 "is of a quantised head, which we do not read: only the encoder may be int8");
    }
}

static int bind_weights(struct model *m, const char *path, struct err *e)
{
    struct binder b = {.m = m, .names = &family_names[m->cfg.family], .path = path, .e = e};
    b.used = calloc(m->file.n + 1, sizeof *b.used);
    m->layer = arena_calloc(&m->mem, (size_t)m->cfg.layers, sizeof *m->layer);
    if (b.used == NULL || m->layer == NULL) {
        free(b.used);
        return err_set(e, ERR_NOMEM, "%s: no memory for %d layers", path, m->cfg.layers);
    }
    take_encoder(&b);
    take_head(&b);
    refuse_extra(&b);
    free(b.used);
    return b.rc;
}

static int open_file(struct model *m, char path[PATH_MAX], struct err *e)
{
    static const struct {
        const char *file, *remedy;
    } other[] = {
        {"pytorch_model.bin", "it holds pytorch_model.bin: save the model again as safetensors"},
        {"model.safetensors.index.json", "it is sharded: save the model again in one file"},
    };
    char alternative[PATH_MAX];
    int rc = file_join(path, PATH_MAX, m->dir, "model.safetensors", e);
    if (rc != 0 || file_exists(path))
        return rc != 0 ? rc : safetensors_open(&m->file, path, e);
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        if (file_join(alternative, sizeof alternative, m->dir, other[i].file, e) == 0 &&
            file_exists(alternative))
            return err_set(e, ERR_MODEL, "%s: no model.safetensors; %s", m->dir, other[i].remedy);
    return err_set(e, ERR_IO, "%s: no such file: is this a Hugging Face model directory?", path);
}

static int load(struct model *m, const char *dir, struct err *e)
{
    char path[PATH_MAX];
    m->dir = arena_strdup(&m->mem, dir);
    if (m->dir == NULL)
        return err_set(e, ERR_NOMEM, "%s: no memory", dir);
    int rc = config_read(&m->cfg, &m->name, dir, &m->mem, e);
    if (rc == 0)
        rc = open_file(m, path, e);
    if (rc == 0)
        rc = bind_weights(m, path, e);
    if (rc != 0)
        return rc;
    if (m->name == NULL)
        m->name = m->dir;
    m->hash = file_map_hash(&m->file.map);
    return 0;
}

int model_open(struct model **out, const char *dir, struct err *e)
{
    struct model *m = calloc(1, sizeof *m);
    if (m == NULL)
        return err_set(e, ERR_NOMEM, "%s: no memory", dir);
    arena_init(&m->mem, ARENA_NO_CAP);
    int rc = load(m, dir, e);
    if (rc == 0)
        *out = m;
    else
        model_close(m);
    return rc;
}

void model_rest(const struct model *m)
{
    file_map_rest(&m->file.map);
}

void model_close(struct model *m)
{
    if (m == NULL)
        return;
    safetensors_close(&m->file);
    arena_release(&m->mem);
    free(m);
}

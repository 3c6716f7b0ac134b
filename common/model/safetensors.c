#include "model/safetensors.h"
#include "base/half.h"
#include "model/jsontext.h"
#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "tensors are little-endian, used in place");

enum { PREFIX_BYTES = 8, DATA_ALIGN = 8 };

/* Begins in the order of enum dtype. */
static const struct {
    const char *name;
    size_t bytes;
    enum dtype dtype;
} dtypes[] = {
    {"F32", 4, DTYPE_F32},    {"F16", 2, DTYPE_F16},       {"BF16", 2, DTYPE_BF16},
    {"I32", 4, DTYPE_I32},    {"I64", 8, DTYPE_I64},       {"F64", 8, DTYPE_OTHER},
    {"U64", 8, DTYPE_OTHER},  {"U32", 4, DTYPE_OTHER},     {"I16", 2, DTYPE_OTHER},
    {"U16", 2, DTYPE_OTHER},  {"I8", 1, DTYPE_OTHER},      {"U8", 1, DTYPE_OTHER},
    {"BOOL", 1, DTYPE_OTHER}, {"F8_E4M3", 1, DTYPE_OTHER}, {"F8_E5M2", 1, DTYPE_OTHER},
};

/* --- reading --- */

/* What is being read: for messages, and the data section that offsets refer to. */
struct reader {
    const char *path;
    const unsigned char *data;
    size_t data_len;
    struct err *e;
};

static int bad(const struct reader *r, const struct st_tensor *t, const char *fault)
{
    return err_set(r->e, ERR_MODEL, "%s: tensor \"%.200s\": %s", r->path, t->name, fault);
}

/* A name goes into one-line messages and file keys. */
static bool name_is_printable(const char *name)
{
    if (*name == '\0')
        return false;
    for (; *name != '\0'; name++)
        if (iscntrl((unsigned char)*name))
            return false;
    return true;
}

/* Bytes of one value; 0 after an error. */
static size_t read_dtype(const struct reader *r, const json_t *entry, struct st_tensor *t)
{
    const char *name = json_string_value(json_object_get(entry, "dtype"));
    for (size_t i = 0; name != NULL && i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(name, dtypes[i].name) == 0) {
            t->dtype = dtypes[i].dtype;
            return dtypes[i].bytes;
        }
    bad(r, t, "unknown dtype");
    return 0;
}

static int read_shape(const struct reader *r, const json_t *entry, struct st_tensor *t)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape) || json_array_size(shape) > SAFETENSORS_MAX_DIMS)
        return bad(r, t, "shape is not an array of at most 8 dimensions");
    t->ndim = (int)json_array_size(shape);
    t->count = 1;
    for (int i = 0; i < t->ndim; i++) {
        const json_t *dim = json_array_get(shape, (size_t)i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return bad(r, t, "a dimension is not a number >= 0");
        t->dim[i] = json_integer_value(dim);
        if (__builtin_mul_overflow(t->count, (size_t)t->dim[i], &t->count))
            return bad(r, t, "shape overflows");
    }
    return 0;
}

static int read_range(const struct reader *r, const json_t *entry, struct st_tensor *t,
                      size_t item_bytes)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *from = json_array_get(offsets, 0), *to = json_array_get(offsets, 1);
    size_t want;
    if (json_array_size(offsets) != 2 || !json_is_integer(from) || !json_is_integer(to))
        return bad(r, t, "data_offsets is not [begin, end]");
    json_int_t begin = json_integer_value(from), end = json_integer_value(to);
    if (begin < 0 || end < begin || (uint64_t)end > r->data_len)
        return bad(r, t, "data lies outside the file: truncated, or a wrong header");
    if (__builtin_mul_overflow(t->count, item_bytes, &want) || want != (size_t)(end - begin))
        return bad(r, t, "size of the data differs from its shape and dtype");
    t->raw = r->data + begin;
    t->bytes = want;
    return 0;
}

static int read_entry(const struct reader *r, const json_t *entry, struct st_tensor *t)
{
    if (!name_is_printable(t->name))
        return err_set(r->e, ERR_MODEL, "%s: a tensor name is empty or not printable", r->path);
    if (!json_is_object(entry))
        return bad(r, t, "entry is not an object");
    size_t item_bytes = read_dtype(r, entry, t);
    if (item_bytes == 0)
        return ERR_MODEL;
    int rc = read_shape(r, entry, t);
    return rc == 0 ? read_range(r, entry, t, item_bytes) : rc;
}

static int read_metadata(const struct reader *r, json_t *meta)
{
    const char *key;
    json_t *value;
    bool ok = json_is_object(meta);
    json_object_foreach(meta, key, value) ok &= json_is_string(value);
    return ok ? 0
              : err_set(r->e, ERR_MODEL, "%s: __metadata__ is not an object of strings", r->path);
}

static int by_place(const void *a, const void *b)
{
    const struct st_tensor *s = a, *t = b;
    if (s->raw != t->raw)
        return s->raw < t->raw ? -1 : 1;
    return (s->bytes > t->bytes) - (s->bytes < t->bytes);
}

static int by_name(const void *a, const void *b)
{
    const struct st_tensor *s = a, *t = b;
    return strcmp(s->name, t->name);
}

/* The format allows neither overlaps nor holes: the tensors tile the data section. */
static int check_tiling(const struct reader *r, struct st_tensor *t, size_t n)
{
    const unsigned char *next = r->data;
    if (n > 0)
        qsort(t, n, sizeof *t, by_place);
    for (size_t i = 0; i < n; i++) {
        if (t[i].raw < next)
            return bad(r, &t[i], "data overlaps another tensor");
        if (t[i].raw > next)
            return bad(r, &t[i], "a hole before its data");
        next += t[i].bytes;
    }
    if (next != r->data + r->data_len)
        return err_set(r->e, ERR_MODEL, "%s: %zu bytes beyond the last tensor", r->path,
                       (size_t)(r->data + r->data_len - next));
    return 0;
}

static int read_tensors(struct safetensors *st, const struct reader *r, json_t *header)
{
    const char *key;
    json_t *entry;
    st->tensor = arena_calloc(&st->mem, json_object_size(header) + 1, sizeof *st->tensor);
    if (st->tensor == NULL)
        return err_set(r->e, ERR_NOMEM, "%s: no memory for the list of tensors", r->path);
    json_object_foreach(header, key, entry)
    {
        int rc;
        if (strcmp(key, "__metadata__") == 0) {
            rc = read_metadata(r, entry);
        } else {
            struct st_tensor *t = &st->tensor[st->n];
            t->name = arena_strdup(&st->mem, key);
            if (t->name == NULL)
                return err_set(r->e, ERR_NOMEM, "%s: no memory for the tensor names", r->path);
            rc = read_entry(r, entry, t);
            st->n++;
        }
        if (rc != 0)
            return rc;
    }
    int rc = check_tiling(r, st->tensor, st->n);
    if (rc == 0 && st->n > 0)
        qsort(st->tensor, st->n, sizeof *st->tensor, by_name);
    return rc;
}

static int read_header(struct safetensors *st, const char *path, struct err *e)
{
    uint64_t len;
    if (st->map.len < PREFIX_BYTES)
        return err_set(e, ERR_MODEL, "%s: too short for a safetensors file", path);
    memcpy(&len, st->map.bytes, sizeof len);
    if (len > SAFETENSORS_MAX_HEADER || len > st->map.len - PREFIX_BYTES)
        return err_set(e, ERR_MODEL,
                       "%s: header length %llu does not fit the file: truncated or no safetensors",
                       path, (unsigned long long)len);

    const char *text = (const char *)st->map.bytes + PREFIX_BYTES;
    json_error_t why;
    json_t *header = len > 0 && text[0] == '{'
                         ? json_loadb(text, (size_t)len, JSON_REJECT_DUPLICATES, &why)
                         : NULL;
    if (header == NULL)
        return err_set(e, ERR_MODEL, "%s: header is not a JSON object: %s", path,
                       len > 0 && text[0] == '{' ? why.text : "it does not begin with '{'");

    struct reader r = {.path = path,
                       .data = st->map.bytes + PREFIX_BYTES + len,
                       .data_len = st->map.len - PREFIX_BYTES - (size_t)len,
                       .e = e};
    int rc = read_tensors(st, &r, header);
    json_decref(header);
    return rc;
}

int safetensors_open(struct safetensors *st, const char *path, struct err *e)
{
    struct safetensors s = {0};
    int rc = file_map_open(&s.map, path, e);
    if (rc != 0)
        return rc;
    arena_init(&s.mem, ARENA_NO_CAP);
    rc = read_header(&s, path, e);
    if (rc == 0)
        *st = s;
    else
        safetensors_close(&s);
    return rc;
}

void safetensors_close(struct safetensors *st)
{
    arena_release(&st->mem);
    file_map_close(&st->map);
    *st = (struct safetensors){0};
}

const struct st_tensor *safetensors_find(const struct safetensors *st, const char *name)
{
    const struct st_tensor key = {.name = name};
    return st->n > 0 ? bsearch(&key, st->tensor, st->n, sizeof key, by_name) : NULL;
}

/* --- conversion --- */

static uint16_t load_u16(const unsigned char *raw, size_t i)
{
    uint16_t x;
    memcpy(&x, raw + 2 * i, sizeof x);
    return x;
}

int st_tensor_floats(const struct st_tensor *t, float *out, struct err *e)
{
    switch (t->dtype) {
    case DTYPE_F32:
        if (t->bytes > 0)
            memcpy(out, t->raw, t->bytes);
        return 0;
    case DTYPE_F16:
        for (size_t i = 0; i < t->count; i++)
            out[i] = float_of_half(load_u16(t->raw, i));
        return 0;
    case DTYPE_BF16:
        for (size_t i = 0; i < t->count; i++)
            out[i] = float_of_bits((uint32_t)load_u16(t->raw, i) << 16);
        return 0;
    case DTYPE_I32:
    case DTYPE_I64:
    case DTYPE_OTHER:
        break;
    }
    return err_set(e, ERR_MODEL, "tensor \"%.200s\" is not stored as F32, F16 or BF16", t->name);
}

struct st_tensor st_tensor_piece(const struct st_tensor *t, size_t from, size_t n)
{
    struct st_tensor piece = *t;
    size_t item = t->bytes / t->count;
    piece.count = n;
    piece.bytes = n * item;
    piece.raw = t->raw + from * item;
    return piece;
}

/* --- writing --- */

static int out_by_name(const void *a, const void *b)
{
    const struct st_out *const *s = a, *const *t = b;
    return strcmp((*s)->name, (*t)->name);
}

static size_t out_count(const struct st_out *t)
{
    size_t n = 1;
    for (int i = 0; i < t->ndim; i++)
        n *= (size_t)t->dim[i];
    return n;
}

static size_t out_bytes(const struct st_out *t)
{
    return out_count(t) * dtypes[t->dtype].bytes;
}

/* Writes values as the file has them: out_bytes. `to` may be `values`. */
static int encode(const struct st_out *t, const void *values, void *to, struct err *e)
{
    const float *x = values;
    unsigned char *at = to;
    if (t->dtype != DTYPE_F16) {
        if (to != values)
            memcpy(to, values, out_bytes(t));
        return 0;
    }
    for (size_t i = 0; i < out_count(t); i++, at += sizeof(uint16_t)) {
        uint16_t half = half_of_float(x[i]);
        if ((half & HALF_INFINITY) == HALF_INFINITY)
            return err_set(e, ERR_MODEL, "tensor \"%.200s\": %g is beyond F16: write F32", t->name,
                           (double)x[i]);
        memcpy(at, &half, sizeof half);
    }
    return 0;
}

/* The header object of tensors in file order; NULL without memory. */
static json_t *header_of(const struct st_out *const *t, size_t n)
{
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    size_t offset = 0;
    int failed = header == NULL;
    for (size_t i = 0; i < n && !failed; i++) {
        size_t end = offset + out_bytes(t[i]);
        json_t *shape = json_array();
        for (int k = 0; k < t[i]->ndim && !failed; k++)
            failed = json_array_append_new(shape, json_integer(t[i]->dim[k])) != 0;
        json_t *entry =
            json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtypes[t[i]->dtype].name, "shape", shape,
                      "data_offsets", (json_int_t)offset, (json_int_t)end);
        failed |= json_object_set_new(header, t[i]->name, entry) != 0;
        offset = end;
    }
    if (failed) {
        json_decref(header);
        return NULL;
    }
    return header;
}

/* The file's beginning: length, header and blanks up to the data. malloc'ed; NULL without memory.
 */
static unsigned char *file_head(const struct st_out *const *t, size_t n, size_t *len)
{
    json_t *header = header_of(t, n);
    char *text = jsontext(header, JSON_COMPACT);
    json_decref(header);
    if (text == NULL)
        return NULL;

    size_t text_len = strlen(text);
    uint64_t padded = (text_len + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN;
    *len = PREFIX_BYTES + (size_t)padded;
    unsigned char *head = malloc(*len);
    if (head != NULL) {
        memcpy(head, &padded, PREFIX_BYTES);
        memset(head + PREFIX_BYTES, ' ', (size_t)padded);
        memcpy(head + PREFIX_BYTES, text, text_len);
    }
    free(text);
    return head;
}

/* Lays out a whole file in malloc'ed memory. ERR_NOMEM, ERR_MODEL. */
static int file_image(const struct st_out *const *t, size_t n, unsigned char **out, size_t *len,
                      struct err *e)
{
    size_t at, all;
    int rc = 0;
    unsigned char *head = file_head(t, n, &at);
    all = at;
    for (size_t i = 0; i < n; i++)
        all += out_bytes(t[i]);
    unsigned char *image = head != NULL ? realloc(head, all) : NULL;
    if (image == NULL) {
        free(head);
        return err_set(e, ERR_NOMEM, "no memory to write it");
    }
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = encode(t[i], t[i]->x, image + at, e);
        at += out_bytes(t[i]);
    }
    if (rc != 0) {
        free(image);
        return rc;
    }
    *out = image;
    *len = all;
    return 0;
}

/* Pointers to the tensors by name. malloc'ed; NULL without memory. */
static const struct st_out **sort_by_name(const struct st_out *t, size_t n)
{
    const struct st_out **sorted = malloc((n + 1) * sizeof *sorted);
    for (size_t i = 0; sorted != NULL && i < n; i++)
        sorted[i] = &t[i];
    if (sorted != NULL)
        qsort(sorted, n, sizeof *sorted, out_by_name);
    return sorted;
}

int safetensors_write(const char *path, const struct st_out *t, size_t n, struct err *e)
{
    size_t len = 0;
    unsigned char *image = NULL;
    const struct st_out **sorted = sort_by_name(t, n);
    int rc = sorted != NULL ? file_image(sorted, n, &image, &len, e)
                            : err_set(e, ERR_NOMEM, "no memory to write it");
    free(sorted);
    if (rc != 0)
        return err_wrap(e, "%s", path);
    rc = file_write(path, image, len, 0644, e);
    free(image);
    return rc;
}

/* A file being written, and memory for its largest tensor. */
struct stream {
    const char *path;
    FILE *f;
    void *x;
    safetensors_values_fn values;
    void *ctx;
};

static int stream_bytes(struct stream *s, const void *bytes, size_t len, struct err *e)
{
    return fwrite(bytes, 1, len, s->f) == len ? 0 : err_sys(e, ERR_IO, errno, "%s", s->path);
}

static int stream_all(struct stream *s, const struct st_out *t, const struct st_out *const *sorted,
                      size_t n, struct err *e)
{
    size_t len;
    unsigned char *head = file_head(sorted, n, &len);
    int rc = head != NULL ? stream_bytes(s, head, len, e)
                          : err_set(e, ERR_NOMEM, "%s: no memory to write it", s->path);
    free(head);
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = s->values(s->ctx, (size_t)(sorted[i] - t), s->x, e);
        if (rc == 0 && encode(sorted[i], s->x, s->x, e) != 0)
            rc = err_wrap(e, "%s", s->path);
        if (rc == 0)
            rc = stream_bytes(s, s->x, out_bytes(sorted[i]), e);
    }
    if (rc == 0 && (fflush(s->f) != 0 || fsync(fileno(s->f)) != 0))
        rc = err_sys(e, ERR_IO, errno, "%s", s->path);
    return rc;
}

int safetensors_stream(const char *path, const struct st_out *t, size_t n,
                       safetensors_values_fn values, void *ctx, struct err *e)
{
    struct stream s = {.path = path, .values = values, .ctx = ctx};
    size_t largest = 1;
    for (size_t i = 0; i < n; i++) {
        size_t item = t[i].dtype == DTYPE_I64 ? sizeof(int64_t) : sizeof(float);
        if (out_count(&t[i]) * item > largest)
            largest = out_count(&t[i]) * item;
    }
    const struct st_out **sorted = sort_by_name(t, n);
    s.x = malloc(largest);
    int rc = sorted == NULL || s.x == NULL
                 ? err_set(e, ERR_NOMEM, "%s: no memory to write it", path)
                 : 0;
    if (rc == 0 && (s.f = fopen(path, "wbx")) == NULL)
        rc = err_sys(e, ERR_IO, errno, "%s", path);
    if (s.f != NULL) {
        rc = stream_all(&s, t, sorted, n, e);
        if (fclose(s.f) != 0 && rc == 0)
            rc = err_sys(e, ERR_IO, errno, "%s", path);
        if (rc != 0)
            unlink(path);
    }
    free(s.x);
    free(sorted);
    return rc;
}

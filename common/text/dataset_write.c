/* Data sets as JSON lines. */
#include "base/buf.h"
#include "base/file.h"
#include "model/jsontext.h"
#include "text/dataset.h"

static json_t *text_row(const struct dataset *d, const struct example *x)
{
    json_t *label = d->label_name ? json_string(d->label_name[x->label]) : json_real(x->target);

    return json_pack("{s:s, s:s*, s:o}", "text", x->text, "text_pair", x->text_pair, "label",
                     label);
}

static json_t *sentence_row(const struct dataset *d, const struct sentence *s)
{
    json_t *tokens = json_array(), *tags = json_array();
    bool full = !tokens || !tags;

    for (int32_t i = 0; !full && i < s->n; i++)
        full = json_array_append_new(tokens, json_string(s->word[i])) ||
               json_array_append_new(tags, json_string(d->label_name[s->tag[i]]));
    json_t *row = full ? NULL : json_pack("{s:O, s:O}", "tokens", tokens, "tags", tags);
    json_decref(tokens);
    json_decref(tags);
    return row;
}

static int write_row(const struct dataset *d, const struct example *x, struct buf *out)
{
    json_t *row = x->sentence ? sentence_row(d, x->sentence) : text_row(d, x);
    int rc = jsontext_line(row, JSON_COMPACT | JSON_PRESERVE_ORDER, out);

    json_decref(row);
    return rc;
}

int dataset_write_jsonl(const struct dataset *d, const uint32_t *index, size_t n, const char *path,
                        struct err *e)
{
    struct buf out;
    int rc = 0;

    buf_init(&out, SIZE_MAX / 2);
    for (size_t i = 0; !rc && i < n; i++)
        if (write_row(d, &d->example[index[i]], &out))
            rc = err_set(e, ERR_NOMEM, "%s: no memory for %zu rows", path, n);
    if (!rc)
        rc = file_write(path, buf_bytes(&out), buf_size(&out), 0600, e);
    buf_release(&out);
    return rc;
}

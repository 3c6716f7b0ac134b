/* File formats of adapter directories: what they share (an open directory, a list of tensors to
 * write) and their table. For the files of this folder only.
 *
 * A format is one file, one const struct format, one word in PEFT_FORMATS. The order is
 * that of preference: peft_save takes the first that can hold the adapter. */
#ifndef PEFT_FORMAT_H
#define PEFT_FORMAT_H

#include "model/jsonfile.h"
#include "peft/method.h"
#include <limits.h>

#define ADAPTER_CONFIG "adapter_config.json"
#define ADAPTER_INFO "fedpet.json"
#define ADAPTER_NATIVE_TYPE "FEDPET" /* peft_type of our own format */
enum { ADAPTER_INFO_FORMAT = 1, FORMAT_KEY = 512, FORMAT_FILES = 2, FORMAT_MAX_LABELS = 1 << 16 };

/* --- reading --- */

struct format_values {
    char path[PATH_MAX];
    struct safetensors st;
};

/* An adapter directory, open. */
struct adapter_dir {
    const char *dir;
    const struct format *format;
    char config_path[PATH_MAX], info_path[PATH_MAX];
    struct jsonfile config, info; /* info.root NULL: no fedpet.json */
    struct format_values file[FORMAT_FILES];
    int n_files;
    char head_path[PATH_MAX];
    struct jsonfile head; /* the head's own configuration; root NULL: none */
};

/* ERR_IO; ERR_MODEL: no format's configuration, values that are no safetensors, wrong fedpet.json.
 */
int adapter_dir_open(struct adapter_dir *a, const char *dir, struct err *e) MUST_CHECK;
void adapter_dir_close(struct adapter_dir *a);

/* What a tensor of a file is to us. */
enum format_key {
    KEY_TENSOR,  /* a tensor of the schema */
    KEY_IGNORED, /* nothing that we need: a copy of a base tensor, what `convert` reads */
    KEY_UNKNOWN,
};

/* Calls `each` with the schema's name of every tensor that has one, until it returns true. */
typedef bool (*format_name_fn)(const char *name, const struct st_tensor *t, void *ctx);
bool format_any(const struct adapter_dir *a, format_name_fn each, void *ctx);
/* Are layer norms among the tensors (their gains: a bias may be BitFit's)? */
bool format_has_norms(const struct adapter_dir *a);
/* Values of a tensor as real, all finite. `scratch` and `out`: t->count each. ERR_MODEL. */
int format_read_tensor(const char *path, const struct st_tensor *t, float *scratch, real *out,
                       struct err *e) MUST_CHECK;

/* --- writing --- */

/* Tensors on their way to a file. */
struct format_out {
    struct arena mem;
    struct st_out *tensor;
    size_t n, cap;
    bool failed; /* no memory */
};
void format_out_init(struct format_out *o, size_t cap);
/* Adds a tensor under a name that is copied, with room for its values; NULL without memory. */
float *format_out_room(struct format_out *o, const char *name, int ndim, const int64_t *dim);
/* Adds tensor i of the schema under that name. */
void format_out_add(struct format_out *o, const struct peft *p, const real *theta, size_t i,
                    const char *name);
/* Writes DIR/FILE and frees everything. ERR_IO, ERR_NOMEM. */
int format_out_write(struct format_out *o, const char *dir, const char *file,
                     struct err *e) MUST_CHECK;
/* Writes DIR/NAME. json NULL: it could not be made. Drops the reference. ERR_IO, ERR_NOMEM. */
int format_write_json(json_t *json, const char *dir, const char *name, struct err *e) MUST_CHECK;
/* "SEQ_CLS" or "TOKEN_CLS". */
const char *format_task_type(const struct peft *p);
/* The inverse, of a configuration's field; absent: sequence classification. ERR_MODEL. */
int format_read_task_type(const struct adapter_dir *a, enum head_kind *head,
                          struct err *e) MUST_CHECK;
/* The Hugging Face class of base model and head: "RobertaForSequenceClassification". */
void format_model_class(const struct peft *p, char out[64]);
/* label2id and id2label: of info's names, or of "LABEL_0" and so on. NULL without memory, or when
 * a name is not UTF-8. */
json_t *format_label2id(const struct peft *p, const struct adapter_info *info);
json_t *format_id2label(const struct peft *p, const struct adapter_info *info);

/* --- formats --- */

struct format {
    const char *name;    /* as --as calls it */
    const char *weights; /* file of values */
    /* Files of the head's values and of its configuration, which may be absent from a directory;
     * NULL: the format has none. */
    const char *head, *head_config;
    /* Reading: is a configuration of this format? */
    bool (*detect)(const json_t *config);
    /* Why it cannot hold what p computes, as in "AdapterHub has no ..."; NULL: it can. */
    const char *(*lacks)(const struct peft *p);
    /* Writes the files of values, then the configuration: a directory without one is no adapter to
     * anybody. */
    int (*save)(const struct peft *p, const real *theta, const struct adapter_info *info,
                const char *dir, struct err *e);
    /* Method, settings and kind of head. spec->method: a static string. */
    int (*read)(const struct adapter_dir *a, struct peft_spec *spec, enum head_kind *head,
                struct err *e);
    /* The schema's name of a tensor. */
    enum format_key (*key)(const struct adapter_dir *a, const char *key, char name[FORMAT_KEY]);
    /* Sets values that the file holds in another form than the schema, and marks them in `seen` by
     * schema index. NULL: none. */
    int (*convert)(const struct adapter_dir *a, const struct peft *p, real *theta, bool *seen,
                   struct err *e);
};

#define PEFT_FORMATS(X) X(peft) X(adapterhub) X(fedpet)

#define FORMAT_DECLARE(name) extern const struct format format_##name;
PEFT_FORMATS(FORMAT_DECLARE)
#undef FORMAT_DECLARE
extern const struct format *const peft_formats[]; /* ends with NULL */

#endif

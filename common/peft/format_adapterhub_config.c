/* Configurations of AdapterHub's `adapters`. Absent fields have the defaults of its classes. */
#include "model/names.h"
#include "peft/format_adapterhub.h"
#include <string.h>

enum { MAX_LENGTH = 1024 };
static const double max_scaling = 1e6;

/* What tells the placements of bottlenecks from each other. */
static const struct place {
    bool attention;         /* mh_adapter; the feed-forward block has one in all */
    bool parallel;          /* is_parallel */
    bool norm_first;        /* original_ln_before */
    bool norm_last;         /* original_ln_after */
    bool residual_unnormed; /* residual_before_ln; matters with norm_first only */
} places[] = {
    [PLACEMENT_OPENDELTA] = {.attention = true, .norm_first = true},
    [PLACEMENT_HOULSBY] = {.attention = true, .norm_last = true, .residual_unnormed = true},
    [PLACEMENT_PFEIFFER] = {.norm_first = true, .norm_last = true, .residual_unnormed = true},
    [PLACEMENT_PARALLEL] = {.parallel = true, .norm_last = true, .residual_unnormed = true},
};
enum { PLACES = sizeof places / sizeof *places };

static const struct {
    const char *word;
    enum activation activation;
} activations[] = {
    {"gelu", ACTIVATION_GELU}, {"gelu_new", ACTIVATION_GELU_NEW}, {"relu", ACTIVATION_RELU},
    {"tanh", ACTIVATION_TANH}, {"swish", ACTIVATION_SWISH},       {"silu", ACTIVATION_SWISH},
};
enum { ACTIVATIONS = sizeof activations / sizeof *activations };

/* --- writing --- */

static const char *activation_word(enum activation activation)
{
    const char *word = "";
    for (size_t i = ACTIVATIONS; i-- > 0;)
        if (activations[i].activation == activation)
            word = activations[i].word;
    return word;
}

/* `adapters` has int(hidden // reduction_factor) units: where hidden is no multiple of the width, a
 * factor in the middle of those that give it. */
static json_t *reduction_factor(int hidden, int width)
{
    return hidden % width == 0 ? json_integer(hidden / width)
                               : json_real((double)hidden / ((double)width + 0.5));
}

static json_t *bottleneck_config(const struct peft *p)
{
    const struct peft_spec *s = &p->spec;
    const struct place *place = &places[s->placement];
    double scaling = place->parallel ? s->scaling : 1;
    return json_pack(
        "{s:b, s:b, s:b, s:b, s:b, s:b, s:s, s:f, s:o, s:b, s:b, s:b, s:b, s:b, s:b, s:n, s:n, "
        "s:[], s:s, s:f}",
        "mh_adapter", (int)place->attention, "output_adapter", 1, "is_parallel",
        (int)place->parallel, "original_ln_before", (int)place->norm_first, "original_ln_after",
        (int)place->norm_last, "residual_before_ln", (int)place->residual_unnormed, "non_linearity",
        activation_word(adapter_activation(s)), "scaling", scaling, "reduction_factor",
        reduction_factor(p->model->cfg.hidden, (int)s->bottleneck), "ln_before", 0, "ln_after", 0,
        "use_gating", 0, "phm_layer", 0, "cross_adapter", 0, "adapter_residual_before_ln", 0,
        "inv_adapter", "inv_adapter_reduction_factor", "leave_out", "init_weights", "bert",
        "dropout", 0.0);
}

json_t *adapterhub_config(const struct peft *p)
{
    if (p->method->prefix == NULL)
        return bottleneck_config(p);
    return json_pack("{s:s, s:b, s:i, s:b, s:b, s:b, s:b, s:[], s:i, s:s, s:f}", "architecture",
                     "prefix_tuning", "flat", 1, "prefix_length", (int)p->spec.length,
                     "encoder_prefix", 1, "cross_prefix", 1, "use_gating", 0, "shared_gating", 1,
                     "leave_out", "bottleneck_size", 512, "non_linearity", "tanh", "dropout", 0.0);
}

/* --- reading --- */

static int unsupported(const struct jsonfile *c, const char *field, struct err *e)
{
    return err_set(e, ERR_MODEL, "%s: \"%s\" is set to what is not supported", c->path, field);
}

/* Options that change the function, which must be off. */
static int refuse_variants(const struct jsonfile *c, struct err *e)
{
    static const char *const variants[] = {"ln_before", "ln_after",  "use_gating",
                                           "phm_layer", "leave_out", "inv_adapter"};
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        const json_t *v = json_object_get(c->root, variants[i]);
        bool off = v == NULL || json_is_null(v) || json_is_false(v) ||
                   (json_is_array(v) && json_array_size(v) == 0);
        if (!off)
            return unsupported(c, variants[i], e);
    }
    return 0;
}

static int read_placement(const struct jsonfile *c, enum placement *placement, struct err *e)
{
    struct place found = {.norm_last = true, .residual_unnormed = true};
    bool output = false;
    int rc = jsonfile_bool(c, "mh_adapter", &found.attention, e);
    if (rc == 0)
        rc = jsonfile_bool(c, "output_adapter", &output, e);
    if (rc == 0)
        rc = jsonfile_bool(c, "is_parallel", &found.parallel, e);
    if (rc == 0)
        rc = jsonfile_bool(c, "original_ln_before", &found.norm_first, e);
    if (rc == 0)
        rc = jsonfile_bool(c, "original_ln_after", &found.norm_last, e);
    if (rc == 0)
        rc = jsonfile_bool(c, "residual_before_ln", &found.residual_unnormed, e);
    for (int i = 0; i < PLACES && rc == 0 && output; i++) {
        const struct place *p = &places[i];
        bool one_input = found.parallel || !found.norm_first;
        if (p->attention == found.attention && p->parallel == found.parallel &&
            p->norm_last == found.norm_last &&
            (p->norm_first == found.norm_first || found.parallel) &&
            (p->residual_unnormed == found.residual_unnormed || one_input)) {
            *placement = (enum placement)i;
            return 0;
        }
    }
    return rc != 0 ? rc
                   : err_set(e, ERR_MODEL,
                             "%s: no placement that is supported: neither houlsby (double_seq_bn), "
                             "pfeiffer (seq_bn), parallel (par_bn) nor opendelta",
                             c->path);
}

static int read_activation(const struct adapter_dir *a, const struct jsonfile *c,
                           enum activation *activation, struct err *e)
{
    const char *word = "";
    int rc = jsonfile_string(c, "non_linearity", &word, e);
    if (rc != 0)
        return rc;
    /* Before there were versions, the two were called otherwise. */
    if (json_object_get(a->config.root, "version") == NULL) {
        if (strcmp(word, "gelu") == 0)
            word = "gelu_new";
        else if (strcmp(word, "gelu_orig") == 0)
            word = "gelu";
    }
    for (size_t i = 0; i < ACTIVATIONS; i++)
        if (strcmp(activations[i].word, word) == 0) {
            *activation = activations[i].activation;
            return 0;
        }
    return err_set(e, ERR_MODEL, "%s: non_linearity \"%.60s\" is not supported", c->path, word);
}

static bool find_width(const char *name, const struct st_tensor *t, void *ctx)
{
    uint32_t *width = ctx;
    if (strstr(name, ".adapters.adapter_down.0.weight") == NULL || t->ndim != 2 || t->dim[0] < 1 ||
        t->dim[0] > INT32_MAX)
        return false;
    *width = (uint32_t)t->dim[0];
    return true;
}

static int read_bottleneck(const struct adapter_dir *a, const struct jsonfile *c,
                           struct peft_spec *spec, struct err *e)
{
    spec->method = (char *)(uintptr_t) "adapter";
    spec->scaling = 1;
    int rc = refuse_variants(c, e);
    if (rc == 0)
        rc = read_placement(c, &spec->placement, e);
    if (rc == 0)
        rc = read_activation(a, c, &spec->activation, e);
    if (rc == 0)
        rc = jsonfile_number(c, "scaling", 1e-6, max_scaling, &spec->scaling, e);
    if (rc == 0 && spec->placement != PLACEMENT_PARALLEL && spec->scaling != 1)
        rc = unsupported(c, "scaling", e);
    if (rc == 0 && !format_any(a, find_width, &spec->bottleneck))
        rc = err_set(e, ERR_MODEL, "%s: no bottleneck adapter in it", a->file[0].path);
    return rc;
}

static int read_prefix(const struct jsonfile *c, struct peft_spec *spec, struct err *e)
{
    int length = 30;
    bool encoder = true, flat = false;
    const char *word = "tanh";
    spec->method = (char *)(uintptr_t) "prefix";
    int rc = refuse_variants(c, e);
    if (rc == 0)
        rc = jsonfile_int(c, "prefix_length", 1, MAX_LENGTH, &length, e);
    if (rc == 0)
        rc = jsonfile_bool(c, "encoder_prefix", &encoder, e);
    if (rc == 0)
        rc = jsonfile_bool(c, "flat", &flat, e);
    if (rc == 0)
        rc = jsonfile_string(c, "non_linearity", &word, e);
    if (rc == 0 && !encoder)
        rc = unsupported(c, "encoder_prefix", e);
    if (rc == 0 && !flat && strcmp(word, "tanh") != 0)
        rc = unsupported(c, "non_linearity", e);
    spec->length = (uint32_t)length;
    return rc;
}

/* --- the head --- */

static bool family_of(const struct adapter_dir *a, enum family *out)
{
    const char *type = json_string_value(json_object_get(a->config.root, "model_type"));
    for (int f = 0; f < FAMILIES && type != NULL; f++)
        if (strcmp(family_names[f].model_type, type) == 0) {
            *out = (enum family)f;
            return true;
        }
    return false;
}

static bool is_word(const json_t *value, const char *word)
{
    const char *text = json_string_value(value);
    return text != NULL && strcmp(text, word) == 0;
}

static enum head_kind head_kind_of(const struct adapter_dir *a)
{
    const char *class = json_string_value(json_object_get(a->head.root, "model_class"));
    const json_t *flexible = json_object_get(a->head.root, "config");
    bool tokens = is_word(json_object_get(flexible, "head_type"), "tagging") ||
                  (class != NULL && strstr(class, "ForTokenClassification") != NULL);
    return tokens ? HEAD_TOKENS : HEAD_SEQUENCE;
}

/* "classifier.dense.weight" without its last word. */
static void module_of(const char *tensor, char out[64])
{
    size_t n = (size_t)(strrchr(tensor, '.') - tensor);
    memcpy(out, tensor, n);
    out[n] = '\0';
}

bool adapterhub_head_of(const struct adapter_dir *a, struct adapterhub_head *out)
{
    const json_t *c = json_object_get(a->head.root, "config");
    json_int_t layers = json_integer_value(json_object_get(c, "layers"));
    bool pooled = json_is_true(json_object_get(c, "use_pooler"));
    const json_t *act = json_object_get(c, "activation_function");
    enum family f;
    if (!json_is_object(c) || !family_of(a, &f))
        return false;
    const struct family_names *names = &family_names[f];
    *out = (struct adapterhub_head){.dense = -1, .classifier = 1};
    if (head_kind_of(a) == HEAD_TOKENS) {
        module_of("classifier.weight", out->classifier_module);
        return layers == 1;
    }
    module_of(names->head[0], out->dense_module);
    module_of(names->head[2], out->classifier_module);
    if (layers == 1) /* behind the pooler, which is BERT's dense layer */
        return f == FAMILY_BERT && pooled;
    out->dense = 1;
    out->classifier = 4;
    return layers == 2 && !pooled && is_word(act, names->head_act == ACT_RELU ? "relu" : "tanh");
}

int adapterhub_read(const struct adapter_dir *a, struct peft_spec *spec, enum head_kind *head,
                    struct err *e)
{
    const struct jsonfile c = {.root = json_object_get(a->config.root, "config"),
                               .path = a->config_path};
    const json_t *flexible = json_object_get(a->head.root, "config");
    const char *architecture = "";
    struct adapterhub_head unused;
    enum family unknown;
    int rc = jsonfile_string(&c, "architecture", &architecture, e);
    if (rc != 0)
        return rc;
    if (!family_of(a, &unknown))
        return err_set(e, ERR_MODEL, "%s: model_type is neither bert, roberta nor distilbert",
                       a->config_path);
    if (json_is_object(flexible) && !adapterhub_head_of(a, &unused))
        return err_set(e, ERR_MODEL,
                       "%s: not the head of a Hugging Face model for classification: load the "
                       "adapter into one, such as BertForSequenceClassification, and save it again",
                       a->head_path);
    *head = head_kind_of(a);
    if (strcmp(architecture, "") == 0)
        return read_bottleneck(a, &c, spec, e);
    if (strcmp(architecture, "prefix_tuning") == 0)
        return read_prefix(&c, spec, e);
    return err_set(e, ERR_MODEL,
                   "%s: architecture \"%.60s\" is not supported: only bottleneck adapters and "
                   "prefix_tuning; LoRA is read from Hugging Face PEFT",
                   a->config_path, architecture);
}

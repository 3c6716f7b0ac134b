/* Parameter-efficient tuning: a model, a method from the registry, and the always-trained head,
 * seen as one flat vector of trainable parameters with a schema. Immutable after opening; shared by
 * threads. Paper for LoRA: Hu et al. 2021. */
#ifndef PEFT_PEFT_H
#define PEFT_PEFT_H

#include "base/err.h"
#include "base/spec.h"
#include "base/tensorset.h"
#include "model/model.h"

struct peft;
struct json_t; /* jansson */

/* A method: one file, one const struct, one entry in PEFT_METHODS (method.h). Hooks it does not
 * need are NULL. */
struct peft_method {
    const char *name; /* as in the configuration: "lora" */
    const char *what; /* one line for --help: name, paper */
    /* Keys of the configuration that it reads besides method and norms, a space between two; NULL:
     * none. */
    const char *settings;
    /* Checks the spec against the model (ERR_CONFIG), appends the method's own tensors to p's
     * schema. LoRA, prompt and flat prefix under HF PEFT names without the "base_model.model."
     * prefix ("bert.encoder.layer.0.attention.self.query.lora_A.weight", "prompt_embeddings");
     * bottleneck adapters under AdapterHub's without the adapter's name
     * ("bert.encoder.layer.0.output.adapters.adapter_down.0.weight"); the network of a
     * reparametrised prefix as PEFT's PrefixEncoder calls its modules, below "prefix."
     * ("prefix.embedding.weight", "prefix.transform.0.weight", "prefix.transform.2.bias"). NULL: it
     * has none. */
    int (*plan)(struct peft *p, struct err *e);
    /* Does the method train this base tensor? NULL: none. (peft.norms adds the layer norms to any
     * method.) They start from the base model's values. */
    bool (*trains)(const struct peft_spec *spec, const struct base_tensor *t);
    /* Initial values of the method's own tensors. NULL: it has none. */
    void (*init)(const struct peft *p, uint64_t seed, real *theta);
    /* Site LIN: adds its branch to y (see struct encoder_hooks). */
    void (*linear)(const struct peft *p, struct tape *t, const real *theta, real *grad, int layer,
                   enum linear_site site, struct val *x, struct val *y);
    /* Site SUB. */
    struct val *(*block)(const struct peft *p, struct tape *t, const real *theta, real *grad,
                         int layer, enum block_site site, struct val *x, struct val *h,
                         const struct block_norm *n);
    /* Called once a forward pass, before the encoder: what `prefix` and `prompt` share, such as the
     * output of a reparametrisation network. NULL: nothing. */
    struct val *(*begin)(const struct peft *p, struct tape *t, const real *theta, real *grad);
    /* Sites KV and EMB, from begin's val. */
    void (*prefix)(const struct peft *p, struct tape *t, struct val *begun, int layer,
                   struct val **key, struct val **value);
    struct val *(*prompt)(const struct peft *p, struct tape *t, struct val *begun);
    /* Positions that virtual tokens take before the text's first. */
    int (*shift)(const struct peft_spec *spec);
    /* Folds the method's branches into W, the values of the base tensor t; false: it has none
     * there. NULL with `linear`, `block`, `prefix` or `prompt` set: cannot be folded. */
    bool (*merge)(const struct peft *p, const real *theta, const struct base_tensor *t, real *W);
};
extern const struct peft_method *const peft_methods[]; /* ends with NULL */
const struct peft_method *peft_method_find(const char *name);

/* Tokens of an example besides the method's virtual ones that the model has positions for. */
int peft_max_tokens(const struct peft *p);

/* model is borrowed; a model without weights (its cfg alone) is enough for the schema.
 * head: sequence or token classification, of n_labels classes (1: regression), or masked language
 * modelling (n_labels is not read; the model's word embeddings must be tied). local gives
 * model_dropout, which when >= 0 replaces the model's hidden, attention and head dropout, and
 * max_length, which is held against peft_max_tokens; NULL: dropout as config.json says. ERR_CONFIG:
 * an unknown method, a setting out of its range, more tokens than the model has positions for.
 * ERR_MODEL, ERR_NOMEM. */
int peft_open(struct peft **out, const struct model *m, const struct peft_spec *spec,
              const struct local_spec *local, enum head_kind head, uint32_t n_labels,
              struct err *e) MUST_CHECK;
void peft_close(struct peft *p);
const struct schema *peft_schema(const struct peft *p);
const struct model *peft_model(const struct peft *p);
uint32_t peft_labels(const struct peft *p);

/* Initial theta (schema->count): the method's init, the base model's values where those are
 * trained, and the head's. A pure function of model (with its weights), spec and seed. */
void peft_init(const struct peft *p, uint64_t seed, real *theta);

/* Logits [n, n_labels] of a micro-batch, or [tokens, n_labels] of token classification, or [masked
 * tokens, vocab] of masked language modelling, for which b has tags. theta:
 * schema->count; grad: an accumulator of the same shape, NULL when not training. */
struct val *peft_logits(const struct peft *p, struct tape *t, const struct batch *b,
                        const real *theta, real *grad);
/* Its two parts: what the head reads of the encoder, [n, hidden] or a row a token, and logits from
 * that. */
struct val *peft_features(const struct peft *p, struct tape *t, const struct batch *b,
                          const real *theta, real *grad);
struct val *peft_head_logits(const struct peft *p, struct tape *t, struct val *x, const real *theta,
                             real *grad);
/* Are the features of a text always the same? Nothing of the encoder is trained, and in `training`
 * nothing of it dropped. */
bool peft_encodes_alike(const struct peft *p, bool training);
/* The loss that HF computes (mean cross-entropy; mean squared error when n_labels = 1), as scale *
 * sum over the micro-batch: over examples, or over tagged or masked tokens. */
struct val *peft_loss(const struct peft *p, struct tape *t, struct val *logits,
                      const struct batch *b, real scale);

/* Can the method be folded into the base model, leaving a plain one? LoRA, and all that trains
 * nothing but base tensors. */
bool peft_can_merge(const struct peft *p);
/* Values of an encoder tensor with the method folded in; out: as many as t has. When peft_can_merge
 * only. Returns whether they differ from the base model's by construction. */
bool peft_merged(const struct peft *p, const real *theta, const struct base_tensor *t, real *out);
/* The virtual rows of prefix [length, 2 * layers * hidden] or prompt [length, hidden], with a
 * reparametrisation network evaluated. Row order as HF PEFT and AdapterHub have it: of a row, block
 * 2l is the key of layer l, block 2l + 1 the value. ERR_STATE: the method has none; ERR_NOMEM. */
int peft_collapse(const struct peft *p, const real *theta, real *rows, struct err *e) MUST_CHECK;

/* --- adapter directories ---
 *
 * adapter_config.json and one or two safetensors files (F32), in one of these formats:
 *  peft        Hugging Face PEFT: LoRA, BitFit (as LORA with bias "all"), layer norms, prompt,
 *              prefix with shift (not DistilBERT, whose HF class takes none)
 *  adapterhub  AdapterHub: bottleneck adapters, prefix without shift; with
 *              load_adapter(use_safetensors=True)
 *  fedpet      our own, under the schema's names: anything
 * A reparametrised prefix is collapsed to its rows by the first two. What they have no place for
 * goes to fedpet.json beside them: the base model's sha256, the task, the class names and
 * max_length, so that `predict` can name classes. */
struct adapter_info {
    const char *task;          /* may be NULL */
    const char *const *labels; /* n_labels names, or NULL */
    uint32_t n_labels, max_length;
    const char *format;  /* to write; NULL: the first of the list that can hold it */
    const char *weights; /* read only: the file of values */
    enum head_kind head; /* read only */
    enum dtype dtype;    /* of a merged model's weights: F32 or F16 */
};
/* Can p be written in that format (NULL: in any)? ERR_USAGE: there is no such format; ERR_CONFIG:
 * it has no place for what p computes; says which. */
int peft_check_format(const struct peft *p, const char *format, struct err *e) MUST_CHECK;
/* Creates dir. An adapter that is there already is none any more until this one is whole. Errors of
 * peft_check_format; ERR_IO, ERR_NOMEM. */
int peft_save(const struct peft *p, const real *theta, const struct adapter_info *info,
              const char *dir, struct err *e) MUST_CHECK;
/* Reads values into theta, from any of the formats, by whatever library. ERR_IO; ERR_MODEL naming
 * file, tensor and fault: made for another base model, other method or settings, missing or extra
 * tensor, wrong shape, a value that is not finite. A head tensor that the adapter lacks comes from
 * the base model where that has it. */
int peft_load(const struct peft *p, const char *dir, real *theta, struct err *e) MUST_CHECK;
/* What an adapter directory asks for, before a peft can be opened: fills spec and info; strings
 * from `mem` or static. LoRA's targets and the number of labels are those of the tensors, which
 * hold however target_modules was written. Without fedpet.json task and labels are NULL and
 * max_length 0. ERR_IO; ERR_MODEL: an unknown format, a method or an option that we do not compute,
 * no head. */
int peft_read_config(const char *dir, struct arena *mem, struct peft_spec *spec,
                     struct adapter_info *info, struct err *e) MUST_CHECK;

/* A complete HF model directory with the adapter folded in: config.json with the classes,
 * model.safetensors (one tensor in memory at a time), the base model's tokenizer files. It appears
 * whole or not at all. ERR_CONFIG: the method cannot be folded, and why; ERR_MODEL: a value is out
 * of info->dtype's range; ERR_IO: dir exists already, ...; ERR_NOMEM. */
int peft_save_merged(const struct peft *p, const real *theta, const struct adapter_info *info,
                     const char *dir, struct err *e) MUST_CHECK;

/* The settings that a method reads, under their names in the configuration, as a JSON object that
 * is the caller's; NULL without memory. The activation is the one that takes effect. */
struct json_t *peft_settings(const struct peft_method *m, const struct peft_spec *spec);

#endif

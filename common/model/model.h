/* A frozen pretrained encoder from an unmodified Hugging Face directory: config.json and
 * model.safetensors, mapped read-only. Families: bert, roberta, distilbert, all post-LN and alike
 * but for names, embeddings and head. A model is immutable after opening and may be shared by any
 * number of threads. */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/spec.h"
#include "model/safetensors.h"
#include "nn/ops.h"

enum family { FAMILY_BERT, FAMILY_ROBERTA, FAMILY_DISTILBERT };

struct model_config {
    enum family family;
    int layers, hidden, heads, ffn, vocab, positions;
    int types; /* 0: no token types (DistilBERT) */
    int pad_id;
    enum act act;
    real norm_eps;
    real hidden_dropout, attention_dropout, head_dropout;
    int num_labels; /* as in config.json; 2 when absent */
};

/* Frozen weights. Linear weights are [out,in]. */
struct linear_weights {
    const real *W, *b;
    int out, in;
};
struct norm_weights {
    const real *gain, *bias;
};
struct layer_weights {
    struct linear_weights lin[LIN_SITES];
    struct norm_weights attn_norm, ffn_norm;
};

/* A tensor of the classification head; strings are static. */
struct head_tensor {
    const char *name;   /* HF module path, "classifier.weight" */
    const char *module; /* as PEFT's modules_to_save calls its module: "classifier", "pooler" */
    int ndim;
    int64_t dim[2];
    /* From the model file when it has the tensor in this shape; else NULL: N(0, 0.02), biases 0. */
    const real *pretrained;
};
enum { HEAD_MAX_TENSORS = 4 };

struct model {
    struct model_config cfg;
    struct safetensors file;
    struct arena mem;
    const real *word, *position, *type; /* [vocab,d], [positions,d], [types,d] or NULL */
    struct norm_weights emb_norm;
    struct layer_weights *layer;
    /* BERT; W is NULL when the file has none: then the pooler is trained with the head. */
    struct linear_weights pooler;
    /* Head tensors of the file, in its shapes; name is NULL where it has none. */
    struct head_tensor file_head[HEAD_MAX_TENSORS];
    struct hash hash; /* SHA-256 of model.safetensors: the identity of the base model */
    char *dir, *name; /* directory as given; name: "_name_or_path" of config.json, else dir */
};

/* ERR_IO; ERR_MODEL naming file, field or tensor and the remedy: unsupported model_type, activation
 * or position type; missing, extra (unknown to the family) or wrong-shape tensor; not a multiple of
 * heads. */
int model_open(struct model **out, const char *dir, struct err *e) MUST_CHECK;
void model_close(struct model *m);

/* A packed micro-batch: n >= 1 sequences, tokens concatenated without padding. */
struct batch {
    int n;                          /* sequences */
    int tokens;                     /* off[n] */
    const int32_t *off;             /* n + 1 */
    const int32_t *id, *type, *pos; /* tokens each; pos already holds the family's offset */
    const int32_t *label;           /* n, classification; or NULL */
    const real *target;             /* n, regression; or NULL */
};
/* First position id of the family (RoBERTa: pad_id + 1; else 0), and the most tokens an example may
 * have. */
int model_first_position(const struct model_config *c);
int model_max_tokens(const struct model_config *c);

/* Where a PEFT method enters the encoder. Sites grow with the methods (see docs/architecture.md); a
 * NULL hook is an untouched site. */
struct encoder_hooks {
    void *self;
    /* After y = x W^T + b of a linear site: adds branches to y in place (op_linear_add). */
    void (*linear)(void *self, struct tape *t, int layer, enum linear_site site, struct val *x,
                   struct val *y);
    real hidden_dropout, attention_dropout; /* effective values for this run */
};

/* The hidden state of each sequence's first token after the last layer: [n, hidden]. The last layer
 * computes attention output and FFN for those rows only. */
struct val *encoder_first_tokens(const struct model *m, struct tape *t, const struct batch *b,
                                 const struct encoder_hooks *h);

/* The classification head as HF defines it for the family, on first-token states. BERT: (pooler
 * dense, tanh), dropout, classifier; RoBERTa: dropout, classifier.dense, tanh, dropout,
 * classifier.out_proj; DistilBERT: pre_classifier, ReLU, dropout, classifier. head_tensors: the
 * trainable tensors for n_labels outputs; returns how many (<= HEAD_MAX_TENSORS). */
int head_tensors(const struct model *m, int n_labels, struct head_tensor out[HEAD_MAX_TENSORS]);
/* param: one val per head tensor, in that order; dropout: effective value. first [n,hidden] ->
 * logits [n,n_labels]. */
struct val *head_logits(const struct model *m, struct tape *t, struct val *first,
                        struct val *const *param, real dropout);

/* Names and shapes of the linear sites; they need no weights.
 * Path below the layer, "attention.self.query". */
const char *linear_site_name(enum family f, enum linear_site site);
/* Full HF module path, "bert.encoder.layer.0.attention.self.query"; out holds LINEAR_PATH_MAX
 * bytes. */
enum { LINEAR_PATH_MAX = 96 };
void linear_site_path(enum family f, int layer, enum linear_site site, char out[LINEAR_PATH_MAX]);
/* The inverse, for a tensor inside a site of any family
 * ("bert.encoder.layer.0.attention.self.query.lora_A.weight"); false when it is in none. */
bool linear_site_of(const char *tensor, enum linear_site *site);
void linear_site_dims(const struct model_config *c, enum linear_site site, int *out, int *in);

#endif

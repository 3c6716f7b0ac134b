/* A frozen pretrained encoder from an unmodified Hugging Face directory: config.json and
 * model.safetensors, mapped read-only and computed with as they are stored. Families: bert,
 * roberta, distilbert, all post-LN and alike but for names, embeddings and head. A model is
 * immutable after opening and may be shared by any number of threads. */
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
    bool tied;      /* the decoder of masked tokens is the table of word embeddings */
    bool int8;      /* linear weights may be int8 (quantization.h) */
};

/* Frozen weights: matrices as the file holds them, vectors in reals. Linear weights are [out,in].
 */
struct linear_weights {
    struct stored W;
    const real *b;
    int out, in;
};
struct norm_weights {
    const real *gain, *bias;
};
struct layer_weights {
    struct linear_weights lin[LIN_SITES];
    struct norm_weights attn_norm, ffn_norm;
};

enum head_kind { HEAD_SEQUENCE, HEAD_TOKENS, HEAD_MLM };

/* A tensor of the head; strings are static. */
struct head_tensor {
    const char *name;   /* HF module path, "classifier.weight" */
    const char *module; /* as PEFT's modules_to_save calls its module: "classifier", "pooler" */
    int ndim;
    int64_t dim[2];
    bool gain; /* of a layer norm */
    /* From the model file when it has the tensor in this shape; else none: N(0, 0.02), biases 0,
     * gains 1. */
    struct stored pretrained;
};
enum { HEAD_MAX_TENSORS = 5, FILE_HEAD_TENSORS = 4 + 2 + 5 /* of the three kinds */ };

struct model {
    struct model_config cfg;
    struct safetensors file;
    struct arena mem;
    struct stored word, position, type; /* [vocab,d], [positions,d], [types,d] or none */
    struct norm_weights emb_norm;
    struct layer_weights *layer;
    /* BERT; none when the file has none: then the pooler is trained with the head. */
    struct linear_weights pooler;
    /* Head tensors of the file, of every kind, in its shapes; name is NULL where it has none. */
    struct head_tensor file_head[FILE_HEAD_TENSORS];
    struct hash hash; /* SHA-256 of model.safetensors: the identity of the base model */
    char *dir, *name; /* directory as given; name: "_name_or_path" of config.json, else dir */
};

/* ERR_IO; ERR_MODEL naming file, field or tensor and the remedy: unsupported model_type, activation
 * or position type; missing, extra (unknown to the family) or wrong-shape tensor; not a multiple of
 * heads; quantised in a way that we do not compute with. */
int model_open(struct model **out, const char *dir, struct err *e) MUST_CHECK;
void model_close(struct model *m);
/* For a time without use: the mapped weights take no memory of the process until they are used. */
void model_rest(const struct model *m);

/* A packed micro-batch: n >= 1 sequences, tokens concatenated without padding. */
struct batch {
    int n;                          /* sequences */
    int tokens;                     /* off[n] */
    const int32_t *off;             /* n + 1 */
    const int32_t *id, *type, *pos; /* tokens each; pos already holds the family's offset */
    const int32_t *label;           /* n, classification; or NULL */
    const int32_t *tag; /* tokens, token classification: class, or -1: not scored; masked language
                           modelling: the token that was there, or -1; or NULL */
    const real *target; /* n, regression; or NULL */
};
/* First position id of the family (RoBERTa: pad_id + 1; else 0), and the most tokens an example may
 * have. */
int model_first_position(const struct model_config *c);
int model_max_tokens(const struct model_config *c);

/* A tensor of the encoder, without the head: what BitFit, layer-norm tuning and full fine-tuning
 * choose from. */
enum tensor_role { ROLE_EMBEDDING, ROLE_WEIGHT, ROLE_BIAS, ROLE_NORM_GAIN, ROLE_NORM_BIAS };
struct base_tensor {
    const char *name; /* full HF path, "roberta.encoder.layer.0.attention.self.query.bias" */
    enum tensor_role role;
    int layer; /* from 0; -1: embeddings and pooler */
    int site;  /* enum linear_site; -1: none */
    int ndim;
    int64_t dim[2];
    struct stored x; /* its frozen values in the model; none when the model has no weights */
};
/* All of them in HF's order: embeddings, layers, then the pooler of a BERT model whose file has one
 * (of any BERT when the model has no weights). From the configuration alone. *out is from `mem`.
 * ERR_NOMEM. */
int model_tensors(const struct model *m, struct arena *mem, struct base_tensor **out, size_t *n,
                  struct err *e) MUST_CHECK;

/* Is it of BERT's pooler, which only a head over sequences reads? */
bool model_is_pooler(const struct base_tensor *t);

/* The end of a post-LN block: norm(x + dropout(h)), x [T,d] the block's input, h [T,d] the
 * sub-layer's output. */
enum block_site { BLOCK_ATTENTION, BLOCK_FFN };
struct block_norm {
    struct val *gain, *bias; /* [1,d] */
    real eps, dropout;
};
struct val *block_norm(struct tape *t, struct val *x, struct val *h, const struct block_norm *n);

/* Where a PEFT method enters the encoder (docs/architecture.md). A NULL hook is an untouched site.
 */
struct encoder_hooks {
    void *self;
    /* Site BASE: the parameter that is trained in place of the frozen tensor whose values lie
     * there, or NULL where it stays frozen. Vectors are [1,n]. */
    struct val *(*tensor)(void *self, struct tape *t, const void *frozen, int rows, int cols);
    /* Site SUB: what a block ends with, from its input x and its sub-layer's output h. In the last
     * layer they hold the rows of the output only. NULL: block_norm. */
    struct val *(*block)(void *self, struct tape *t, int layer, enum block_site site, struct val *x,
                         struct val *h, const struct block_norm *n);
    /* Site KV: key and value rows [P,d] that every sequence sees before its own in this layer; left
     * as they are (NULL): none. */
    void (*prefix)(void *self, struct tape *t, int layer, struct val **key, struct val **value);
    /* Site EMB: rows [P,d] in front of every sequence's word embeddings; they get positions and
     * type 0 as tokens do, and the first of them becomes the sequence's first token. */
    struct val *(*prompt)(void *self, struct tape *t);
    int shift; /* the text's positions are moved by so many: P of prompts, and of prefixes in HF */
    /* After y = x W^T + b of a linear site: adds branches to y in place (op_linear_add). */
    void (*linear)(void *self, struct tape *t, int layer, enum linear_site site, struct val *x,
                   struct val *y);
    real hidden_dropout, attention_dropout; /* effective values for this run */
};

/* Hidden states after the last layer, [rows, hidden]. Each layer is a checkpoint of the tape: b and
 * what h->self points to live as long as the step. FIRST: of each sequence's first token.
 * TOKENS: of every token of the batch, virtual ones left out. TAGGED: of those whose tag is not -1,
 * of which there must be one. The last layer computes attention output and FFN for those rows only.
 */
enum encoder_output { ENCODER_FIRST, ENCODER_TOKENS, ENCODER_TAGGED };
struct val *encoder_hidden(const struct model *m, struct tape *t, const struct batch *b,
                           const struct encoder_hooks *h, enum encoder_output output);

/* The heads as HF defines them for the family. HEAD_SEQUENCE, on first-token states: BERT: (pooler
 * dense, tanh), dropout, classifier; RoBERTa: dropout, classifier.dense, tanh, dropout,
 * classifier.out_proj; DistilBERT: pre_classifier, ReLU, dropout, classifier. HEAD_TOKENS, on the
 * states of all tokens: dropout, classifier, in every family. HEAD_MLM, on the states of masked
 * tokens: dense, activation, layer norm, and the table of word embeddings as decoder, with a bias
 * of its own; vocab outputs. head_tensors: the trainable tensors for n_labels outputs; returns how
 * many
 * (<= HEAD_MAX_TENSORS). */
int head_tensors(const struct model *m, enum head_kind kind, int n_labels,
                 struct head_tensor out[HEAD_MAX_TENSORS]);
/* The dropout rate of config.json that a head takes. */
real head_dropout(const struct model_config *c, enum head_kind kind);
/* param: one val per head tensor, in that order; dropout: effective value; a pooler of the file and
 * the decoder are asked for by h->tensor. x [rows,hidden] -> logits [rows,n_labels]. */
struct val *head_logits(const struct model *m, enum head_kind kind, struct tape *t, struct val *x,
                        struct val *const *param, real dropout, const struct encoder_hooks *h);

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

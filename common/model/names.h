/* How each family spells its config.json fields and its tensors: the only place where families
 * differ by name. Source: the state dicts and configuration classes of Hugging Face transformers.
 */
#ifndef MODEL_NAMES_H
#define MODEL_NAMES_H

#include "model/model.h"

enum { FAMILIES = 3 };

struct family_names {
    const char *model_type;
    struct { /* fields of config.json */
        const char *layers, *hidden, *heads, *ffn, *act;
        const char *types; /* NULL: the family has no token types */
        const char *hidden_dropout, *attention_dropout, *head_dropout;
    } key;
    int default_pad_id;
    double default_head_dropout; /* < 0: as hidden dropout */
    bool padded_positions;       /* positions count from pad_id + 1 */

    const char *prefix; /* of encoder tensors in a checkpoint with a head; a bare one has none */
    const char *word, *position, *type, *emb_norm;
    const char *layer; /* followed by the number, a dot and one of the next */
    const char *lin[LIN_SITES], *attn_norm, *ffn_norm;
    const char *pooler; /* NULL: the head does without */

    const char *head[4];        /* dense weight and bias, classifier weight and bias */
    const char *head_module[4]; /* as struct head_tensor.module */
    enum act head_act;          /* between the two */
    bool head_drops_first;      /* dropout before the dense layer too */
    bool tokens_drop_as_hidden; /* token classification uses the hidden dropout, not the head's */

    /* Masked language modelling: weight and bias of dense, gain and bias of the norm, the decoder's
     * bias. */
    const char *mlm[5], *mlm_module;
    bool mlm_gelu; /* whatever the encoder's activation */
};

/* Indexed by enum family. */
extern const struct family_names family_names[FAMILIES];

/* The classifier's weight and bias in a head of token classification, whatever the family. */
extern const char *const names_token_head[2];

/* Is a tensor (without the family's prefix) one that checkpoints may hold although the encoder does
 * not need it: buffers, poolers and the heads of other tasks? */
bool names_tolerated(const char *tensor);

#endif

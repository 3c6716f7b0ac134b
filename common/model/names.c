#include "model/names.h"
#include <string.h>

/* BERT and RoBERTa share their encoder's spelling. */
#define BERT_KEYS                                                                                  \
    .key = {.layers = "num_hidden_layers",                                                         \
            .hidden = "hidden_size",                                                               \
            .heads = "num_attention_heads",                                                        \
            .ffn = "intermediate_size",                                                            \
            .act = "hidden_act",                                                                   \
            .types = "type_vocab_size",                                                            \
            .hidden_dropout = "hidden_dropout_prob",                                               \
            .attention_dropout = "attention_probs_dropout_prob",                                   \
            .head_dropout = "classifier_dropout"},                                                 \
    .default_head_dropout = -1
#define BERT_TENSORS                                                                               \
    .word = "embeddings.word_embeddings", .position = "embeddings.position_embeddings",            \
    .type = "embeddings.token_type_embeddings", .emb_norm = "embeddings.LayerNorm",                \
    .layer = "encoder.layer.", .attn_norm = "attention.output.LayerNorm",                          \
    .ffn_norm = "output.LayerNorm",                                                                \
    .lin = {                                                                                       \
        [LIN_QUERY] = "attention.self.query",      [LIN_KEY] = "attention.self.key",               \
        [LIN_VALUE] = "attention.self.value",      [LIN_ATTN_OUTPUT] = "attention.output.dense",   \
        [LIN_INTERMEDIATE] = "intermediate.dense", [LIN_OUTPUT] = "output.dense"}

const struct family_names family_names[FAMILIES] = {
    [FAMILY_BERT] = {.model_type = "bert",
                     BERT_KEYS,
                     .prefix = "bert.",
                     BERT_TENSORS,
                     .pooler = "pooler.dense",
                     .head = {"bert.pooler.dense.weight", "bert.pooler.dense.bias",
                              "classifier.weight", "classifier.bias"},
                     .head_module = {"pooler", "pooler", "classifier", "classifier"},
                     .head_act = ACT_TANH,
                     .mlm = {"cls.predictions.transform.dense.weight",
                             "cls.predictions.transform.dense.bias",
                             "cls.predictions.transform.LayerNorm.weight",
                             "cls.predictions.transform.LayerNorm.bias", "cls.predictions.bias"},
                     .mlm_module = "cls"},

    [FAMILY_ROBERTA] = {.model_type = "roberta",
                        BERT_KEYS,
                        .default_pad_id = 1,
                        .padded_positions = true,
                        .prefix = "roberta.",
                        BERT_TENSORS,
                        .head = {"classifier.dense.weight", "classifier.dense.bias",
                                 "classifier.out_proj.weight", "classifier.out_proj.bias"},
                        .head_module = {"classifier", "classifier", "classifier", "classifier"},
                        .head_act = ACT_TANH,
                        .head_drops_first = true,
                        .mlm = {"lm_head.dense.weight", "lm_head.dense.bias",
                                "lm_head.layer_norm.weight", "lm_head.layer_norm.bias",
                                "lm_head.bias"},
                        .mlm_module = "lm_head",
                        .mlm_gelu = true},

    [FAMILY_DISTILBERT] = {.model_type = "distilbert",
                           .key = {.layers = "n_layers",
                                   .hidden = "dim",
                                   .heads = "n_heads",
                                   .ffn = "hidden_dim",
                                   .act = "activation",
                                   .hidden_dropout = "dropout",
                                   .attention_dropout = "attention_dropout",
                                   .head_dropout = "seq_classif_dropout"},
                           .default_head_dropout = 0.2,
                           .prefix = "distilbert.",
                           .word = "embeddings.word_embeddings",
                           .position = "embeddings.position_embeddings",
                           .emb_norm = "embeddings.LayerNorm",
                           .layer = "transformer.layer.",
                           .attn_norm = "sa_layer_norm",
                           .ffn_norm = "output_layer_norm",
                           .lin = {[LIN_QUERY] = "attention.q_lin",
                                   [LIN_KEY] = "attention.k_lin",
                                   [LIN_VALUE] = "attention.v_lin",
                                   [LIN_ATTN_OUTPUT] = "attention.out_lin",
                                   [LIN_INTERMEDIATE] = "ffn.lin1",
                                   [LIN_OUTPUT] = "ffn.lin2"},
                           .head = {"pre_classifier.weight", "pre_classifier.bias",
                                    "classifier.weight", "classifier.bias"},
                           .head_module = {"pre_classifier", "pre_classifier", "classifier",
                                           "classifier"},
                           .head_act = ACT_RELU,
                           .tokens_drop_as_hidden = true,
                           .mlm = {"vocab_transform.weight", "vocab_transform.bias",
                                   "vocab_layer_norm.weight", "vocab_layer_norm.bias",
                                   "vocab_projector.bias"},
                           .mlm_module = "vocab_projector"},
};

const char *const names_token_head[2] = {"classifier.weight", "classifier.bias"};

bool names_tolerated(const char *tensor)
{
    static const char *const beginnings[] = {
        "embeddings.position_ids",
        "embeddings.token_type_ids",
        "pooler.",
        "cls.",
        "lm_head.",
        "classifier.",
        "pre_classifier.",
        "qa_outputs.",
        "vocab_transform.",
        "vocab_layer_norm.",
        "vocab_projector.",
    };
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        if (strncmp(tensor, beginnings[i], strlen(beginnings[i])) == 0)
            return true;
    return false;
}

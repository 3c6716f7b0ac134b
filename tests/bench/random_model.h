/* Hugging Face model directories with random weights, of any size: for benchmarks, and for tests
 * that start whole programs. */
#ifndef BENCH_RANDOM_MODEL_H
#define BENCH_RANDOM_MODEL_H

#include "base/err.h"
#include "model/safetensors.h"
#include <stdint.h>

/* Ways to spoil the weights file. */
enum random_fault { FAULT_NONE, FAULT_MISSING, FAULT_EXTRA, FAULT_SHAPE };

struct random_model {
    const char *type; /* "bert" or "roberta" */
    int layers, hidden, heads, ffn, vocab, positions;
    float deviation; /* of the weights: 0.02 is what BERT begins with */
    uint64_t seed;
    enum random_fault fault; /* a tensor that is missing, unknown, or transposed */
    enum dtype dtype;        /* of the file: F32 or F16 */
};

/* Writes DIR/config.json and DIR/model.safetensors (a bare encoder with pooler: weights
 * uniform with standard deviation 0.02, gains one, biases zero). The same model gives the same
 * bytes. ERR_IO, ERR_NOMEM. */
int random_model_write(const struct random_model *m, const char *dir, struct err *e) MUST_CHECK;

#endif

/* Models to be pretrained from scratch. */
#ifndef MODEL_CREATE_H
#define MODEL_CREATE_H

#include "base/err.h"
#include <stdint.h>

/* Makes the model directory `dir`, whole or not at all, from a config.json and the tokenizer files
 * of another folder: a bare encoder with the initial values of transformers: weights and embeddings
 * N(0, initializer_range, by default 0.02), biases 0, gains 1, the embeddings of the padding token
 * and position 0. A pure function of configuration and seed. ERR_MODEL: as model_open of the
 * configuration; ERR_IO: dir exists already, ...; ERR_NOMEM. */
int model_create(const char *config, const char *tokenizer_dir, uint64_t seed, const char *dir,
                 struct err *e) MUST_CHECK;

#endif

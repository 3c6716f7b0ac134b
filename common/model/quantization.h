/* How config.json says that linear weights are int8: the quantization_config of Hugging Face's
 * compressed-tensors (read from its version 0.20) for what it calls W8A16 and stores as
 * "pack-quantized", its own choice for weights alone: 8 bits, symmetric, one scale a row. A linear
 * layer X has, instead of X.weight [out,in],
 *
 *     X.weight_packed  I32 [out, ceil(in / 4)]: each number + 128, four in one, the first the
 * lowest X.weight_scale   F32, F16 or BF16 [out,1] X.weight_shape   I64 [2]: out, in */
#ifndef MODEL_QUANTIZATION_H
#define MODEL_QUANTIZATION_H

#include "model/jsonfile.h"
#include "model/model.h"

#define QUANTIZATION_CONFIG "quantization_config"

/* *int8: does config.json say so? ERR_MODEL: it says something else, and what. */
int quantization_read(const struct jsonfile *config, bool *int8, struct err *e) MUST_CHECK;

/* The quantization_config of a model whose encoder layers, and with `pooler` its pooler, are int8;
 * the caller's; NULL without memory. */
json_t *quantization_json(const struct model_config *c, bool pooler);

#endif

/* Models in int8, made of any that can be opened. */
#ifndef MODEL_QUANTIZE_H
#define MODEL_QUANTIZE_H

#include "base/err.h"
#include "model/model.h"

/* Makes the model directory `dir`, whole or not at all, as quantization.h describes: of m's linear
 * weights in layers and pooler each row w becomes a scale s, the largest |w_k| / 127 but at least
 * FLT_MIN, and the integers that are nearest to w_k / s, ties to even. So |w_k - q_k s| <= s / 2,
 * and zeros stay zeros. Embeddings become F16, rounded to nearest, or F32 where one is beyond F16;
 * vectors and heads become F32, in which their values are what they were; integers that no encoder
 * reads (position_ids) are left out. config.json says that activations are float32. Tokenizer files
 * are copied. The same model gives the same bytes. ERR_MODEL: m is int8 already, a weight is not
 * finite; ERR_IO: dir exists already, ...; ERR_NOMEM. */
int quantize_model(const struct model *m, const char *dir, struct err *e) MUST_CHECK;

#endif

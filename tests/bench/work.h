/* What the benchmarks of whole steps work on: models of random weights in known shapes, texts of
 * known lengths, the methods, and the products that a step needs. */
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

#include "base/spec.h"
#include "model/model.h"
#include "text/dataset.h"

enum { WORK_BATCH = 32, WORK_EXAMPLES = 512, WORK_MAX_LENGTH = 128 };

/* Writes a model of such weights (not BF16), and the lengths of its texts into lengths.txt. int8 is
 * made of F32 by quantize_model, so that dir must be new then. shape:
 * minilm or roberta-base; lengths: pairs (20 to 86 tokens, mean 53, as MRPC), full (128), or a file
 * of lengths to draw from, one a line. ERR_USAGE, ERR_IO, ERR_DATA, ERR_NOMEM. */
int work_make(const char *shape, const char *lengths, enum stored_as as, const char *dir,
              struct err *e) MUST_CHECK;

/* Examples of the lengths in DIR/lengths.txt with random tokens and alternating labels. The caller
 * releases d->mem. */
int work_data(struct dataset *d, const char *dir, int vocab, struct err *e) MUST_CHECK;

/* A training of so many steps of AdamW, dropout as in config.json. */
struct local_spec work_local(uint32_t steps);

struct work_method {
    const char *name;
    struct peft_spec spec;
};
/* LoRA first. */
extern const struct work_method work_methods[];
enum { WORK_METHODS = 6 };

/* FLOPs of the matrix products that one pass over the data needs (docs/performance.md): forward
 * alone, or with backward. The head's are left out. */
double work_flops(const struct model_config *c, const struct dataset *d,
                  const struct work_method *m, bool training);

/* FLOPs a second at which sgemm alone would do a layer's mix of shapes, on one thread. */
double work_gemm_rate(const struct model_config *c);

#endif

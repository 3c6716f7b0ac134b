/* Digests of what an experiment reads: model and data, wherever they lie. */
#ifndef SIM_DIGEST_H
#define SIM_DIGEST_H

#include "base/err.h"
#include "base/hash.h"
#include <stdint.h>

struct digest {
    struct hash hash;
    uint64_t train_bytes; /* in files whose name begins with "train"; of a single file: all */
};

/* A file, or the files of a folder that models and data sets are made of (json, jsonl, txt, tsv,
 * csv, conll, safetensors) with their names; subfolders are not looked into. ERR_IO. */
int digest_path(const char *path, struct digest *out, struct err *e) MUST_CHECK;

#endif

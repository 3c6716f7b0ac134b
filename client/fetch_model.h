/* A model's directory from the hub: config.json, model.safetensors and the tokenizer's files, and
 * nothing else of what the hub lists. Weights are taken as safetensors alone: pickles
 * (pytorch_model.bin) are programs, and nothing fetched is ever run. */
#ifndef CLIENT_FETCH_MODEL_H
#define CLIENT_FETCH_MODEL_H

#include "client/fetch_http.h"
#include "client/fetch_hub.h"
#include <limits.h>
#include <stdbool.h>

enum { FETCH_MODEL_FILES = 9 };

/* Strings are borrowed. */
struct fetch_model {
    const char *repo, *revision;
    const char *out; /* a folder to make, of plain files; NULL: the cache's snapshot */
};

struct fetched_file {
    const char *name; /* static */
    uint64_t size;
    bool fetched; /* false: it was there */
};
struct fetched_model {
    char dir[PATH_MAX], commit[FETCH_COMMIT];
    bool cached; /* the hub was not asked, or did not answer: the cache's last state */
    struct fetched_file file[FETCH_MODEL_FILES];
    size_t n;
};

/* Fetches what is missing. Offline, and when the hub cannot be reached, the cache's snapshot is the
 * answer if it is complete. ERR_USAGE: a malformed name or revision; ERR_MODEL: no safetensors, or
 * in shards, no config.json, or no tokenizer that we know; ERR_STATE: offline, and not in the
 * cache; ERR_REFUSED, ERR_PROTO, ERR_NET, ERR_TLS, ERR_IO as fetch_hub_list and fetch_file. What is
 * complete stays. */
int fetch_model(struct fetch_http *h, const struct fetch_hub *hub, const struct fetch_model *what,
                struct fetched_model *out, struct err *e) MUST_CHECK;

#endif

/* The cache that all Hugging Face libraries of a machine share: models--OWNER--NAME/ with
 * blobs/ETAG (the bytes, named by their checksum), snapshots/COMMIT/NAME (relative links to blobs)
 * and refs/REVISION (the commit of a branch or tag); .locks/ beside it. Source:
 * huggingface.co/docs/huggingface_hub/guides/manage-cache. */
#ifndef CLIENT_FETCH_CACHE_H
#define CLIENT_FETCH_CACHE_H

#include "base/err.h"
#include "client/fetch_hub.h"
#include <limits.h>
#include <stdbool.h>

struct fetch_cache {
    char repo[PATH_MAX];  /* .../models--OWNER--NAME */
    char locks[PATH_MAX]; /* .../.locks/models--OWNER--NAME */
};
/* Paths only. ERR_IO: too long. */
int fetch_cache_open(struct fetch_cache *c, const char *cache, const char *repo,
                     struct err *e) MUST_CHECK;

/* The snapshot's folder of a branch, tag or commit into `dir`; false when the cache has none. */
bool fetch_cache_find(const struct fetch_cache *c, const char *revision, char commit[FETCH_COMMIT],
                      char dir[PATH_MAX]);
/* The folder of a commit. ERR_IO: too long. */
int fetch_cache_dir(const struct fetch_cache *c, const char *commit, char dir[PATH_MAX],
                    struct err *e) MUST_CHECK;

/* Where a blob, its part file and its lock are; their folders are made. ERR_IO. */
struct fetch_blob {
    char path[PATH_MAX], part[PATH_MAX], lock[PATH_MAX];
};
int fetch_cache_blob(const struct fetch_cache *c, const struct fetch_sum *sum,
                     struct fetch_blob *out, struct err *e) MUST_CHECK;

/* snapshots/COMMIT/NAME -> ../../blobs/ETAG, in the place of whatever had that name. ERR_IO. */
int fetch_cache_link(const struct fetch_cache *c, const char *commit, const char *name,
                     const struct fetch_sum *sum, struct err *e) MUST_CHECK;
/* refs/REVISION := COMMIT; nothing to do when the revision is the commit. ERR_IO. */
int fetch_cache_ref(const struct fetch_cache *c, const char *revision, const char *commit,
                    struct err *e) MUST_CHECK;

#endif

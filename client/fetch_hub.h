/* The Hugging Face hub, read-only: its settings from the environment as huggingface_hub reads them,
 * the files of a model, and what is known of each before it is fetched. Everything the hub says is
 * checked: it may be anybody's server. Source: huggingface.co/docs/hub/api and the environment
 * variables of huggingface.co/docs/huggingface_hub. */
#ifndef CLIENT_FETCH_HUB_H
#define CLIENT_FETCH_HUB_H

#include "client/fetch_http.h"
#include "client/fetch_sum.h"
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>

enum {
    FETCH_MAX_REPO = 96,         /* characters of a model's name */
    FETCH_MAX_REVISION = 200,    /* of a branch, tag or commit */
    FETCH_MAX_URL = 2048,        /* of an address that we make */
    FETCH_MAX_TOKEN = 1024,      /* characters */
    FETCH_MAX_LISTING = 8 << 20, /* bytes of a model's description */
    FETCH_MAX_FILES = 10000,     /* that it may list */
    FETCH_COMMIT = 41,           /* with the NUL */
};

struct fetch_hub {
    char endpoint[FETCH_MAX_URL / 2]; /* HF_ENDPOINT, without a slash at the end */
    char cache[PATH_MAX];             /* HF_HUB_CACHE, else HF_HOME/hub */
    char
        token[FETCH_MAX_TOKEN + 1]; /* HF_TOKEN, else HF_TOKEN_PATH, else HF_HOME/token; "": none */
    bool offline;                   /* HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE */
};
/* ERR_CONFIG: an endpoint that is no https URL, or a token that no header can carry; ERR_IO: a
 * token file that cannot be read, or no home folder. */
int fetch_hub_settings(struct fetch_hub *out, struct err *e) MUST_CHECK;

/* Names as the hub has them: "name" or "owner/name" of [A-Za-z0-9._-]; and revisions, which name
 * files below the cache's refs/. ERR_USAGE. */
int fetch_hub_check_repo(const char *repo, struct err *e) MUST_CHECK;
int fetch_hub_check_revision(const char *revision, struct err *e) MUST_CHECK;

/* What a revision holds. */
struct fetch_listing {
    char commit[FETCH_COMMIT];
    json_t *root;
};
/* ERR_REFUSED: there is no such model or revision, or it is gated or private, and what to do then;
 * ERR_PROTO: a listing that is too long or makes no sense; as fetch_http_text. Release with
 * fetch_listing_release. */
int fetch_hub_list(struct fetch_http *h, const struct fetch_hub *hub, const char *repo,
                   const char *revision, struct fetch_listing *out, struct err *e) MUST_CHECK;
void fetch_listing_release(struct fetch_listing *l);
/* Names are only ever compared: what a listing says never becomes a path. */
bool fetch_listing_has(const struct fetch_listing *l, const char *name);

/* One file of a commit. */
struct fetch_remote {
    char url[FETCH_MAX_URL];
    uint64_t size;
    struct fetch_sum sum;
};
/* `name` is ours, of unreserved characters. ERR_REFUSED, ERR_PROTO: the server gives no checksum or
 * size, or one above `limit`; as fetch_http_head. */
int fetch_hub_examine(struct fetch_http *h, const struct fetch_hub *hub, const char *repo,
                      const char *commit, const char *name, uint64_t limit,
                      struct fetch_remote *out, struct err *e) MUST_CHECK;

#endif

/* A hub on loopback: an API host and a store of large files on another address, as
 * huggingface.co and its CDN are, with scripted faults. And the client that a test points at it. */
#ifndef TESTS_FETCH_HUB_H
#define TESTS_FETCH_HUB_H

#include "client/fetch_http.h"
#include "client/fetch_hub.h"
#include "tests/fetch/web.h"

#define HUB_REPO "acme/tiny-bert"
#define HUB_COMMIT "0123456789abcdef0123456789abcdef01234567"
enum { HUB_MAX_FILES = 16, HUB_MAX_LOG = 512, HUB_WEIGHTS = 300000 };

struct hub_file {
    const char *name;
    const unsigned char *bytes;
    size_t len;
    bool large;    /* kept in the store */
    char etag[80]; /* what the hub says it is */
};

/* A request as a server saw it. */
struct hub_log {
    bool store; /* which server */
    struct web_request q;
};

struct hub {
    struct web api, store;
    pthread_mutex_t lock;
    char dir[64]; /* scratch folder of the test */
    char ca[96];  /* the CA's PEM file */
    unsigned char weights[HUB_WEIGHTS];
    struct hub_file file[HUB_MAX_FILES];
    size_t files;

    /* faults; all absent when zero */
    const char *token;   /* that every request to the API host must bring */
    const char *listing; /* instead of the true one */
    size_t listing_len;
    const char *commit;     /* that the listing names; default HUB_COMMIT */
    int fail_status, fails; /* so many answers of the store are this status */
    unsigned retry_after;   /* that they ask for */
    size_t cut;             /* bytes after which the store cuts, for `cuts` answers */
    int cuts;
    bool stall;           /* instead of cutting, send no more */
    int fail_after_cuts;  /* a status for all answers of the store after that */
    bool ignore_ranges;   /* the store sends all, always */
    bool shift_ranges;    /* the store sends another part than asked for */
    size_t announce;      /* the size that the hub tells of large files */
    const char *redirect; /* where the hub sends for large files, instead of the store */
    bool moved;           /* small files are elsewhere on the API host, by a relative redirect */
    bool silent;          /* the API host answers 503 */

    struct hub_log log[HUB_MAX_LOG];
    size_t logged;

    /* the client */
    struct fetch_http *http;
    struct fetch_hub settings;
    unsigned wait_ms[64]; /* between its tries */
    size_t waits;
};

/* A folder, two servers, the files of a small BERT, and a client that trusts them. */
void hub_open(struct hub *h);
void hub_close(struct hub *h);
/* Adds a file, or gives one other bytes; `text` is borrowed. Its ETag becomes right. */
void hub_put(struct hub *h, const char *name, const void *bytes, size_t len, bool large);
void hub_drop(struct hub *h, const char *name);
/* How many requests with this method and end of path came to a server. */
size_t hub_count(const struct hub *h, bool store, const char *method, const char *path_end);
/* A new client, as a new process would have it; `ca` NULL: without the CA. */
void hub_reconnect(struct hub *h, const char *ca);

/* The bytes of a file below h->dir equal these. */
bool hub_same(const struct hub *h, const char *path, const void *bytes, size_t len);
bool hub_exists(const struct hub *h, const char *path);

#endif

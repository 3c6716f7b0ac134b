/* One file from a URL, whole and verified or not at all. Bytes are kept in a part file until their
 * checksum is right, so an interrupted download (a signal, a power cut, a full disk) goes on where
 * it ended. */
#ifndef CLIENT_FETCH_FILE_H
#define CLIENT_FETCH_FILE_H

#include "client/fetch_http.h"
#include "client/fetch_sum.h"
#include <stdbool.h>

/* Strings are borrowed. */
struct fetch_file {
    const char *name; /* for people */
    const char *url;
    const char *path; /* where the file appears, by a rename */
    const char *part; /* the part file, in the same folder */
    const char *lock; /* an existing folder, or a file to create, that is locked meanwhile */
    uint64_t size;
    struct fetch_sum sum;
};

/* Does nothing but to check it when the file is there already; one with other bytes is fetched
 * anew, and so is a part file that turns out to have begun with wrong ones. *fetched tells whether
 * anything was to do. Waits while another process fetches the same file (flock on `lock`). ERR_IO,
 * no space among them; ERR_PROTO: the bytes that came are not those of `sum`; ERR_REFUSED: the
 * server does not give them; ERR_NET, ERR_TLS as fetch_http_body. The part file stays after all
 * errors but a wrong checksum. */
int fetch_file(struct fetch_http *h, const struct fetch_file *f, bool *fetched,
               struct err *e) MUST_CHECK;

#endif

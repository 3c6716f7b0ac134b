/* The audit log: who was let in, who was turned away, and what came of it; one JSON object a line,
 * only ever appended to.
 *
 *     {"seq":3,"time":"2026-01-31T12:00:00.000Z","prev":"9f86...","event":"enrolled",...}
 *
 * `prev` is the SHA-256 of the line before, without its newline (64 zeros in the first): a line
 * that is changed, removed or moved breaks the chain where it stood. Lines cut off at the end break
 * nothing; who keeps the hash of a line elsewhere can tell (audit_verify, `expect`).
 *
 * Several processes append to one file: each line is written under flock(), with one write().
 * What was appended with `sync` is on the disk when audit_append returns; the rest is there after
 * the next such line. A process that is killed leaves at most an unfinished last line; whoever
 * appends next cuts it off and says so in a line "repaired". */
#ifndef SERVER_AUDIT_H
#define SERVER_AUDIT_H

#include "base/err.h"
#include "base/hash.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUDIT_FILE "audit.log"  /* in the state folder */
enum { AUDIT_MAX_LINE = 4096 }; /* bytes, newline included */

struct audit; /* may be used by several threads */

/* Opens the file, made with mode 0600 when it is not there, and repairs its end. `now`: Unix ms.
 * ERR_IO: cannot be opened or written; ERR_DATA: the last line is no record. */
int audit_open(struct audit **out, const char *path, int64_t now, struct err *e) MUST_CHECK;
void audit_close(struct audit *a);

/* Appends a line. `detail`: an object whose members follow the four of every line, or NULL; the
 * reference is taken over, whatever becomes of it. ERR_IO: disk full, say; the file then is as it
 * was before. ERR_DATA: as audit_open; ERR_NOMEM: no memory, or longer than AUDIT_MAX_LINE. */
int audit_append(struct audit *a, int64_t now, const char *event, json_t *detail, bool sync,
                 struct err *e) MUST_CHECK;

/* The same, synced, for a program that has one line to write: to the log in the folder `state`.
 * Errors of audit_open and audit_append. */
int audit_once(const char *state, int64_t now, const char *event, json_t *detail,
               struct err *e) MUST_CHECK;

struct audit_summary {
    uint64_t lines;
    struct hash head; /* SHA-256 of the last line */
    size_t torn;      /* bytes of an unfinished last line; 0: none */
    bool expected;    /* a line has the hash that was expected */
};
/* Follows the chain from the first line to the last. `expect`: the hash of a line that must be
 * there, or NULL. `line`, if not NULL, is called for each, with its object. ERR_DATA naming the
 * first line that is changed, missing or out of order, or when no line has the expected hash;
 * ERR_IO: cannot be read. *out is filled in up to there. */
int audit_verify(const char *path, const struct hash *expect,
                 void (*line)(void *ctx, const char *text, const json_t *record), void *ctx,
                 struct audit_summary *out, struct err *e) MUST_CHECK;

#endif

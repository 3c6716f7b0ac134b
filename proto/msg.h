/* Messages between client and server: plain structs, and their protobuf form (fedpet.proto). Only
 * msg_encode.c and msg_decode.c see *.pb-c.h; msg.c holds what needs no protobuf.
 *
 * A connection's life, client C and server S, after mutual TLS (the certificate names the client):
 * - C Hello (which run the connection is for); S Welcome (run spec, schema hash, base model hash),
 *   or S Goodbye (reason);
 * - S Runs, after its Welcome and when there is a new run: for each, a connection of its own;
 * - C Ready (schema hash, samples), or C Goodbye (wrong model, no data ...);
 * - a round: S Task (parameters), C Update (parameters, samples, metrics), S Receipt (accepted, or
 *   the reason why not); or S Receipt for no update (msg_withdraws): the round goes on without it;
 * - an Update of more than MSG_CHUNK bytes goes in parts: C Part without data (id, length), S
 *   Proceed (offset), C Part with data from there, S Proceed, ..., and at the end C Update without
 *   its bytes. After a lost connection C asks again, and goes on where S says. S may answer any of
 *   them by a Receipt: the update is settled;
 * - after the last round: S Finish (final parameters); C keeps its adapter;
 * - either side at any time: Ping, answered by Pong; Goodbye;
 * - C once Ready: Paused (why), when its device puts its training off, and when that is over;
 * - C at any time: Renew (CSR), answered by S Identity when the server can sign it now. Nothing
 * else changes: the connection goes on with the old certificate. S may ask for it by a Renew of its
 *   own, without CSR.
 *
 * Enrolment has its own port: C Enroll (token, CSR); S Identity (certificate, CA), or Goodbye. */
#ifndef PROTO_MSG_H
#define PROTO_MSG_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/spec.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MSG_PROTOCOL = 3,      /* 3: long updates in parts, which the others must know */
    MSG_CHUNK = 512 << 10, /* bytes of an update that a message carries at most */
    MSG_MAX_METRICS = 16,
    MSG_MAX_LABELS = 512,
    MSG_MAX_RUNS = 64, /* of one server */
    MSG_MAX_TEXT = 1024,
    MSG_MAX_PEM = 16384,
    MSG_SLACK = 64 << 10, /* memory that msg_decode may need above a payload's length */
};

/* Frame types; the numbers are on the wire. */
enum msg_type {
    MSG_HELLO = 1,
    MSG_WELCOME = 2,
    MSG_READY = 3,
    MSG_TASK = 4,
    MSG_UPDATE = 5,
    MSG_RECEIPT = 6,
    MSG_FINISH = 7,
    MSG_GOODBYE = 8,
    MSG_PING = 9,
    MSG_PONG = 10,
    MSG_ENROLL = 11,
    MSG_IDENTITY = 12,
    MSG_RENEW = 13,
    MSG_PAUSED = 14,
    MSG_RUNS = 15,
    MSG_PART = 16,
    MSG_PROCEED = 17,
    MSG_TYPES
};

/* Why something was refused: counted, shown and documented. */
enum msg_reason {
    REASON_NONE = 0,
    REASON_VERSION = 1,
    REASON_RUN = 2,
    REASON_ROUND = 3 /* stale or future */,
    REASON_SCHEMA = 4,
    REASON_SHAPE = 5,
    REASON_NOT_FINITE = 6,
    REASON_DUPLICATE = 7,
    REASON_NOT_SELECTED = 8,
    REASON_SAMPLES = 9,
    REASON_MODEL = 10,
    REASON_DATA = 11,
    REASON_TOKEN = 12,
    REASON_IDENTITY = 13,
    REASON_STOPPING = 14,
    REASON_UNEXPECTED = 15,
    REASON_LATE = 16,
    REASON_INTERNAL = 17,
    REASON_NORM = 18 /* an update larger than federation.max_update_norm */,
    REASON_FULL = 19 /* there are enough clients just now */,
    REASON_PART = 20 /* a part of an update that does not come next */,
    REASONS
};
const char *msg_reason_name(enum msg_reason r);

/* Why a client's device puts training off (client/gates.h). */
enum msg_pause {
    PAUSE_NONE = 0,
    PAUSE_HOURS = 1,
    PAUSE_BATTERY = 2,
    PAUSE_MEMORY = 3,
    PAUSE_LOAD = 4,
    PAUSES
};
/* For people: "on battery"; "" for PAUSE_NONE. */
const char *msg_pause_text(enum msg_pause p);

struct msg_bytes {
    const unsigned char *data;
    size_t len;
};
struct msg_metric {
    const char *name;
    double value;
    uint64_t weight; /* examples behind it */
};

struct msg_hello {
    uint32_t protocol;
    const char *software; /* "fedpet-client 0.1.0" */
    const char *run;      /* spec_name_ok; NULL: the server chooses */
};
struct msg_welcome {
    uint32_t protocol;
    const char *run_id;   /* 16 hex digits */
    const char *name;     /* the run's, spec_name_ok; NULL: it has none (a simulation) */
    struct run_spec spec; /* task.data NULL */
    struct hash schema, model;
    uint32_t index; /* the client's number in the run: names its random streams */
    uint32_t next_round;
};
struct msg_ready {
    struct hash schema, model;
    uint64_t samples;
    uint64_t codings; /* coding_known (codec/coding.h); 0: plain alone */
    /* 1 + the round of the task that it is working on, or has an unsettled update of; 0: none. */
    uint32_t at_work;
};
struct msg_task {
    const char *run_id;
    uint32_t round;
    uint64_t deadline_ms;    /* time left */
    struct msg_bytes params; /* packed tensorset, encoded as `coding` says */
    /* SCAFFOLD: the server's control variate, as long as params; else empty. */
    struct msg_bytes control;
    /* 1 + the last round that an update of this client counted in; 0: none. What the client keeps
     * for itself continues from that round. */
    uint32_t counted;
    uint32_t coding; /* codec/coding.h; so below */
};
struct msg_update {
    const char *run_id;
    uint32_t round;
    struct hash schema;
    struct hash update_id; /* of msg_update_id: makes a repeat recognisable */
    uint64_t samples;
    uint64_t steps;
    double train_loss;
    double seconds;
    size_t n_metrics;
    struct msg_metric metric[MSG_MAX_METRICS];
    struct msg_bytes params;  /* encoded against those of the task */
    struct msg_bytes control; /* SCAFFOLD: the change of the client's control variate; else empty */
    uint32_t coding;          /* of params */
    bool uploaded;            /* both came in parts: only their lengths are here, data is NULL */
};
struct msg_part {
    const char *run_id;
    uint32_t round;
    struct hash update_id;
    size_t length, offset;
    struct msg_bytes data; /* empty: a question; at most MSG_CHUNK, and within length */
};
struct msg_proceed {
    struct hash update_id;
    size_t offset;
};
struct msg_receipt {
    uint32_t round;
    struct hash update_id;
    bool accepted;
    enum msg_reason reason;
    const char *text;
};
struct msg_finish {
    const char *run_id;
    uint32_t rounds;
    struct msg_bytes params;
    uint32_t coding;
};
struct msg_goodbye {
    enum msg_reason reason;
    const char *text;
    uint32_t retry_after_s; /* 0: do not come back */
};
struct msg_paused {
    enum msg_pause why; /* PAUSE_NONE: it goes on */
};
struct msg_enroll {
    const char *token, *csr_pem;
};
struct msg_renew {
    const char *csr_pem; /* NULL from the server: asks for one */
};
struct msg_identity {
    const char *name, *cert_pem, *ca_pem;
};
struct msg_runs {
    char **name; /* n, spec_name_ok; at most MSG_MAX_RUNS */
    size_t n;
};

struct msg {
    enum msg_type type;
    union {
        struct msg_hello hello;
        struct msg_welcome welcome;
        struct msg_ready ready;
        struct msg_task task;
        struct msg_update update;
        struct msg_receipt receipt;
        struct msg_finish finish;
        struct msg_goodbye goodbye;
        struct msg_enroll enroll;
        struct msg_identity identity;
        struct msg_renew renew;
        struct msg_paused paused;
        struct msg_runs runs;
        struct msg_part part;
        struct msg_proceed proceed;
    };
};

/* Copies what *w points to into `mem`, and makes it point there; the name becomes NULL. false: no
 * memory. */
bool msg_welcome_own(struct msg_welcome *w, struct arena *mem) MUST_CHECK;

/* Appends the payload's protobuf form to out (whose limit must allow it); params are copied once,
 * into out. ERR_NOMEM. The caller keeps to the ranges of msg_decode: the peer refuses what does
 * not. */
int msg_encode(const struct msg *m, struct buf *out) MUST_CHECK;
/* The same in two halves, which are the message when one follows the other (protobuf takes fields
 * in any order): what is this client's own; and what is the same for all that are sent the same
 * parameters in the same coding, the parameters above all. Only Task and Finish have a second half,
 * Finish has no other. */
int msg_encode_own(const struct msg *m, struct buf *out) MUST_CHECK;
int msg_encode_same(const struct msg *m, struct buf *out) MUST_CHECK;
/* Parses a payload of `type`. Strings and params point into `mem`, which must be capped at len +
 * MSG_SLACK: a message that would need more is refused. Texts that are "" on the wire are NULL
 * where the struct's comment allows NULL. A protocol number is only read: refusing an unknown one
 * is for Goodbye to explain.
 *
 * ERR_PROTO naming the field: not protobuf; missing; out of the range that base/spec.h and
 * base/conf.h give it; not finite; over a MSG_MAX_* limit; no name of a run; text that is not UTF-8
 * or has control characters; run id not 16 lower-case hex digits; hash not 32 bytes; params
 * missing, or plain and not whole floats (else they are coder_decode's to check, and values
 * tensorset_unpack's). Unknown fields are skipped, so that messages can grow. */
int msg_decode(enum msg_type type, const unsigned char *payload, size_t len, struct arena *mem,
               struct msg *out, struct err *e) MUST_CHECK;
/* The longest payload of a type when tasks carry `packed` values (schema.packed, or with SCAFFOLD
 * twice as many): 4 * packed + 4 KiB for Task and Finish, the same but at most MSG_CHUNK + 4 KiB
 * for Update and Part, 64 KiB for the others, 0 for a number that is no type. */
size_t msg_limit(enum msg_type type, size_t packed);
const char *msg_type_name(enum msg_type t);
/* A Receipt that settles no update, its update_id being 0: the task of that round is withdrawn, as
 * an update would come too late now. A client that goes on all the same is told so again. */
bool msg_withdraws(const struct msg_receipt *r);
/* The id of an update of this client, as both sides compute it: SHA-256 of run id, round, client
 * name, coding, params as they travel, and control. */
struct hash msg_update_id(const struct msg_update *u, const char *client);

#endif

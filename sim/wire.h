/* The road between a simulated client and the server core, in three depths of realism with the same
 * result bits: none (structs handed over), proto (every message encoded, framed, parsed), tls
 * (that, through a TLS 1.3 session with both certificates). The fourth depth, real processes, is
 * sim/processes. */
#ifndef SIM_WIRE_H
#define SIM_WIRE_H

#include "base/err.h"
#include "proto/msg.h"
#include "sim/trust.h"
#include <stdbool.h>
#include <stdint.h>

enum wire_depth { WIRE_NONE, WIRE_PROTO, WIRE_TLS, WIRE_PROCESS };
/* "none", "proto", "tls", "process"; false when unknown. */
bool wire_parse(const char *name, enum wire_depth *out);

enum wire_end { WIRE_CLIENT, WIRE_SERVER };

/* One connection, both ends of it. */
struct wire;
/* Opens a connection for the client `name`, handshake done. trust: WIRE_TLS only, else NULL.
 * packed: values that a message carries (msg_limit), for the length limits. ERR_TLS, ERR_NOMEM. */
int wire_open(struct wire **out, enum wire_depth depth, struct trust *trust, const char *name,
              size_t packed, struct err *e) MUST_CHECK;
void wire_close(struct wire *w);

/* Carries m from one end to the other and hands it to `deliver` there, before returning. */
int wire_carry(struct wire *w, enum wire_end from, const struct msg *m,
               void (*deliver)(void *ctx, const struct msg *m), void *ctx,
               struct err *e) MUST_CHECK;
/* Bytes sent by an end so far, handshake included; 0 for WIRE_NONE, which has no bytes. */
uint64_t wire_bytes(const struct wire *w, enum wire_end from);

#endif

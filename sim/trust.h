/* The certificates of a simulation: a CA, a server and clients of its own, in a temporary folder
 * that goes with it. */
#ifndef SIM_TRUST_H
#define SIM_TRUST_H

#include "base/err.h"
#include "net/tls.h"

/* The server name that clients check. */
#define TRUST_SERVER "localhost"

struct trust;
/* ERR_IO, ERR_TLS, ERR_NOMEM. */
int trust_open(struct trust **out, struct err *e) MUST_CHECK;
void trust_close(struct trust *t);

/* The server's context; belongs to t. */
struct tls_context *trust_server(struct trust *t);
/* Makes key and certificate of the client `name`; the caller closes the context. */
int trust_client(struct trust *t, const char *name, struct tls_context **out,
                 struct err *e) MUST_CHECK;

#endif

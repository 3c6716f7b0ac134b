/* The folder of a new server: a CA, the server's certificate, a configuration to be filled in. */
#ifndef SERVER_INIT_H
#define SERVER_INIT_H

#include "base/err.h"
#include <stddef.h>

/* Writes ca.pem, ca.key, server.pem, server.key and server.yaml to dir, made if need be: all of
 * them, or none. The certificate is for n >= 1 host names or addresses. ERR_IO: one of the files
 * exists, or cannot be written; ERR_CONFIG: a bad host; ERR_TLS. */
int init_folder(const char *dir, const char *const *host, size_t n, struct err *e) MUST_CHECK;

#endif

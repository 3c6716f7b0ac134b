/* What a signing request (PKCS #10, RFC 2986) asks for. */
#ifndef SERVER_CSR_H
#define SERVER_CSR_H

#include <stdbool.h>
#include <stddef.h>

/* The common name in PEM text, NUL-terminated, cut at `size`. False when there is none. Nothing is
 * verified: that is done when the request is signed. */
bool csr_name(const char *pem, char *out, size_t size);

#endif

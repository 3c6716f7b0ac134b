/* Signing requests and certificates out of any PEM. */
#include "net/identity.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct identity ca;
    enum { NOW = 1700000000 };
    static const int64_t DAY_S = 86400;
    char *cert = NULL, name[IDENTITY_MAX_NAME + 1], *text = malloc(size + 1);
    struct hash h;
    int64_t expiry;
    if (!ca.key && identity_make_ca(&ca, "fuzz-ca", NOW, 30, NULL))
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    if (identity_sign_csr(&cert, &ca, text, "fuzz", NOW, 1, NULL) == 0) {
        if (identity_common_name(cert, name, NULL) || strcmp(name, "fuzz") != 0)
            abort();
        free(cert);
    }
    if (identity_common_name(text, name, NULL) == 0 && !identity_name_ok(name))
        abort();
    /* Whatever has a fingerprint is a certificate, and every certificate has a last day. */
    if (identity_fingerprint(text, &h, NULL) == 0 && identity_expiry(text, &expiry, NULL) == 0 &&
        (expiry < -DAY_S * 365 * 2000 || expiry > DAY_S * 365 * 9000))
        abort();
    free(text);
    return 0;
}

#include "server/csr.h"
#include <openssl/pem.h>
#include <openssl/x509.h>

bool csr_name(const char *pem, char *out, size_t size)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509_REQ *csr = bio != NULL ? PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL) : NULL;
    int len = -1;
    if (csr != NULL)
        len = X509_NAME_get_text_by_NID(X509_REQ_get_subject_name(csr), NID_commonName, out,
                                        (int)size);
    X509_REQ_free(csr);
    BIO_free(bio);
    return len > 0;
}

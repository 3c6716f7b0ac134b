/* libcurl, opened by the first download (base/dynlib.h): what we use of it, under its own names. */
#ifndef CLIENT_LIBCURL_H
#define CLIENT_LIBCURL_H

#include "base/err.h"
/* The macros that check types would call the functions that we are not linked with. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#define LIBCURL_FUNCTIONS(X)                                                                       \
    X(curl_global_init)                                                                            \
    X(curl_global_cleanup)                                                                         \
    X(curl_easy_init)                                                                              \
    X(curl_easy_cleanup)                                                                           \
    X(curl_easy_setopt)                                                                            \
    X(curl_easy_perform)                                                                           \
    X(curl_easy_getinfo)                                                                           \
    X(curl_easy_strerror)                                                                          \
    X(curl_easy_escape)                                                                            \
    X(curl_free)                                                                                   \
    X(curl_slist_append)                                                                           \
    X(curl_slist_free_all)                                                                         \
    X(curl_url)                                                                                    \
    X(curl_url_cleanup)                                                                            \
    X(curl_url_get)                                                                                \
    X(curl_url_set)

struct libcurl {
#define LIBCURL_POINTER(name) __typeof__(name) *name;
    LIBCURL_FUNCTIONS(LIBCURL_POINTER)
#undef LIBCURL_POINTER
};

/* Errors of dynlib_open. Nothing to close. */
int libcurl_open(struct libcurl *out, struct err *e) MUST_CHECK;

#endif

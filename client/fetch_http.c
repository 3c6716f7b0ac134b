#include "client/fetch_http.h"
#include "base/buf.h"
#include "client/libcurl.h"
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    MOST_REDIRECTS = 8,
    CONNECT_MS = 10000,
    STALL_SECONDS = 30,   /* without a byte: cut */
    FIRST_WAIT_MS = 1000, /* doubled with each try in vain */
    LONGEST_WAIT_S = 300, /* that we let a server ask for */
};

struct fetch_http {
    struct libcurl lib;
    CURL *curl;
    struct curl_slist *header;
    struct fetch_http_settings set;
    char fault[CURL_ERROR_SIZE];
};

struct request {
    struct fetch_http *http;
    const struct fetch_sink *sink; /* NULL: headers only */
    struct fetch_reply *reply;
    struct err *e;
    uint64_t at, size; /* the next byte of the file, and its end */
    uint64_t came;     /* bytes of body so far, over all tries */
    int failed;        /* what ended the request */
    bool whole;        /* every try begins at the first byte */
    bool begun;        /* the body of this answer */
    /* headers of this answer */
    bool linked_etag, linked_size, ranged;
    uint64_t range_start;
    unsigned retry_after; /* seconds */
};

enum outcome { DONE, AGAIN, FAILED };

/* --- one handle --- */

/* The types that options take, which nothing else checks in a call with "...". */
static void set_number(struct fetch_http *h, CURLoption option, long value)
{
    h->lib.curl_easy_setopt(h->curl, option, value);
}

static void set_text(struct fetch_http *h, CURLoption option, const char *text)
{
    h->lib.curl_easy_setopt(h->curl, option, text);
}

static void set_up(struct fetch_http *h)
{
    set_number(h, CURLOPT_NOSIGNAL, 1);
    h->lib.curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, h->fault);
    h->lib.curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, h->header);
    set_text(h, CURLOPT_USERAGENT, "fedpet-client/" FEDPET_VERSION);
    set_text(h, CURLOPT_PROTOCOLS_STR, "https");
    set_number(h, CURLOPT_FOLLOWLOCATION, 0);
    set_number(h, CURLOPT_SSL_VERIFYPEER, 1);
    set_number(h, CURLOPT_SSL_VERIFYHOST, 2);
    set_number(h, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    set_number(h, CURLOPT_LOW_SPEED_LIMIT, 1);
    set_number(h, CURLOPT_LOW_SPEED_TIME, STALL_SECONDS);
    /* The folder of the system's CAs stays trusted beside this file. */
    if (h->set.ca)
        set_text(h, CURLOPT_CAINFO, h->set.ca);
}

int fetch_http_open(struct fetch_http **out, const struct fetch_http_settings *s, struct err *e)
{
    struct fetch_http *h = calloc(1, sizeof *h);
    if (!h)
        return err_set(e, ERR_NOMEM, "no memory for a connection");
    int rc = libcurl_open(&h->lib, e);
    if (!rc && h->lib.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        rc = err_set(e, ERR_NOMEM, "libcurl cannot start");
    if (rc) {
        free(h);
        return rc;
    }
    h->set = *s;
    h->curl = h->lib.curl_easy_init();
    /* Compressed bodies would make the ranges of a file ambiguous. */
    h->header = h->lib.curl_slist_append(NULL, "Accept-Encoding: identity");
    if (!h->curl || !h->header) {
        fetch_http_close(h);
        return err_set(e, ERR_NOMEM, "no memory for a connection");
    }
    set_up(h);
    *out = h;
    return 0;
}

void fetch_http_close(struct fetch_http *h)
{
    if (!h)
        return;
    h->lib.curl_easy_cleanup(h->curl);
    h->lib.curl_slist_free_all(h->header);
    h->lib.curl_global_cleanup();
    free(h);
}

char *fetch_http_escape(const struct fetch_http *h, const char *text)
{
    char *escaped = h->lib.curl_easy_escape(h->curl, text, 0);
    char *copy = escaped ? strdup(escaped) : NULL;
    h->lib.curl_free(escaped);
    return copy;
}

const struct fetch_watch *fetch_http_watch(const struct fetch_http *h)
{
    return &h->set.watch;
}

/* --- what an answer says --- */

/* A header's value without white space around it, or "" when it is too long to be sensible. */
static void copy_value(const char *from, size_t n, char out[FETCH_HEADER_MAX])
{
    while (n > 0 && strchr(" \t", from[0])) {
        from++;
        n--;
    }
    while (n > 0 && strchr(" \t\r\n", from[n - 1]))
        n--;
    if (n >= FETCH_HEADER_MAX)
        n = 0;
    memcpy(out, from, n);
    out[n] = '\0';
}

/* W/"tag" or "tag" -> tag (RFC 9110, 8.8.3). */
static void copy_etag(const char *value, char out[FETCH_HEADER_MAX])
{
    if (strncmp(value, "W/", 2) == 0)
        value += 2;
    if (*value == '"')
        value++;
    snprintf(out, FETCH_HEADER_MAX, "%.*s", (int)strcspn(value, "\""), value);
}

/* The number that the text begins with. */
static bool read_number(const char *text, uint64_t *out)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 18)
        return false;
    *out = strtoull(text, NULL, 10);
    return true;
}

static void read_header(struct request *r, const char *name, size_t len, const char *value)
{
    struct fetch_reply *reply = r->reply;
    uint64_t number = 0;
    bool numeric = read_number(value, &number);
#define IS(header) (len == sizeof header - 1 && strncasecmp(name, header, len) == 0)
    if (IS("X-Linked-Etag")) {
        copy_etag(value, reply->etag);
        r->linked_etag = true;
    } else if (IS("ETag") && !r->linked_etag) {
        copy_etag(value, reply->etag);
    } else if (IS("X-Linked-Size") && numeric) {
        reply->size = number;
        r->linked_size = true;
    } else if (IS("Content-Length") && numeric && !r->linked_size) {
        reply->size = number;
    } else if (IS("X-Error-Code")) {
        snprintf(reply->error, sizeof reply->error, "%s", value);
    } else if (IS("Retry-After") && numeric) {
        r->retry_after = number < UINT32_MAX ? (unsigned)number : UINT32_MAX;
    } else if (IS("Content-Range") && strncasecmp(value, "bytes ", 6) == 0) {
        r->ranged = read_number(value + 6 + strspn(value + 6, " "), &r->range_start);
    }
#undef IS
}

static void forget_answer(struct request *r)
{
    *r->reply = (struct fetch_reply){.size = FETCH_UNKNOWN_SIZE};
    r->linked_etag = r->linked_size = r->ranged = r->begun = false;
    r->retry_after = 0;
}

static size_t on_header(char *line, size_t one, size_t n, void *ctx)
{
    struct request *r = ctx;
    char value[FETCH_HEADER_MAX];
    const char *colon = memchr(line, ':', n);
    if (n > 5 && memcmp(line, "HTTP/", 5) == 0) {
        forget_answer(r);
    } else if (colon) {
        size_t len = (size_t)(colon - line);
        copy_value(colon + 1, n - len - 1, value);
        read_header(r, line, len, value);
    }
    return one * n;
}

/* --- bodies --- */

static int begin_body(struct request *r)
{
    uint64_t offset = r->reply->status == 206 ? r->range_start : 0;
    if (r->reply->status == 206 && (!r->ranged || offset != r->at))
        return err_set(r->e, ERR_PROTO,
                       "the server sent another part of the file than byte %" PRIu64, r->at);
    r->begun = true;
    r->at = offset;
    return r->sink->seek(r->sink->ctx, offset, r->e);
}

static int take_bytes(struct request *r, const char *bytes, size_t n)
{
    int rc = r->begun ? 0 : begin_body(r);
    if (rc)
        return rc;
    if (r->size != FETCH_UNKNOWN_SIZE && n > r->size - r->at)
        return err_set(r->e, ERR_PROTO,
                       "the server sent more than the %" PRIu64 " bytes it announced", r->size);
    rc = r->sink->write(r->sink->ctx, bytes, n, r->e);
    if (rc)
        return rc;
    r->at += n;
    r->came += n;
    if (r->http->set.watch.bytes)
        r->http->set.watch.bytes(r->http->set.watch.ctx, n);
    return 0;
}

static bool is_body(int status)
{
    return status == 200 || status == 206;
}

static int read_status(const struct fetch_http *h)
{
    long status = 0;
    h->lib.curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

static size_t on_body(char *bytes, size_t one, size_t n, void *ctx)
{
    struct request *r = ctx;
    r->reply->status = read_status(r->http);
    if (!is_body(r->reply->status)) /* the page of an error or a redirect */
        return one * n;
    r->failed = take_bytes(r, bytes, n);
    return r->failed ? 0 : one * n;
}

/* --- one answer --- */

static bool same_part(const struct libcurl *lib, CURLU *a, CURLU *b, CURLUPart part)
{
    char *x = NULL, *y = NULL;
    bool same = lib->curl_url_get(a, part, &x, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                lib->curl_url_get(b, part, &y, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                strcasecmp(x, y) == 0;
    lib->curl_free(x);
    lib->curl_free(y);
    return same;
}

static bool same_origin(const struct libcurl *lib, const char *url, const char *origin)
{
    CURLU *a = lib->curl_url(), *b = lib->curl_url();
    bool same = a && b && lib->curl_url_set(a, CURLUPART_URL, url, 0) == CURLUE_OK &&
                lib->curl_url_set(b, CURLUPART_URL, origin, 0) == CURLUE_OK &&
                same_part(lib, a, b, CURLUPART_SCHEME) && same_part(lib, a, b, CURLUPART_HOST) &&
                same_part(lib, a, b, CURLUPART_PORT);
    lib->curl_url_cleanup(a);
    lib->curl_url_cleanup(b);
    return same;
}

static CURLcode ask(struct request *r, const char *url)
{
    struct fetch_http *h = r->http;
    char range[32];
    bool trusted = h->set.token && same_origin(&h->lib, url, h->set.token_origin);
    snprintf(range, sizeof range, "%" PRIu64 "-", r->at);
    forget_answer(r);
    h->fault[0] = '\0';
    set_text(h, CURLOPT_URL, url);
    set_number(h, CURLOPT_HTTPAUTH, trusted ? (long)CURLAUTH_BEARER : (long)CURLAUTH_NONE);
    set_text(h, CURLOPT_XOAUTH2_BEARER, trusted ? h->set.token : NULL);
    set_text(h, CURLOPT_RANGE, r->at > 0 ? range : NULL);
    set_number(h, r->sink ? CURLOPT_HTTPGET : CURLOPT_NOBODY, 1);
    h->lib.curl_easy_setopt(h->curl, CURLOPT_HEADERFUNCTION, on_header);
    h->lib.curl_easy_setopt(h->curl, CURLOPT_HEADERDATA, r);
    h->lib.curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, on_body);
    h->lib.curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, r);
    CURLcode code = h->lib.curl_easy_perform(h->curl);
    r->reply->status = read_status(h);
    return code;
}

static enum outcome transfer_fault(struct request *r, CURLcode code, const char *url)
{
    const char *why = r->http->fault[0] ? r->http->fault : r->http->lib.curl_easy_strerror(code);
    switch (code) {
    case CURLE_OK:
        return DONE;
    case CURLE_WRITE_ERROR:
        if (!r->failed)
            r->failed = err_set(r->e, ERR_NET, "%s: %s", url, why);
        return FAILED;
    case CURLE_PEER_FAILED_VERIFICATION:
        r->failed = err_set(r->e, ERR_TLS, "%s: %s; a private endpoint's CA is given by --ca FILE",
                            url, why);
        return FAILED;
    case CURLE_SSL_CACERT_BADFILE:
        r->failed = err_set(r->e, ERR_TLS, "--ca %s: %s",
                            r->http->set.ca ? r->http->set.ca : "(the system's)", why);
        return FAILED;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
        r->failed = err_set(r->e, ERR_CONFIG, "%s is not an https address: %s", url, why);
        return FAILED;
    case CURLE_OUT_OF_MEMORY:
        r->failed = err_set(r->e, ERR_NOMEM, "%s: no memory", url);
        return FAILED;
    default:
        err_set(r->e, ERR_NET, "%s: %s", url, why);
        return AGAIN;
    }
}

static bool is_passing(int status)
{
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
           status == 504;
}

static enum outcome judge_answer(struct request *r, const char *url)
{
    if (is_passing(r->reply->status)) {
        err_set(r->e, ERR_NET, "%s: the server answered %d", url, r->reply->status);
        return AGAIN;
    }
    if (r->reply->status == 416 && r->at > 0) {
        err_set(r->e, ERR_NET, "%s: the server has no byte %" PRIu64, url, r->at);
        r->at = 0;
        return AGAIN;
    }
    if (!r->sink || !is_body(r->reply->status))
        return DONE;
    if (!r->begun && (r->failed = begin_body(r)) != 0)
        return FAILED;
    if (r->size != FETCH_UNKNOWN_SIZE && r->at < r->size) {
        err_set(r->e, ERR_NET, "%s: cut after %" PRIu64 " of %" PRIu64 " bytes", url, r->at,
                r->size);
        return AGAIN;
    }
    return DONE;
}

/* Where a redirect leads; NULL: this answer is none to follow. Freed with free(). */
static char *next_hop(const struct request *r)
{
    char *to = NULL;
    if (r->reply->status < 300 || r->reply->status > 399 ||
        (!r->sink && r->linked_etag && r->linked_size))
        return NULL;
    r->http->lib.curl_easy_getinfo(r->http->curl, CURLINFO_REDIRECT_URL, &to);
    return to ? strdup(to) : NULL;
}

static enum outcome try_once(struct request *r, const char *first)
{
    char *url = strdup(first);
    enum outcome outcome = FAILED;
    for (int hop = 0; url; hop++) {
        outcome = transfer_fault(r, ask(r, url), url);
        char *to = outcome == DONE ? next_hop(r) : NULL;
        if (outcome == DONE && !to)
            outcome = judge_answer(r, url);
        if (to && (hop == MOST_REDIRECTS || strncasecmp(to, "https://", 8) != 0)) {
            r->failed = err_set(
                r->e, ERR_PROTO, "%s: %s: %s", url,
                hop == MOST_REDIRECTS ? "too many redirects" : "redirects away from https", to);
            outcome = FAILED;
            free(to);
            to = NULL;
        }
        free(url);
        if (!to)
            return outcome;
        url = to;
    }
    r->failed = err_set(r->e, ERR_NOMEM, "no memory for an address");
    return FAILED;
}

/* --- requests --- */

static int run(struct request *r, const char *url)
{
    const struct fetch_watch *watch = &r->http->set.watch;
    unsigned idle = 0;
    for (unsigned tries = 1;; tries++) {
        uint64_t before = r->came;
        if (r->whole)
            r->at = 0;
        enum outcome outcome = try_once(r, url);
        if (outcome == DONE)
            return 0;
        if (outcome == FAILED)
            return r->failed;
        idle = r->came > before ? 1 : idle + 1;
        if (r->retry_after > LONGEST_WAIT_S)
            return err_set(r->e, ERR_NET, "%s: the server asks to wait %u seconds; try again later",
                           url, r->retry_after);
        if (idle >= FETCH_IDLE_TRIES || tries >= FETCH_MOST_TRIES) {
            err_wrap(r->e, "given up after %u tries", tries);
            return ERR_NET;
        }
        unsigned ms = (unsigned)FIRST_WAIT_MS << (idle - 1);
        if (ms < 1000 * r->retry_after)
            ms = 1000 * r->retry_after;
        if (watch->retry)
            watch->retry(watch->ctx, r->e->text, ms);
    }
}

int fetch_http_head(struct fetch_http *h, const char *url, struct fetch_reply *reply, struct err *e)
{
    struct err own;
    struct request r = {.http = h, .reply = reply, .e = e ? e : &own, .size = FETCH_UNKNOWN_SIZE};
    int rc = run(&r, url);
    if (reply->status >= 300 && !r.linked_size)
        reply->size = FETCH_UNKNOWN_SIZE; /* that of the redirect's own page */
    return rc;
}

int fetch_http_body(struct fetch_http *h, const char *url, uint64_t offset, uint64_t size,
                    const struct fetch_sink *sink, struct fetch_reply *reply, struct err *e)
{
    struct err own;
    struct request r = {
        .http = h, .sink = sink, .reply = reply, .e = e ? e : &own, .at = offset, .size = size};
    return run(&r, url);
}

static int text_seek(void *ctx, uint64_t offset, struct err *e)
{
    (void)offset; /* 0: a text may be another one at the next try, so it is asked for whole */
    (void)e;
    buf_clear(ctx);
    return 0;
}

static int text_write(void *ctx, const void *bytes, size_t n, struct err *e)
{
    struct buf *b = ctx;
    return buf_append(b, bytes, n)
               ? err_set(e, ERR_PROTO, "the answer is longer than %zu bytes", b->limit)
               : 0;
}

int fetch_http_text(struct fetch_http *h, const char *url, size_t limit, char **text,
                    struct fetch_reply *reply, struct err *e)
{
    struct buf b;
    struct err own;
    struct fetch_sink sink = {&b, text_seek, text_write};
    struct request r = {.http = h,
                        .sink = &sink,
                        .reply = reply,
                        .e = e ? e : &own,
                        .size = FETCH_UNKNOWN_SIZE,
                        .whole = true};
    buf_init(&b, limit);
    int rc = run(&r, url);
    char *copy = NULL;
    if (!rc && reply->status == 200) {
        copy = strndup((const char *)(buf_size(&b) ? buf_bytes(&b) : (const unsigned char *)""),
                       buf_size(&b));
        if (!copy)
            rc = err_set(e, ERR_NOMEM, "%s: no memory", url);
    }
    buf_release(&b);
    if (!rc)
        *text = copy;
    return rc;
}

int fetch_http_refused(const struct fetch_reply *reply, const char *url, struct err *e)
{
    if (reply->status == 404)
        return err_set(e, ERR_REFUSED, "%s does not exist", url);
    return err_set(e, ERR_REFUSED, "%s: the server answered %d", url, reply->status);
}

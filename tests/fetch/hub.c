#include "tests/fetch/hub.h"
#include "base/file.h"
#include "base/hash.h"
#include "net/openssl.h"
#include <criterion/criterion.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* --- files --- */

static void git_name(const void *bytes, size_t len, char out[80])
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n;
    char header[32];
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    int head = snprintf(header, sizeof header, "blob %zu", len);
    EVP_DigestInit_ex(md, EVP_sha1(), NULL);
    EVP_DigestUpdate(md, header, (size_t)head + 1);
    EVP_DigestUpdate(md, bytes, len);
    EVP_DigestFinal_ex(md, sum, &n);
    EVP_MD_CTX_free(md);
    for (unsigned i = 0; i < n; i++)
        snprintf(out + 2 * i, 3, "%02x", sum[i]);
}

static struct hub_file *find(struct hub *h, const char *name)
{
    for (size_t i = 0; i < h->files; i++)
        if (strcmp(h->file[i].name, name) == 0)
            return &h->file[i];
    return NULL;
}

void hub_put(struct hub *h, const char *name, const void *bytes, size_t len, bool large)
{
    struct hub_file *f = find(h, name);
    if (!f)
        f = &h->file[h->files++];
    *f = (struct hub_file){.name = name, .bytes = bytes, .len = len, .large = large};
    if (large) {
        struct hash hash = hash_of(bytes, len);
        hash_hex(&hash, f->etag);
    } else {
        git_name(bytes, len, f->etag);
    }
}

void hub_drop(struct hub *h, const char *name)
{
    struct hub_file *f = find(h, name);
    *f = h->file[--h->files];
}

/* --- the servers --- */

static void note(struct hub *h, bool store, const struct web_request *q)
{
    if (h->logged < HUB_MAX_LOG)
        h->log[h->logged++] = (struct hub_log){store, *q};
}

size_t hub_count(const struct hub *h, bool store, const char *method, const char *path_end)
{
    size_t n = 0, end = strlen(path_end);
    for (size_t i = 0; i < h->logged; i++) {
        const struct hub_log *l = &h->log[i];
        size_t len = strlen(l->q.path);
        n += l->store == store && strcmp(l->q.method, method) == 0 && len >= end &&
             strcmp(l->q.path + len - end, path_end) == 0;
    }
    return n;
}

static void fail(struct web_answer *a, int status, const char *code)
{
    static const char page[] = "<html>an error page</html>";
    a->status = status;
    snprintf(a->headers, sizeof a->headers, "X-Error-Code: %s\r\n", code);
    a->body = (const unsigned char *)page;
    a->len = sizeof page - 1;
}

static void list(struct hub *h, struct web_answer *a)
{
    static char text[4096];
    int n =
        snprintf(text, sizeof text, "{\"id\": \"" HUB_REPO "\", \"sha\": \"%s\", \"siblings\": [",
                 h->commit ? h->commit : HUB_COMMIT);
    for (size_t i = 0; i < h->files; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s{\"rfilename\": \"%s\"}", i ? ", " : "",
                      h->file[i].name);
    n += snprintf(text + n, sizeof text - (size_t)n, "]}");
    a->body = (const unsigned char *)(h->listing ? h->listing : text);
    a->len = h->listing ? h->listing_len : (size_t)n;
}

static void resolve(struct hub *h, const char *name, struct web_answer *a)
{
    const struct hub_file *f = find(h, name);
    if (!f) {
        fail(a, 404, "EntryNotFound");
        return;
    }
    if (!f->large && h->moved) {
        a->status = 307;
        snprintf(a->headers, sizeof a->headers, "Location: /cache/%s?etag=1\r\n", name);
        return;
    }
    if (!f->large) {
        snprintf(a->headers, sizeof a->headers, "ETag: \"%s\"\r\nX-Repo-Commit: " HUB_COMMIT "\r\n",
                 f->etag);
        a->body = f->bytes;
        a->len = f->len;
        return;
    }
    char to[256];
    snprintf(to, sizeof to, "https://127.0.0.2:%u/blobs/%s", h->store.port, name);
    a->status = 302;
    snprintf(a->headers, sizeof a->headers,
             "X-Linked-Etag: \"%s\"\r\nX-Linked-Size: %zu\r\nETag: \"of the page\"\r\n"
             "Location: %s\r\n",
             f->etag, h->announce ? h->announce : f->len, h->redirect ? h->redirect : to);
}

static void send_moved(struct hub *h, const char *path, struct web_answer *a)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(path, "?"), path);
    h->moved = false;
    resolve(h, name, a);
    h->moved = true;
}

static void answer_api(void *ctx, const struct web_request *q, struct web_answer *a)
{
    struct hub *h = ctx;
    char bearer[128];
    note(h, false, q);
    snprintf(bearer, sizeof bearer, "Bearer %s", h->token ? h->token : "");
    if (h->silent)
        fail(a, 503, "");
    else if (h->token && strcmp(q->authorization, bearer) != 0)
        fail(a, 401, *q->authorization ? "GatedRepo" : "RepoNotFound");
    else if (strcmp(q->path, "/api/models/" HUB_REPO "/revision/main") == 0 ||
             strcmp(q->path, "/api/models/" HUB_REPO "/revision/pr%2F1") == 0 ||
             strcmp(q->path, "/api/models/" HUB_REPO "/revision/" HUB_COMMIT) == 0)
        list(h, a);
    else if (strncmp(q->path, "/" HUB_REPO "/resolve/" HUB_COMMIT "/",
                     sizeof "/" HUB_REPO "/resolve/" HUB_COMMIT) == 0)
        resolve(h, strrchr(q->path, '/') + 1, a);
    else if (strncmp(q->path, "/api/models/" HUB_REPO "/", sizeof "/api/models/" HUB_REPO) == 0)
        fail(a, 404, "RevisionNotFound");
    else if (strncmp(q->path, "/cache/", 7) == 0)
        send_moved(h, q->path + 7, a);
    else if (strncmp(q->path, "/blobs/", 7) == 0) /* files that are no hub's */
        resolve(h, q->path + 7, a);
    else
        fail(a, 404, "RepoNotFound");
}

static void send_part(struct hub *h, const struct hub_file *f, const struct web_request *q,
                      struct web_answer *a)
{
    uint64_t from = h->ignore_ranges ? 0 : q->from;
    if (q->ranged && !h->ignore_ranges) {
        a->status = from < f->len ? 206 : 416;
        snprintf(a->headers, sizeof a->headers, "Content-Range: bytes %" PRIu64 "-%zu/%zu\r\n",
                 from + (h->shift_ranges ? 1 : 0), f->len - 1, f->len);
    }
    if (a->status == 416)
        return;
    a->body = f->bytes + from;
    a->len = f->len - from;
    if (h->cuts > 0) {
        h->cuts--;
        a->cut = h->cut;
        a->stall = h->stall;
    }
}

static void answer_store(void *ctx, const struct web_request *q, struct web_answer *a)
{
    struct hub *h = ctx;
    const struct hub_file *f = find(h, strrchr(q->path, '/') + 1);
    note(h, true, q);
    if (h->fail_after_cuts && h->cuts == 0) {
        fail(a, h->fail_after_cuts, "");
    } else if (h->fails > 0) {
        h->fails--;
        fail(a, h->fail_status, "");
        size_t n = strlen(a->headers);
        if (h->retry_after)
            snprintf(a->headers + n, sizeof a->headers - n, "Retry-After: %u\r\n", h->retry_after);
    } else if (!f) {
        fail(a, 404, "");
    } else {
        send_part(h, f, q, a);
    }
}

/* --- the client --- */

static void count_wait(void *ctx, const char *why, unsigned ms)
{
    struct hub *h = ctx;
    (void)why;
    if (h->waits < 64)
        h->wait_ms[h->waits++] = ms;
}

void hub_reconnect(struct hub *h, const char *ca)
{
    struct err e;
    fetch_http_close(h->http);
    const struct fetch_http_settings s = {
        .ca = ca,
        .token = h->settings.token[0] ? h->settings.token : NULL,
        .token_origin = h->settings.endpoint,
        .watch = {.ctx = h, .retry = count_wait},
    };
    cr_assert_eq(fetch_http_open(&h->http, &s, &e), 0, "%s", e.text);
}

static void put_small_bert(struct hub *h)
{
    static const char config[] = "{\"model_type\": \"bert\"}\n", vocab[] = "[PAD]\n[UNK]\n";
    uint64_t x = 1;
    for (size_t i = 0; i < HUB_WEIGHTS; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        h->weights[i] = (unsigned char)(x >> 56);
    }
    hub_put(h, "config.json", config, sizeof config - 1, false);
    hub_put(h, "vocab.txt", vocab, sizeof vocab - 1, false);
    hub_put(h, "README.md", "# Tiny\n", 7, false);
    hub_put(h, "model.safetensors", h->weights, HUB_WEIGHTS, true);
}

void hub_open(struct hub *h)
{
    static const char *const hosts[] = {"127.0.0.1", "127.0.0.2"};
    struct identity ca = {0}, server = {0};
    struct err e = {0};
    *h = (struct hub){.dir = "/tmp/fedpet-fetch-XXXXXX"};
    cr_assert_not_null(mkdtemp(h->dir));
    cr_assert_eq(identity_make_ca(&ca, "test", time(NULL), 1, &e), 0, "%s", e.text);
    cr_assert_eq(identity_make_server(&server, &ca, hosts, 2, time(NULL), 1, &e), 0, "%s", e.text);
    snprintf(h->ca, sizeof h->ca, "%s/ca.pem", h->dir);
    cr_assert_eq(file_write(h->ca, ca.cert, strlen(ca.cert), 0600, &e), 0);
    pthread_mutex_init(&h->lock, NULL);
    web_start(&h->api, "127.0.0.1", &server, answer_api, h, &h->lock);
    web_start(&h->store, "127.0.0.2", &server, answer_store, h, &h->lock);
    identity_release(&ca);
    identity_release(&server);
    put_small_bert(h);
    snprintf(h->settings.endpoint, sizeof h->settings.endpoint, "https://127.0.0.1:%u",
             h->api.port);
    snprintf(h->settings.cache, sizeof h->settings.cache, "%s/cache", h->dir);
    setenv("no_proxy", "*", 1);
    hub_reconnect(h, h->ca);
}

void hub_close(struct hub *h)
{
    char command[128];
    fetch_http_close(h->http);
    web_stop(&h->api);
    web_stop(&h->store);
    pthread_mutex_destroy(&h->lock);
    snprintf(command, sizeof command, "rm -rf %s", h->dir);
    cr_expect_eq(system(command), 0);
}

static void path_of(const struct hub *h, const char *path, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/%s", h->dir, path);
}

bool hub_same(const struct hub *h, const char *path, const void *bytes, size_t len)
{
    char full[PATH_MAX], *text;
    size_t n;
    path_of(h, path, full);
    if (file_read(full, 1 << 20, &text, &n, NULL))
        return false;
    bool same = n == len && memcmp(text, bytes, len) == 0;
    free(text);
    return same;
}

bool hub_exists(const struct hub *h, const char *path)
{
    char full[PATH_MAX];
    path_of(h, path, full);
    return access(full, F_OK) == 0;
}

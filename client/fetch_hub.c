#include "client/fetch_hub.h"
#include "base/file.h"
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char DEFAULT_ENDPOINT[] = "https://huggingface.co";

/* --- settings --- */

/* The first of these variables that is set and not empty. */
static const char *variable(const char *a, const char *b)
{
    const char *value = getenv(a);
    if ((!value || !*value) && b)
        value = getenv(b);
    return value && *value ? value : NULL;
}

static bool is_true(const char *value)
{
    static const char *const yes[] = {"1", "ON", "YES", "TRUE"};
    for (size_t i = 0; value && i < sizeof yes / sizeof *yes; i++)
        if (strcasecmp(value, yes[i]) == 0)
            return true;
    return false;
}

/* "~" and "~/..." begin with the home folder. */
static int expand(char out[PATH_MAX], const char *path, struct err *e)
{
    const char *home = path[0] == '~' && (path[1] == '/' || !path[1]) ? getenv("HOME") : "";
    if (!home)
        return err_set(e, ERR_IO, "%s: HOME is not set; set HF_HOME to a folder", path);
    if (snprintf(out, PATH_MAX, "%s%s", home, *home ? path + 1 : path) >= PATH_MAX)
        return err_sys(e, ERR_IO, ENAMETOOLONG, "%.60s...", path);
    return 0;
}

static int find_home(char out[PATH_MAX], struct err *e)
{
    const char *home = variable("HF_HOME", NULL), *cache = variable("XDG_CACHE_HOME", NULL);
    char base[PATH_MAX];
    if (home)
        return expand(out, home, e);
    int rc = expand(base, cache ? cache : "~/.cache", e);
    return rc ? rc : file_join(out, PATH_MAX, base, "huggingface", e);
}

/* The variable's folder, else home/name. */
static int find_path(char out[PATH_MAX], const char *given, const char *home, const char *name,
                     struct err *e)
{
    return given ? expand(out, given, e) : file_join(out, PATH_MAX, home, name, e);
}

static int take_token(struct fetch_hub *out, const char *text, const char *source, struct err *e)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t n = strlen(text);
    while (n > 0 && isspace((unsigned char)text[n - 1]))
        n--;
    if (n > FETCH_MAX_TOKEN)
        return err_set(e, ERR_CONFIG, "%s: a token of %zu characters", source, n);
    for (size_t i = 0; i < n; i++)
        if (!isgraph((unsigned char)text[i]))
            return err_set(e, ERR_CONFIG, "%s: no token: byte %zu is not a printable character",
                           source, i + 1);
    snprintf(out->token, sizeof out->token, "%.*s", (int)n, text);
    return 0;
}

static int find_token(struct fetch_hub *out, const char *home, struct err *e)
{
    const char *given = variable("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN");
    char path[PATH_MAX], *text;
    if (given)
        return take_token(out, given, "HF_TOKEN", e);
    if (is_true(getenv("HF_HUB_DISABLE_IMPLICIT_TOKEN")))
        return 0;
    int rc = find_path(path, variable("HF_TOKEN_PATH", NULL), home, "token", e);
    if (rc || !file_exists(path))
        return rc;
    rc = file_read(path, FETCH_MAX_TOKEN + 2, &text, NULL, e);
    if (rc)
        return rc;
    rc = take_token(out, text, path, e);
    free(text);
    return rc;
}

static int find_endpoint(struct fetch_hub *out, struct err *e)
{
    const char *url = variable("HF_ENDPOINT", NULL);
    size_t n = strlen(url ? url : DEFAULT_ENDPOINT);
    if (!url)
        url = DEFAULT_ENDPOINT;
    while (n > 0 && url[n - 1] == '/')
        n--;
    if (strncasecmp(url, "https://", 8) != 0 || n <= 8)
        return err_set(e, ERR_CONFIG, "HF_ENDPOINT=%s: must be an https:// address", url);
    if (n >= sizeof out->endpoint)
        return err_set(e, ERR_CONFIG, "HF_ENDPOINT: an address of %zu characters", n);
    snprintf(out->endpoint, sizeof out->endpoint, "%.*s", (int)n, url);
    return 0;
}

int fetch_hub_settings(struct fetch_hub *out, struct err *e)
{
    struct fetch_hub hub = {0};
    char home[PATH_MAX];
    hub.offline = is_true(variable("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"));
    int rc = find_home(home, e);
    if (!rc)
        rc =
            find_path(hub.cache, variable("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"), home, "hub", e);
    if (!rc)
        rc = find_endpoint(&hub, e);
    if (!rc)
        rc = find_token(&hub, home, e);
    if (!rc)
        *out = hub;
    return rc;
}

/* --- names --- */

static bool is_name_char(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.';
}

/* One part of a model's name: not hidden, no path, and unambiguous in the cache, which writes "--"
 * for "/". */
static bool part_ok(const char *s, size_t n)
{
    if (n == 0 || strchr("-.", s[0]) || strchr("-.", s[n - 1]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_name_char(s[i]))
            return false;
    return true;
}

int fetch_hub_check_repo(const char *repo, struct err *e)
{
    size_t owner = strcspn(repo, "/"), n = strlen(repo);
    bool ok = n <= FETCH_MAX_REPO && !strstr(repo, "--") && !strstr(repo, "..");
    ok = ok && part_ok(repo, owner) && (owner == n || part_ok(repo + owner + 1, n - owner - 1));
    return ok ? 0
              : err_set(e, ERR_USAGE,
                        "'%.100s' is no model's name: give NAME or OWNER/NAME as the hub has it",
                        repo);
}

int fetch_hub_check_revision(const char *revision, struct err *e)
{
    size_t n = strlen(revision);
    bool ok = n > 0 && n <= FETCH_MAX_REVISION && !strstr(revision, "..") &&
              !strstr(revision, "//") && revision[n - 1] != '/';
    for (const char *p = revision; ok && *p; p++)
        ok = is_name_char(*p) || *p == '+' || (*p == '/' && p > revision);
    return ok ? 0
              : err_set(e, ERR_USAGE, "'%.100s' is no revision: give a branch, a tag or a commit",
                        revision);
}

/* --- listings --- */

static int long_url(const struct fetch_hub *hub, struct err *e)
{
    return err_set(e, ERR_USAGE, "%s: too long an address", hub->endpoint);
}

/* What to do about an answer that is no success. */
static int refused(const struct fetch_hub *hub, const char *repo, const char *what,
                   const struct fetch_reply *reply, struct err *e)
{
    const char *token = hub->token[0] ? "this token (HF_TOKEN)" : "no token";
    if (strcmp(reply->error, "GatedRepo") == 0)
        return err_set(
            e, ERR_REFUSED,
            "%s is gated, and %s opens it: accept its terms at %s/%s, then set HF_TOKEN to "
            "a token of that account",
            repo, token, hub->endpoint, repo);
    if (reply->status == 401 || reply->status == 403)
        return err_set(e, ERR_REFUSED,
                       "%s has no model %s for %s: check the name, or set HF_TOKEN to a token that "
                       "may read it if it is private",
                       hub->endpoint, repo, token);
    if (reply->status == 404 && strcmp(reply->error, "RepoNotFound") == 0)
        return err_set(e, ERR_REFUSED, "%s has no model %s", hub->endpoint, repo);
    if (reply->status == 404)
        return err_set(e, ERR_REFUSED, "%s has no model %s with %s", hub->endpoint, repo, what);
    return err_set(e, ERR_REFUSED, "%s: the server answered %d for %s", hub->endpoint,
                   reply->status, repo);
}

static int parse_listing(const char *text, const char *url, struct fetch_listing *out,
                         struct err *e)
{
    json_error_t fault;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &fault);
    const char *commit = json_string_value(json_object_get(root, "sha"));
    const json_t *files = json_object_get(root, "siblings");
    int rc = 0;
    if (!root)
        rc = err_set(e, ERR_PROTO, "%s: no JSON: %s", url, fault.text);
    else if (!commit || !fetch_sum_is_commit(commit) || !json_is_array(files))
        rc = err_set(e, ERR_PROTO, "%s: names no commit, or no files", url);
    else if (json_array_size(files) > FETCH_MAX_FILES)
        rc = err_set(e, ERR_PROTO, "%s: lists %zu files; the limit is %d", url,
                     json_array_size(files), FETCH_MAX_FILES);
    if (rc) {
        json_decref(root);
        return rc;
    }
    *out = (struct fetch_listing){.root = root};
    snprintf(out->commit, sizeof out->commit, "%s", commit);
    return 0;
}

int fetch_hub_list(struct fetch_http *h, const struct fetch_hub *hub, const char *repo,
                   const char *revision, struct fetch_listing *out, struct err *e)
{
    char url[FETCH_MAX_URL], what[FETCH_MAX_REVISION + 16], *text = NULL;
    char *quoted = fetch_http_escape(h, revision);
    struct fetch_reply reply;
    if (!quoted)
        return err_set(e, ERR_NOMEM, "no memory for an address");
    int n = snprintf(url, sizeof url, "%s/api/models/%s/revision/%s", hub->endpoint, repo, quoted);
    free(quoted);
    if (n >= (int)sizeof url)
        return long_url(hub, e);
    int rc = fetch_http_text(h, url, FETCH_MAX_LISTING, &text, &reply, e);
    if (rc)
        return rc;
    snprintf(what, sizeof what, "revision %s", revision);
    if (!text)
        return refused(hub, repo, what, &reply, e);
    rc = parse_listing(text, url, out, e);
    free(text);
    return rc;
}

void fetch_listing_release(struct fetch_listing *l)
{
    json_decref(l->root);
    l->root = NULL;
}

bool fetch_listing_has(const struct fetch_listing *l, const char *name)
{
    const json_t *file;
    size_t i;
    json_array_foreach(json_object_get(l->root, "siblings"), i, file)
    {
        const char *listed = json_string_value(json_object_get(file, "rfilename"));
        if (listed && strcmp(listed, name) == 0)
            return true;
    }
    return false;
}

/* --- files --- */

int fetch_hub_examine(struct fetch_http *h, const struct fetch_hub *hub, const char *repo,
                      const char *commit, const char *name, uint64_t limit,
                      struct fetch_remote *out, struct err *e)
{
    struct fetch_remote file;
    struct fetch_reply reply;
    if (snprintf(file.url, sizeof file.url, "%s/%s/resolve/%s/%s", hub->endpoint, repo, commit,
                 name) >= (int)sizeof file.url)
        return long_url(hub, e);
    int rc = fetch_http_head(h, file.url, &reply, e);
    if (rc)
        return rc;
    if (reply.status >= 400)
        return refused(hub, repo, name, &reply, e);
    if (!fetch_sum_parse(&file.sum, reply.etag))
        return err_set(e, ERR_PROTO, "%s: '%.64s' is no checksum (ETag); is it a hub's address?",
                       file.url, reply.etag);
    if (reply.size == FETCH_UNKNOWN_SIZE || reply.size > limit)
        return err_set(e, ERR_PROTO, "%s: has no size, or one above the limit of %" PRIu64 " MiB",
                       file.url, limit >> 20);
    file.size = reply.size;
    *out = file;
    return 0;
}

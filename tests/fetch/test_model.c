#include "base/file.h"
#include "base/log.h"
#include "client/fetch_model.h"
#include "tests/fetch/hub.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define CACHE "cache/models--acme--tiny-bert/"
#define SNAPSHOT CACHE "snapshots/" HUB_COMMIT "/"

static struct hub hub;
static struct fetched_model got;
static struct err e;

static void open_hub(void)
{
    hub_open(&hub);
    log_setup("test", stderr, LOG_ERROR, false);
}

static void close_hub(void)
{
    hub_close(&hub);
}

TestSuite(fetch_model, .init = open_hub, .fini = close_hub);

static int fetch_into(const char *out)
{
    const struct fetch_model what = {HUB_REPO, "main", out};
    e = (struct err){0};
    return fetch_model(hub.http, &hub.settings, &what, &got, &e);
}

static int fetch(void)
{
    return fetch_into(NULL);
}

static void blob_path(char out[PATH_MAX], const char *suffix)
{
    const struct hub_file *weights = &hub.file[0];
    while (strcmp(weights->name, "model.safetensors") != 0)
        weights++;
    snprintf(out, PATH_MAX, CACHE "blobs/%s%s", weights->etag, suffix);
}

static const struct hub_log *last(bool store, const char *method)
{
    for (size_t i = hub.logged; i-- > 0;)
        if (hub.log[i].store == store && strcmp(hub.log[i].q.method, method) == 0)
            return &hub.log[i];
    return NULL;
}

static bool says(const char *text)
{
    return strstr(e.text, text) != NULL;
}

/* --- what a fetched model is --- */

Test(fetch_model, fills_the_cache_in_the_layout_of_huggingface_hub)
{
    char path[PATH_MAX], link[128] = "", dir[PATH_MAX];
    cr_assert_eq(fetch(), 0, "%s", e.text);
    snprintf(dir, sizeof dir, "%s/%s", hub.dir, CACHE "snapshots/" HUB_COMMIT);
    cr_assert_str_eq(got.dir, dir);
    cr_assert_str_eq(got.commit, HUB_COMMIT);
    cr_assert(hub_same(&hub, SNAPSHOT "model.safetensors", hub.weights, HUB_WEIGHTS));
    cr_assert(hub_same(&hub, SNAPSHOT "vocab.txt", "[PAD]\n[UNK]\n", 12));
    cr_assert(hub_same(&hub, CACHE "refs/main", HUB_COMMIT, 40));
    blob_path(path, "");
    cr_assert(hub_same(&hub, path, hub.weights, HUB_WEIGHTS));
    snprintf(dir, sizeof dir, "%s/" SNAPSHOT "vocab.txt", hub.dir);
    cr_assert(readlink(dir, link, sizeof link - 1) > 0);
    /* printf '[PAD]\n[UNK]\n' | git hash-object --stdin */
    cr_assert_str_eq(link, "../../blobs/9b63652e4599b6f141f83f77374ca035004e0c8f");
    cr_assert_not(hub_exists(&hub, SNAPSHOT "README.md"), "only what a model needs");
    cr_assert_eq(got.n, 3);
}

Test(fetch_model, fetches_nothing_twice)
{
    cr_assert_eq(fetch(), 0, "%s", e.text);
    cr_assert(got.file[0].fetched && got.file[1].fetched && got.file[2].fetched);
    cr_assert_eq(fetch(), 0, "%s", e.text);
    cr_assert_not(got.file[0].fetched || got.file[1].fetched || got.file[2].fetched);
    cr_assert_eq(hub_count(&hub, true, "GET", "model.safetensors"), 1);
    cr_assert_eq(hub_count(&hub, false, "GET", "config.json"), 1);
}

Test(fetch_model, fills_a_folder_with_plain_files)
{
    char out[PATH_MAX];
    snprintf(out, sizeof out, "%s/models/tiny", hub.dir);
    cr_assert_eq(fetch_into(out), 0, "%s", e.text);
    cr_assert_str_eq(got.dir, out);
    cr_assert(hub_same(&hub, "models/tiny/model.safetensors", hub.weights, HUB_WEIGHTS));
    cr_assert_not(hub_exists(&hub, "cache"));
    cr_assert_eq(fetch_into(out), 0, "%s", e.text);
    cr_assert_not(got.file[2].fetched);
}

Test(fetch_model, replaces_a_damaged_file)
{
    char out[PATH_MAX], path[PATH_MAX + 32];
    snprintf(out, sizeof out, "%s/out", hub.dir);
    cr_assert_eq(fetch_into(out), 0, "%s", e.text);
    snprintf(path, sizeof path, "%s/config.json", out);
    cr_assert_eq(file_write(path, "{\"model_type\": \"BERT\"}\n", 23, 0644, &e), 0);
    cr_assert_eq(fetch_into(out), 0, "%s", e.text);
    cr_assert(got.file[0].fetched && !got.file[2].fetched);
    cr_assert(hub_same(&hub, "out/config.json", "{\"model_type\": \"bert\"}\n", 23));
}

Test(fetch_model, keeps_refs_of_branches_with_slashes_and_none_of_commits)
{
    struct fetch_model what = {HUB_REPO, "pr/1", NULL};
    cr_assert_eq(fetch_model(hub.http, &hub.settings, &what, &got, &e), 0, "%s", e.text);
    cr_assert(hub_same(&hub, CACHE "refs/pr/1", HUB_COMMIT, 40));
    what.revision = HUB_COMMIT;
    cr_assert_eq(fetch_model(hub.http, &hub.settings, &what, &got, &e), 0, "%s", e.text);
    cr_assert_not(hub_exists(&hub, CACHE "refs/" HUB_COMMIT));
}

/* --- trust --- */

Test(fetch_model, gives_the_token_to_the_hub_and_to_nobody_else)
{
    hub.token = "hf_secret";
    snprintf(hub.settings.token, sizeof hub.settings.token, "hf_secret");
    hub_reconnect(&hub, hub.ca);
    cr_assert_eq(fetch(), 0, "%s", e.text);
    size_t at_store = 0;
    for (size_t i = 0; i < hub.logged; i++) {
        at_store += hub.log[i].store;
        cr_assert_str_eq(hub.log[i].q.authorization, hub.log[i].store ? "" : "Bearer hf_secret");
    }
    cr_assert_gt(at_store, 0);
}

Test(fetch_model, gives_no_token_to_another_port_of_the_same_host)
{
    char elsewhere[64];
    snprintf(elsewhere, sizeof elsewhere, "https://127.0.0.1:%u", (unsigned)hub.store.port);
    snprintf(hub.settings.token, sizeof hub.settings.token, "hf_secret");
    /* The token's origin is another server than the one that is asked. */
    struct fetch_hub other = hub.settings;
    snprintf(hub.settings.endpoint, sizeof hub.settings.endpoint, "%s", elsewhere);
    hub_reconnect(&hub, hub.ca);
    const struct fetch_model what = {HUB_REPO, "main", NULL};
    cr_assert_eq(fetch_model(hub.http, &other, &what, &got, &e), 0, "%s", e.text);
    for (size_t i = 0; i < hub.logged; i++)
        cr_assert_str_eq(hub.log[i].q.authorization, "");
}

Test(fetch_model, takes_the_token_along_within_the_hub)
{
    hub.moved = true;
    hub.token = "hf_secret";
    snprintf(hub.settings.token, sizeof hub.settings.token, "hf_secret");
    hub_reconnect(&hub, hub.ca);
    cr_assert_eq(fetch(), 0, "%s", e.text);
    cr_assert(hub_same(&hub, SNAPSHOT "vocab.txt", "[PAD]\n[UNK]\n", 12));
    cr_assert_eq(hub_count(&hub, false, "GET", "/cache/vocab.txt?etag=1"), 1);
}

Test(fetch_model, trusts_no_unknown_ca)
{
    hub_reconnect(&hub, NULL);
    cr_assert_eq(fetch(), ERR_TLS, "%s", e.text);
    cr_assert(says("--ca FILE"), "%s", e.text);
    cr_assert_eq(hub.logged, 0);
    hub_reconnect(&hub, "/nowhere/ca.pem");
    cr_assert_eq(fetch(), ERR_TLS, "%s", e.text);
    cr_assert(says("/nowhere/ca.pem"), "%s", e.text);
}

Test(fetch_model, leaves_https_for_no_redirect)
{
    hub.redirect = "http://127.0.0.2/blobs/model.safetensors";
    cr_assert_eq(fetch(), ERR_PROTO, "%s", e.text);
    cr_assert(says("away from https"), "%s", e.text);
    hub.redirect = "file:///etc/passwd";
    cr_assert_eq(fetch(), ERR_PROTO, "%s", e.text);
}

Test(fetch_model, ends_a_circle_of_redirects)
{
    char self[128];
    snprintf(self, sizeof self, "https://127.0.0.1:%u/blobs/model.safetensors",
             (unsigned)hub.api.port);
    hub.redirect = self;
    cr_assert_eq(fetch(), ERR_PROTO, "%s", e.text);
    cr_assert(says("too many redirects"), "%s", e.text);
}

Test(fetch_model, refuses_wrong_bytes_and_keeps_none)
{
    char path[PATH_MAX];
    hub.file[3].etag[0] = hub.file[3].etag[0] == '0' ? '1' : '0';
    cr_assert_eq(fetch(), ERR_PROTO, "%s", e.text);
    cr_assert(says("checksum"), "%s", e.text);
    blob_path(path, "");
    cr_assert_not(hub_exists(&hub, path));
    blob_path(path, ".incomplete");
    cr_assert_not(hub_exists(&hub, path));
    cr_assert_not(hub_exists(&hub, SNAPSHOT "model.safetensors"));
    cr_assert_not(hub_exists(&hub, CACHE "refs/main"), "a branch must not name half a snapshot");
    cr_assert_eq(hub_count(&hub, true, "GET", "model.safetensors"), 1);
}

Test(fetch_model, checks_small_files_too)
{
    hub.file[0].etag[39] ^= 1;
    cr_assert_eq(fetch(), ERR_PROTO, "%s", e.text);
    cr_assert(says("config.json"), "%s", e.text);
}

Test(fetch_model, refuses_more_bytes_than_were_announced)
{
    hub.announce = HUB_WEIGHTS - 1;
    cr_assert_eq(fetch(), ERR_PROTO, "%s", e.text);
    cr_assert(says("more than"), "%s", e.text);
}

Test(fetch_model, refuses_what_is_no_checksum)
{
    snprintf(hub.file[0].etag, sizeof hub.file[0].etag, "../../../../etc/cron.d/x");
    cr_assert_eq(fetch(), ERR_PROTO, "%s", e.text);
    cr_assert(says("is no checksum"), "%s", e.text);
    snprintf(hub.file[0].etag, sizeof hub.file[0].etag, "d41d8cd98f00b204e9800998ecf8427e");
    cr_assert_eq(fetch(), ERR_PROTO, "%s", e.text);
}

/* --- hostile listings --- */

Test(fetch_model, makes_no_path_of_a_listed_name)
{
    hub_put(&hub, "../../../../evil", "x", 1, false);
    hub_put(&hub, "/tmp/fedpet-evil", "x", 1, false);
    hub_put(&hub, "sub/../config.json", "x", 1, false);
    cr_assert_eq(fetch(), 0, "%s", e.text);
    cr_assert_eq(got.n, 3);
    cr_assert_not(hub_exists(&hub, "evil") || access("/tmp/fedpet-evil", F_OK) == 0);
}

Test(fetch_model, refuses_a_commit_that_is_a_path)
{
    hub.commit = "../../../../../../../../../../tmp/fedpet";
    cr_assert_eq(fetch(), ERR_PROTO, "%s", e.text);
    hub.commit = "0123456789ABCDEF0123456789abcdef01234567";
    cr_assert_eq(fetch(), ERR_PROTO, "%s", e.text);
}

static void expect_bad_listing(const char *text, size_t len, const char *why)
{
    hub.listing = text;
    hub.listing_len = len;
    cr_expect_eq(fetch(), ERR_PROTO, "%.40s: %s", text, e.text);
    cr_expect(says(why), "%.40s: %s", text, e.text);
}

Test(fetch_model, bounds_listings)
{
    static char big[FETCH_MAX_LISTING + 1];
    memset(big, ' ', sizeof big);
    expect_bad_listing(big, sizeof big, "longer than");
    size_t n = (size_t)snprintf(big, sizeof big, "{\"sha\": \"" HUB_COMMIT "\", \"siblings\": [0");
    for (int i = 0; i < FETCH_MAX_FILES; i++, n += 2)
        memcpy(big + n, ",0", 2);
    memcpy(big + n, "]}", 2);
    expect_bad_listing(big, n + 2, "lists 10001 files");
    expect_bad_listing("", 0, "no JSON");
    expect_bad_listing("[[[", 3, "no JSON");
    expect_bad_listing("{}", 2, "no commit");
    expect_bad_listing("{\"sha\": 1, \"siblings\": {}}", 26, "no commit");
    memset(big, '[', sizeof big - 1);
    expect_bad_listing(big, sizeof big - 1, "no JSON");
}

Test(fetch_model, takes_no_pickles_and_says_so)
{
    hub_drop(&hub, "model.safetensors");
    cr_assert_eq(fetch(), ERR_MODEL, "%s", e.text);
    hub_put(&hub, "pytorch_model.bin", "PK", 2, true);
    cr_assert_eq(fetch(), ERR_MODEL, "%s", e.text);
    cr_assert(says("pickle"), "%s", e.text);
    hub_put(&hub, "model.safetensors.index.json", "{}", 2, false);
    cr_assert_eq(fetch(), ERR_MODEL, "%s", e.text);
    cr_assert(says("shards"), "%s", e.text);
    cr_assert_eq(hub_count(&hub, true, "GET", ""), 0);
    cr_assert_not(hub_exists(&hub, "cache"));
}

Test(fetch_model, needs_config_and_tokenizer)
{
    hub_drop(&hub, "vocab.txt");
    cr_assert_eq(fetch(), ERR_MODEL, "%s", e.text);
    hub_put(&hub, "vocab.json", "{}", 2, false);
    cr_assert_eq(fetch(), ERR_MODEL, "%s", e.text);
    hub_put(&hub, "merges.txt", "#\n", 2, false);
    cr_assert_eq(fetch(), 0, "%s", e.text);
    hub_drop(&hub, "config.json");
    cr_assert_eq(fetch(), ERR_MODEL, "%s", e.text);
}

/* --- a bad network --- */

Test(fetch_model, goes_on_after_cut_connections)
{
    hub.cut = 100000;
    hub.cuts = 2;
    cr_assert_eq(fetch(), 0, "%s", e.text);
    cr_assert(hub_same(&hub, SNAPSHOT "model.safetensors", hub.weights, HUB_WEIGHTS));
    cr_assert_eq(hub_count(&hub, true, "GET", "model.safetensors"), 3);
    cr_assert_eq(last(true, "GET")->q.from, 200000);
    cr_assert_eq(hub.waits, 2);
    cr_assert_eq(hub.wait_ms[0], 1000);
    cr_assert_eq(hub.wait_ms[1], 1000, "bytes came in between");
}

Test(fetch_model, gives_up_and_goes_on_in_the_next_run)
{
    static const unsigned doubled[] = {1000, 2000, 4000, 8000};
    hub.cut = 70000;
    hub.cuts = 1;
    hub.fail_after_cuts = 503;
    cr_assert_eq(fetch(), ERR_NET, "%s", e.text);
    cr_assert(says("given up after 5 tries") && says("503"), "%s", e.text);
    cr_assert_eq(hub.waits, 4);
    cr_assert_arr_eq(hub.wait_ms, doubled, sizeof doubled);
    hub.fail_after_cuts = 0;
    cr_assert_eq(fetch(), 0, "%s", e.text);
    cr_assert_eq(last(true, "GET")->q.from, 70000);
    cr_assert(hub_same(&hub, SNAPSHOT "model.safetensors", hub.weights, HUB_WEIGHTS));
}

Test(fetch_model, resumes_what_another_process_left)
{
    char path[PATH_MAX], full[PATH_MAX + 80];
    cr_assert_eq(fetch(), 0);
    blob_path(path, "");
    snprintf(full, sizeof full, "%s/%s", hub.dir, path);
    cr_assert_eq(unlink(full), 0);
    blob_path(path, ".incomplete");
    snprintf(full, sizeof full, "%s/%s", hub.dir, path);
    cr_assert_eq(file_write(full, hub.weights, 123457, 0644, &e), 0);
    cr_assert_eq(fetch(), 0, "%s", e.text);
    cr_assert_eq(last(true, "GET")->q.from, 123457);
    cr_assert(hub_same(&hub, SNAPSHOT "model.safetensors", hub.weights, HUB_WEIGHTS));
    cr_assert_not(hub_exists(&hub, path));
}

Test(fetch_model, starts_again_when_the_part_file_is_damaged)
{
    char path[PATH_MAX], full[PATH_MAX + 80];
    static const unsigned char zero[2 * HUB_WEIGHTS];
    const size_t length[] = {5000, HUB_WEIGHTS, 2 * HUB_WEIGHTS};
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(fetch(), 0, "%s", e.text);
        blob_path(path, "");
        snprintf(full, sizeof full, "%s/%s", hub.dir, path);
        cr_assert_eq(unlink(full), 0);
        blob_path(path, ".incomplete");
        snprintf(full, sizeof full, "%s/%s", hub.dir, path);
        cr_assert_eq(file_write(full, zero, length[i], 0644, &e), 0);
        cr_assert_eq(fetch(), 0, "%zu: %s", length[i], e.text);
        cr_assert(hub_same(&hub, SNAPSHOT "model.safetensors", hub.weights, HUB_WEIGHTS));
    }
}

Test(fetch_model, takes_all_from_a_server_without_ranges)
{
    hub.ignore_ranges = true;
    hub.cut = 100000;
    hub.cuts = 2;
    cr_assert_eq(fetch(), 0, "%s", e.text);
    cr_assert(hub_same(&hub, SNAPSHOT "model.safetensors", hub.weights, HUB_WEIGHTS));
    cr_assert(last(true, "GET")->q.ranged);
}

Test(fetch_model, refuses_another_part_than_it_asked_for)
{
    hub.shift_ranges = true;
    hub.cut = 100000;
    hub.cuts = 1;
    cr_assert_eq(fetch(), ERR_PROTO, "%s", e.text);
    cr_assert(says("another part"), "%s", e.text);
}

Test(fetch_model, tries_again_after_passing_errors)
{
    const int status[] = {500, 502, 503, 504, 408, 429};
    for (size_t i = 0; i < sizeof status / sizeof *status; i++) {
        char out[PATH_MAX];
        snprintf(out, sizeof out, "%s/%d", hub.dir, status[i]);
        hub.fail_status = status[i];
        hub.fails = 2;
        hub.waits = 0;
        cr_assert_eq(fetch_into(out), 0, "%s", e.text);
        cr_assert_eq(hub.waits, 2);
        cr_assert_eq(hub.wait_ms[1], 2000);
    }
}

Test(fetch_model, waits_as_long_as_it_is_asked_to_within_reason)
{
    hub.fail_status = 429;
    hub.fails = 1;
    hub.retry_after = 17;
    cr_assert_eq(fetch(), 0, "%s", e.text);
    cr_assert_eq(hub.wait_ms[0], 17000);
    char out[PATH_MAX];
    snprintf(out, sizeof out, "%s/out", hub.dir);
    hub.fails = 1;
    hub.retry_after = 100000;
    cr_assert_eq(fetch_into(out), ERR_NET, "%s", e.text);
    cr_assert(says("100000 seconds"), "%s", e.text);
    cr_assert_eq(hub.waits, 1);
}

Test(fetch_model, does_not_try_again_what_is_refused)
{
    hub.fail_status = 403;
    hub.fails = 1;
    cr_assert_eq(fetch(), ERR_REFUSED, "%s", e.text);
    cr_assert_eq(hub.waits, 0);
}

/* --- what does not exist --- */

Test(fetch_model, says_what_does_not_exist)
{
    struct fetch_model what = {"acme/huge-bert", "main", NULL};
    cr_assert_eq(fetch_model(hub.http, &hub.settings, &what, &got, &e), ERR_REFUSED);
    cr_assert(says("has no model acme/huge-bert"), "%s", e.text);
    what = (struct fetch_model){HUB_REPO, "v2", NULL};
    cr_assert_eq(fetch_model(hub.http, &hub.settings, &what, &got, &e), ERR_REFUSED);
    cr_assert(says("revision v2"), "%s", e.text);
}

Test(fetch_model, asks_for_a_token)
{
    hub.token = "hf_secret";
    cr_assert_eq(fetch(), ERR_REFUSED, "%s", e.text);
    cr_assert(says("set HF_TOKEN"), "%s", e.text);
    snprintf(hub.settings.token, sizeof hub.settings.token, "hf_other");
    hub_reconnect(&hub, hub.ca);
    cr_assert_eq(fetch(), ERR_REFUSED, "%s", e.text);
    cr_assert(says("is gated") && says("accept its terms"), "%s", e.text);
    cr_assert_not(says("hf_other") || says("hf_secret"), "no token in a message");
}

Test(fetch_model, refuses_names_that_are_none)
{
    static const char *const repo[] = {"",      "/",     "a/",   "/a",      "a/b/c",
                                       "../x",  "a/..",  "a--b", ".hidden", "-option",
                                       "a b/c", "a/b?x", "a/b#x"};
    static const char *const revision[] = {"", "/x", "x/", "..", "a/../b", "a//b", "a b", "a?b"};
    struct fetch_model what = {.revision = "main"};
    for (size_t i = 0; i < sizeof repo / sizeof *repo; i++) {
        what.repo = repo[i];
        cr_expect_eq(fetch_model(hub.http, &hub.settings, &what, &got, &e), ERR_USAGE, "%s",
                     repo[i]);
    }
    what.repo = HUB_REPO;
    for (size_t i = 0; i < sizeof revision / sizeof *revision; i++) {
        what.revision = revision[i];
        cr_expect_eq(fetch_model(hub.http, &hub.settings, &what, &got, &e), ERR_USAGE, "%s",
                     revision[i]);
    }
    cr_assert_eq(hub.logged, 0);
}

/* --- without a hub --- */

Test(fetch_model, uses_the_cache_offline)
{
    hub.settings.offline = true;
    cr_assert_eq(fetch(), ERR_STATE, "%s", e.text);
    cr_assert(says("HF_HUB_OFFLINE"), "%s", e.text);
    cr_assert_eq(fetch_into("/tmp/x"), ERR_STATE);
    hub.settings.offline = false;
    cr_assert_eq(fetch(), 0, "%s", e.text);
    size_t before = hub.logged;
    hub.settings.offline = true;
    cr_assert_eq(fetch(), 0, "%s", e.text);
    cr_assert(got.cached);
    cr_assert_str_eq(got.commit, HUB_COMMIT);
    cr_assert_eq(hub.logged, before, "not one request");
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/" SNAPSHOT "vocab.txt", hub.dir);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(fetch(), ERR_STATE, "an incomplete snapshot is none");
}

Test(fetch_model, uses_the_cache_when_the_hub_is_down)
{
    hub.silent = true;
    cr_assert_eq(fetch(), ERR_NET, "%s", e.text);
    hub.silent = false;
    cr_assert_eq(fetch(), 0, "%s", e.text);
    cr_assert_not(got.cached);
    hub.silent = true;
    cr_assert_eq(fetch(), 0, "%s", e.text);
    cr_assert(got.cached);
}

/* --- a full disk --- */

Test(fetch_model, stops_at_a_full_disk_and_goes_on_later)
{
    struct rlimit old, tight;
    char path[PATH_MAX];
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    tight = old;
    tight.rlim_cur = 65536;
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &tight), 0);
    int rc = fetch();
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    cr_assert_eq(rc, ERR_IO, "%s", e.text);
    cr_assert(says("free some space"), "%s", e.text);
    blob_path(path, ".incomplete");
    cr_assert(hub_same(&hub, path, hub.weights, 65536));
    cr_assert_eq(fetch(), 0, "%s", e.text);
    cr_assert_eq(last(true, "GET")->q.from, 65536);
}

Test(fetch_model, asks_for_space_before_it_begins)
{
    hub.announce = (size_t)60 << 30;
    int rc = fetch();
    /* On a machine with that much space the download begins, and is cut short for ever. */
    cr_assert(rc == ERR_IO || rc == ERR_NET, "%s", e.text);
    hub.announce = (size_t)65 << 30;
    cr_assert_eq(fetch(), ERR_PROTO, "%s", e.text);
    cr_assert(says("above the limit"), "%s", e.text);
}

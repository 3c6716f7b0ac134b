#include "client/fetch_model.h"
#include "base/file.h"
#include "base/log.h"
#include "client/fetch_cache.h"
#include "client/fetch_file.h"
#include <stdio.h>
#include <string.h>

/* All that a model's directory may hold for us, the largest last. Limits in bytes. */
static const uint64_t MOST_TEXT = (uint64_t)64 << 20, MOST_WEIGHTS = (uint64_t)64 << 30;
static const char WEIGHTS[] = "model.safetensors";
static const char *const wanted[FETCH_MODEL_FILES] = {
    "config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    WEIGHTS,
};

/* Whether `has` finds what tokenizer_open needs. */
static bool has_tokenizer(bool (*has)(const void *where, const char *name), const void *where)
{
    return has(where, "tokenizer.json") || has(where, "vocab.txt") ||
           (has(where, "vocab.json") && has(where, "merges.txt"));
}

static bool in_listing(const void *listing, const char *name)
{
    return fetch_listing_has(listing, name);
}

static bool in_folder(const void *dir, const char *name)
{
    char path[PATH_MAX];
    return file_join(path, sizeof path, dir, name, NULL) == 0 && file_exists(path);
}

static int check_listing(const struct fetch_model *what, const struct fetch_listing *l,
                         struct err *e)
{
    if (!fetch_listing_has(l, WEIGHTS)) {
        if (fetch_listing_has(l, "model.safetensors.index.json"))
            return err_set(e, ERR_MODEL,
                           "%s: its weights are in shards; only a single model.safetensors is read",
                           what->repo);
        return err_set(e, ERR_MODEL,
                       "%s has no model.safetensors%s; choose a revision or model that has one",
                       what->repo,
                       fetch_listing_has(l, "pytorch_model.bin")
                           ? ", only pytorch_model.bin, a pickle, which could run code here"
                           : "");
    }
    if (!fetch_listing_has(l, "config.json"))
        return err_set(e, ERR_MODEL, "%s has no config.json: it is no model of transformers",
                       what->repo);
    if (!has_tokenizer(in_listing, l))
        return err_set(e, ERR_MODEL,
                       "%s has no tokenizer.json, vocab.txt, or vocab.json and merges.txt",
                       what->repo);
    return 0;
}

/* --- from the cache --- */

static bool from_cache(const struct fetch_cache *cache, const struct fetch_model *what,
                       struct fetched_model *out)
{
    *out = (struct fetched_model){.cached = true};
    return fetch_cache_find(cache, what->revision, out->commit, out->dir) &&
           in_folder(out->dir, WEIGHTS) && in_folder(out->dir, "config.json") &&
           has_tokenizer(in_folder, out->dir);
}

static int offline(const struct fetch_hub *hub, const struct fetch_cache *cache,
                   const struct fetch_model *what, struct fetched_model *out, struct err *e)
{
    if (what->out)
        return err_set(e, ERR_STATE,
                       "offline (HF_HUB_OFFLINE): --out cannot be filled; without it, the cache is "
                       "used");
    if (!from_cache(cache, what, out))
        return err_set(e, ERR_STATE,
                       "offline (HF_HUB_OFFLINE), and %s with revision %s is not complete in %s",
                       what->repo, what->revision, hub->cache);
    return 0;
}

/* --- from the hub --- */

struct job {
    struct fetch_http *http;
    const struct fetch_hub *hub;
    const struct fetch_cache *cache;
    const struct fetch_model *what;
    struct fetched_model *out;
};

static int to_cache(const struct job *j, const char *name, const struct fetch_remote *remote,
                    bool *fetched, struct err *e)
{
    struct fetch_blob blob;
    int rc = fetch_cache_blob(j->cache, &remote->sum, &blob, e);
    if (rc)
        return rc;
    const struct fetch_file file = {
        .name = name,
        .url = remote->url,
        .path = blob.path,
        .part = blob.part,
        .lock = blob.lock,
        .size = remote->size,
        .sum = remote->sum,
    };
    rc = fetch_file(j->http, &file, fetched, e);
    return rc ? rc : fetch_cache_link(j->cache, j->out->commit, name, &remote->sum, e);
}

static int to_folder(const struct job *j, const char *name, const struct fetch_remote *remote,
                     bool *fetched, struct err *e)
{
    char path[PATH_MAX], part[PATH_MAX], part_name[FETCH_SUM_HEX + 16];
    snprintf(part_name, sizeof part_name, "%s.incomplete", remote->sum.hex);
    int rc = file_mkdirs(j->what->out, 0755, e);
    if (!rc)
        rc = file_join(path, sizeof path, j->what->out, name, e);
    if (!rc)
        rc = file_join(part, sizeof part, j->what->out, part_name, e);
    if (rc)
        return rc;
    const struct fetch_file file = {
        .name = name,
        .url = remote->url,
        .path = path,
        .part = part,
        .lock = j->what->out,
        .size = remote->size,
        .sum = remote->sum,
    };
    return fetch_file(j->http, &file, fetched, e);
}

static int fetch_one(const struct job *j, const char *name, struct err *e)
{
    struct fetch_remote remote;
    bool fetched;
    int rc = fetch_hub_examine(j->http, j->hub, j->what->repo, j->out->commit, name,
                               name == WEIGHTS ? MOST_WEIGHTS : MOST_TEXT, &remote, e);
    if (!rc)
        rc = (j->what->out ? to_folder : to_cache)(j, name, &remote, &fetched, e);
    if (!rc)
        j->out->file[j->out->n++] = (struct fetched_file){name, remote.size, fetched};
    return rc;
}

static int fetch_listed(const struct job *j, const struct fetch_listing *l, struct err *e)
{
    int rc = check_listing(j->what, l, e);
    *j->out = (struct fetched_model){0};
    memcpy(j->out->commit, l->commit, FETCH_COMMIT);
    for (size_t i = 0; !rc && i < FETCH_MODEL_FILES; i++)
        if (fetch_listing_has(l, wanted[i]))
            rc = fetch_one(j, wanted[i], e);
    if (rc)
        return rc;
    if (j->what->out)
        return file_join(j->out->dir, sizeof j->out->dir, "", j->what->out, e);
    /* Last, so that a branch is never known by a commit of which half is missing. */
    rc = fetch_cache_ref(j->cache, j->what->revision, l->commit, e);
    return rc ? rc : fetch_cache_dir(j->cache, l->commit, j->out->dir, e);
}

int fetch_model(struct fetch_http *h, const struct fetch_hub *hub, const struct fetch_model *what,
                struct fetched_model *out, struct err *e)
{
    struct fetch_cache cache;
    struct fetch_listing listing;
    struct fetched_model got;
    const struct job job = {h, hub, &cache, what, &got};
    int rc = fetch_hub_check_repo(what->repo, e);
    if (!rc)
        rc = fetch_hub_check_revision(what->revision, e);
    if (!rc)
        rc = fetch_cache_open(&cache, hub->cache, what->repo, e);
    if (rc)
        return rc;
    if (hub->offline) {
        rc = offline(hub, &cache, what, &got, e);
    } else {
        rc = fetch_hub_list(h, hub, what->repo, what->revision, &listing, e);
        if (!rc) {
            rc = fetch_listed(&job, &listing, e);
            fetch_listing_release(&listing);
        } else if (rc == ERR_NET && !what->out && from_cache(&cache, what, &got)) {
            log_warn("the hub cannot be reached, so its last known state is used model=%s "
                     "commit=%s reason=\"%s\"",
                     what->repo, got.commit, e->text);
            rc = 0;
        }
    }
    if (!rc)
        *out = got;
    return rc;
}

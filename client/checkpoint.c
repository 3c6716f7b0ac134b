#include "client/checkpoint.h"
#include "base/file.h"
#include "base/hash.h"
#include "model/jsontext.h"
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The file: magic, length of the settings, the settings as JSON, the parts, and the SHA-256 of all
 * that; as it lies in memory: the file does not travel. */
static const char magic[16] = "fedpet point 1";
enum { HEAD = sizeof magic + sizeof(uint64_t) };

/* --- writing --- */

struct sink {
    FILE *f;
    struct hash_state hash;
    const char *path;
};

static int put(struct sink *s, const void *bytes, size_t len, struct err *e)
{
    hash_feed(&s->hash, bytes, len);
    return fwrite(bytes, 1, len, s->f) == len ? 0 : err_sys(e, ERR_IO, errno, "%s", s->path);
}

static int put_all(struct sink *s, const char *settings, const struct checkpoint_part *part,
                   size_t n, struct err *e)
{
    uint64_t len = strlen(settings);
    int rc = put(s, magic, sizeof magic, e);
    if (!rc)
        rc = put(s, &len, sizeof len, e);
    if (!rc)
        rc = put(s, settings, len, e);
    for (size_t i = 0; i < n && !rc; i++)
        rc = put(s, part[i].bytes, part[i].len, e);
    struct hash hash = hash_end(&s->hash);
    if (!rc && (fwrite(hash.byte, 1, HASH_BYTES, s->f) != HASH_BYTES || fflush(s->f) ||
                fsync(fileno(s->f))))
        rc = err_sys(e, ERR_IO, errno, "%s", s->path);
    return rc;
}

int checkpoint_write(const char *path, const json_t *settings, const struct checkpoint_part *part,
                     size_t n, struct err *e)
{
    char temp[PATH_MAX];
    if (snprintf(temp, sizeof temp, "%s.tmp", path) >= (int)sizeof temp)
        return err_set(e, ERR_IO, "%.60s...: the path is too long", path);
    char *text = jsontext(settings, JSON_COMPACT);
    struct sink s = {.f = text ? fopen(temp, "wbe") : NULL, .path = temp};
    int rc = text ? 0 : err_set(e, ERR_NOMEM, "%s: no memory to write it", path);
    if (!rc && !s.f)
        rc = err_sys(e, ERR_IO, errno, "%s", temp);
    if (!rc) {
        hash_begin(&s.hash);
        rc = put_all(&s, text, part, n, e);
        if (fclose(s.f) && !rc)
            rc = err_sys(e, ERR_IO, errno, "%s", temp);
        if (!rc && rename(temp, path))
            rc = err_sys(e, ERR_IO, errno, "%s", path);
        if (rc)
            unlink(temp);
    }
    free(text);
    return rc;
}

/* --- reading --- */

static int compare(const char *path, const json_t *then, const json_t *now, struct err *e)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)now, key, value)
    {
        const json_t *old = json_object_get(then, key);
        if (json_equal(old, value))
            continue;
        const size_t flags = JSON_ENCODE_ANY | JSON_REAL_PRECISION(15);
        char *was = jsontext(old, flags), *is = jsontext(value, flags);
        err_set(
            e, ERR_STATE,
            "%s: made with other settings: %s was %.80s and is %.80s: take the former settings, "
            "or remove the file to begin anew",
            path, key, was ? was : "absent", is ? is : "?");
        free(was);
        free(is);
        return ERR_STATE;
    }
    return 0;
}

static int take(const char *path, const struct file_map *m, const json_t *settings,
                const struct checkpoint_part *part, size_t n, struct err *e)
{
    uint64_t len = 0;
    size_t want = HEAD + HASH_BYTES;
    if (m->len >= want && memcmp(m->bytes, magic, sizeof magic) == 0)
        memcpy(&len, m->bytes + sizeof magic, sizeof len);
    bool headed = len > 0 && len <= m->len - want;
    struct hash stored, found = {{0}};
    if (headed) {
        found = hash_of(m->bytes, m->len - HASH_BYTES);
        memcpy(stored.byte, m->bytes + m->len - HASH_BYTES, HASH_BYTES);
    }
    if (!headed || !hash_same(&stored, &found))
        return err_set(e, ERR_IO, "%s: damaged: remove it to begin anew", path);
    json_t *then = json_loadb((const char *)m->bytes + HEAD, len, 0, NULL);
    int rc = compare(path, then, settings, e);
    json_decref(then);
    for (size_t i = 0; i < n; i++)
        want += part[i].len;
    if (!rc && m->len != want + len)
        rc = err_set(e, ERR_IO, "%s: made by another version: remove it to begin anew", path);
    const unsigned char *at = m->bytes + HEAD + len;
    for (size_t i = 0; i < n && !rc; at += part[i++].len)
        memcpy(part[i].bytes, at, part[i].len);
    return rc;
}

int checkpoint_read(const char *path, const json_t *settings, const struct checkpoint_part *part,
                    size_t n, bool *found, struct err *e)
{
    struct file_map m;
    if (!file_exists(path)) {
        *found = false;
        return 0;
    }
    int rc = file_map_open(&m, path, e);
    if (rc)
        return rc;
    rc = take(path, &m, settings, part, n, e);
    file_map_close(&m);
    if (!rc)
        *found = true;
    return rc;
}

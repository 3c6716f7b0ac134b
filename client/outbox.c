#include "client/outbox.h"
#include "base/file.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The head of the file, as it lies in memory: the file does not travel. Parameters as they are sent
 * and the change of the control variate follow, then the SHA-256 of all that. */
struct head {
    char magic[16], run_id[24];
    struct hash schema;
    uint64_t len, control;
    uint32_t index;
    /* Up to here it says whose update it is. */
    uint32_t round, n_metrics, coding;
    uint64_t sent; /* bytes of the parameters, encoded */
    struct hash base;
    uint64_t samples, steps;
    double train_loss, seconds;
    struct {
        char name[64];
        double value;
        uint64_t weight;
    } metric[MSG_MAX_METRICS];
};
static const char magic[16] = "fedpet update 2";
enum { KEY_BYTES = offsetof(struct head, round) };

static void begin_head(struct head *h, const struct outbox_key *key)
{
    memset(h, 0, sizeof *h);
    memcpy(h->magic, magic, sizeof magic);
    snprintf(h->run_id, sizeof h->run_id, "%s", key->run_id);
    h->schema = key->schema;
    h->len = key->len;
    h->control = key->scaffold ? key->len : 0;
    h->index = key->index;
}

static size_t file_bytes(const struct head *h)
{
    return sizeof *h + h->sent + h->control + HASH_BYTES;
}

int outbox_write(const char *dir, const struct outbox_key *key, uint32_t round,
                 const struct hash *base, const struct agent_result *r, struct err *e)
{
    char path[PATH_MAX];
    struct head h;
    int rc = file_join(path, sizeof path, dir, OUTBOX_FILE, e);
    if (rc)
        return rc;
    begin_head(&h, key);
    h.round = round;
    h.base = *base;
    h.coding = r->coding;
    h.sent = r->len;
    h.samples = r->samples;
    h.steps = r->steps;
    h.train_loss = r->train_loss;
    h.seconds = r->seconds;
    h.n_metrics = (uint32_t)r->n_metrics;
    for (size_t i = 0; i < r->n_metrics; i++) {
        snprintf(h.metric[i].name, sizeof h.metric[i].name, "%s", r->metric[i].name);
        h.metric[i].value = r->metric[i].value;
        h.metric[i].weight = r->metric[i].weight;
    }
    size_t n = file_bytes(&h);
    unsigned char *bytes = malloc(n), *at = bytes;
    if (!bytes)
        return err_set(e, ERR_NOMEM, "%s: no memory for its %zu bytes", path, n);
    memcpy(at, &h, sizeof h);
    memcpy(at += sizeof h, r->params, h.sent);
    if (h.control > 0)
        memcpy(at + h.sent, r->control, h.control);
    struct hash sum = hash_of(bytes, n - HASH_BYTES);
    memcpy(bytes + n - HASH_BYTES, sum.byte, HASH_BYTES);
    rc = file_write(path, bytes, n, 0600, e);
    free(bytes);
    return rc;
}

static bool whole(const struct file_map *m, const struct head *h)
{
    struct hash stored, found;
    if (h->sent > m->len || m->len != file_bytes(h) || h->n_metrics > MSG_MAX_METRICS)
        return false;
    memcpy(stored.byte, m->bytes + m->len - HASH_BYTES, HASH_BYTES);
    found = hash_of(m->bytes, m->len - HASH_BYTES);
    return hash_same(&stored, &found);
}

static int take(struct outbox *o, const struct file_map *m, const struct head *h, const char *path,
                struct err *e)
{
    size_t payload = h->sent + h->control;
    *o = (struct outbox){.round = h->round, .base = h->base};
    o->bytes = malloc(payload + 1);
    o->names = calloc(MSG_MAX_METRICS, sizeof *o->names);
    if (!o->bytes || !o->names) {
        outbox_close(o);
        return err_set(e, ERR_NOMEM, "%s: no memory for its %zu bytes", path, payload);
    }
    memcpy(o->bytes, m->bytes + sizeof *h, payload);
    o->result = (struct agent_result){.params = o->bytes,
                                      .len = h->sent,
                                      .coding = h->coding,
                                      .control = h->control > 0 ? o->bytes + h->sent : NULL,
                                      .control_len = h->control,
                                      .samples = h->samples,
                                      .steps = h->steps,
                                      .train_loss = h->train_loss,
                                      .seconds = h->seconds,
                                      .n_metrics = h->n_metrics};
    for (size_t i = 0; i < h->n_metrics; i++) {
        memcpy(o->names[i], h->metric[i].name, sizeof o->names[i]);
        o->result.metric[i] =
            (struct msg_metric){o->names[i], h->metric[i].value, h->metric[i].weight};
    }
    return 0;
}

int outbox_read(struct outbox *o, const char *dir, const struct outbox_key *key, bool *found,
                struct err *e)
{
    char path[PATH_MAX];
    struct head mine, h;
    struct file_map m;
    *found = false;
    int rc = file_join(path, sizeof path, dir, OUTBOX_FILE, e);
    if (rc || !file_exists(path))
        return rc;
    if ((rc = file_map_open(&m, path, e)))
        return rc;
    begin_head(&mine, key);
    bool headed = m.len >= sizeof h;
    if (headed)
        memcpy(&h, m.bytes, sizeof h);
    if (headed && memcmp(&h, &mine, KEY_BYTES) != 0) {
        file_map_close(&m);
        return 0;
    }
    if (!headed || !whole(&m, &h))
        rc = err_set(e, ERR_IO, "%s: damaged: remove it, and the update is trained again", path);
    else
        rc = take(o, &m, &h, path, e);
    file_map_close(&m);
    *found = !rc;
    return rc;
}

void outbox_close(struct outbox *o)
{
    free(o->bytes);
    free(o->names);
    *o = (struct outbox){0};
}

void outbox_remove(const char *dir)
{
    char path[PATH_MAX];
    if (!file_join(path, sizeof path, dir, OUTBOX_FILE, NULL))
        unlink(path);
}

#include "client/journal.h"
#include "base/file.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The head of the file, as it lies in memory: the file does not travel. The states' values follow,
 * then the SHA-256 of all that. */
struct head {
    char magic[16], run_id[24];
    struct hash schema;
    uint64_t size;               /* values of a state */
    uint32_t step[LOCAL_STATES]; /* of each state */
    uint32_t after[LOCAL_STATES];
};
static const char magic[16] = "fedpet local 1";

struct journal {
    char path[PATH_MAX];
    struct head head;
    struct local_pair pair;
};

static size_t state_bytes(const struct journal *j)
{
    return j->pair.state[0].size * sizeof(float);
}

static size_t file_bytes(const struct journal *j)
{
    return sizeof j->head + LOCAL_STATES * state_bytes(j) + HASH_BYTES;
}

static int take_over(struct journal *j, const struct file_map *m, struct err *e)
{
    struct head head;
    if (m->len >= sizeof head) {
        memcpy(&head, m->bytes, sizeof head);
        if (memcmp(&head, &j->head, offsetof(struct head, step)) != 0)
            return 0; /* another run's */
    }
    size_t body = file_bytes(j) - HASH_BYTES;
    struct hash stored, found;
    if (m->len == file_bytes(j)) {
        memcpy(stored.byte, m->bytes + body, HASH_BYTES);
        found = hash_of(m->bytes, body);
    }
    if (m->len != file_bytes(j) || !hash_same(&stored, &found))
        return err_set(e, ERR_IO, "%s: damaged: remove it, and this client begins anew", j->path);
    j->head = head;
    for (int k = 0; k < LOCAL_STATES; k++) {
        j->pair.after[k] = head.after[k];
        j->pair.state[k].step = head.step[k];
        memcpy(j->pair.state[k].values, m->bytes + sizeof head + (size_t)k * state_bytes(j),
               state_bytes(j));
    }
    return 0;
}

static int read_file(struct journal *j, struct err *e)
{
    struct file_map m;
    if (!file_exists(j->path))
        return 0;
    int rc = file_map_open(&m, j->path, e);
    if (rc)
        return rc;
    rc = take_over(j, &m, e);
    file_map_close(&m);
    return rc;
}

int journal_open(struct journal **out, const char *dir, const char *run_id,
                 const struct hash *schema, const struct run_spec *spec, size_t count,
                 struct err *e)
{
    struct journal *j = calloc(1, sizeof *j);
    if (!j)
        return err_set(e, ERR_NOMEM, "out of memory");
    memcpy(j->head.magic, magic, sizeof magic);
    snprintf(j->head.run_id, sizeof j->head.run_id, "%s", run_id);
    j->head.schema = *schema;
    int rc = file_join(j->path, sizeof j->path, dir, JOURNAL_FILE, e);
    if (!rc)
        rc = local_pair_open(&j->pair, spec, count, e);
    j->head.size = j->pair.state[0].size;
    if (!rc)
        rc = read_file(j, e);
    if (rc) {
        journal_close(j);
        return rc;
    }
    *out = j;
    return 0;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    local_pair_close(&j->pair);
    free(j);
}

struct local_state *journal_begin(struct journal *j, uint32_t counted, bool *lost)
{
    return local_pair_begin(&j->pair, counted, lost);
}

int journal_commit(struct journal *j, uint32_t round, struct err *e)
{
    size_t n = file_bytes(j);
    unsigned char *bytes = malloc(n), *at = bytes;
    if (!bytes)
        return err_set(e, ERR_NOMEM, "%s: no memory for its %zu bytes", j->path, n);
    local_pair_end(&j->pair, round);
    for (int k = 0; k < LOCAL_STATES; k++) {
        j->head.after[k] = j->pair.after[k];
        j->head.step[k] = j->pair.state[k].step;
    }
    memcpy(at, &j->head, sizeof j->head);
    at += sizeof j->head;
    for (int k = 0; k < LOCAL_STATES; k++, at += state_bytes(j))
        memcpy(at, j->pair.state[k].values, state_bytes(j));
    struct hash h = hash_of(bytes, n - HASH_BYTES);
    memcpy(at, h.byte, HASH_BYTES);
    int rc = file_write(j->path, bytes, n, 0600, e);
    free(bytes);
    return rc;
}

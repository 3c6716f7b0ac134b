#include "client/journal.h"
#include "base/file.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BEFORE, LAST, STATES };
#define NO_STATE UINT32_MAX /* no round has this number */

/* The head of the file, as it lies in memory: the file does not travel. The states' values follow,
 * then the SHA-256 of all that. */
struct head {
    char magic[16], run_id[24];
    struct hash schema;
    uint64_t size;         /* values of a state */
    uint32_t step[STATES]; /* of each state */
    uint32_t after[STATES];
};
static const char magic[16] = "fedpet local 1";

struct journal {
    char path[PATH_MAX];
    struct head head; /* after: 1 + the round that left the state; 0: the beginning */
    struct local_state state[STATES];
};

static size_t state_bytes(const struct journal *j)
{
    return j->state[0].size * sizeof(float);
}

static size_t file_bytes(const struct journal *j)
{
    return sizeof j->head + STATES * state_bytes(j) + HASH_BYTES;
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
    for (int k = 0; k < STATES; k++) {
        j->state[k].step = head.step[k];
        memcpy(j->state[k].values, m->bytes + sizeof head + (size_t)k * state_bytes(j),
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
    j->head.after[LAST] = NO_STATE;
    int rc = file_join(j->path, sizeof j->path, dir, JOURNAL_FILE, e);
    for (int k = 0; !rc && k < STATES; k++)
        rc = local_state_open(&j->state[k], spec, count, e);
    j->head.size = j->state[0].size;
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
    for (int k = 0; k < STATES; k++)
        local_state_close(&j->state[k]);
    free(j);
}

struct local_state *journal_begin(struct journal *j, uint32_t counted, bool *lost)
{
    uint32_t *after = j->head.after;
    if (after[LAST] == counted) {
        struct local_state before = j->state[BEFORE];
        j->state[BEFORE] = j->state[LAST];
        j->state[LAST] = before;
        after[BEFORE] = counted;
    }
    *lost = after[BEFORE] != counted && counted > 0;
    if (after[BEFORE] != counted)
        local_state_clear(&j->state[BEFORE]);
    after[BEFORE] = counted;
    after[LAST] = NO_STATE;
    local_state_copy(&j->state[LAST], &j->state[BEFORE]);
    return &j->state[LAST];
}

int journal_commit(struct journal *j, uint32_t round, struct err *e)
{
    size_t n = file_bytes(j);
    unsigned char *bytes = malloc(n), *at = bytes;
    if (!bytes)
        return err_set(e, ERR_NOMEM, "%s: no memory for its %zu bytes", j->path, n);
    j->head.after[LAST] = round + 1;
    for (int k = 0; k < STATES; k++)
        j->head.step[k] = j->state[k].step;
    memcpy(at, &j->head, sizeof j->head);
    at += sizeof j->head;
    for (int k = 0; k < STATES; k++, at += state_bytes(j))
        memcpy(at, j->state[k].values, state_bytes(j));
    struct hash h = hash_of(bytes, n - HASH_BYTES);
    memcpy(at, h.byte, HASH_BYTES);
    int rc = file_write(j->path, bytes, n, 0600, e);
    free(bytes);
    return rc;
}

#include "server/payload.h"
#include "codec/little.h"
#include <stdlib.h>
#include <string.h>

int payload_open(struct payload *p, const struct federation_spec *spec, size_t count, struct err *e)
{
    *p = (struct payload){.spec = spec, .count = count};
    int rc = coding_plan(spec, &p->plan, e);
    if (rc == 0)
        rc = coder_open(&p->coder, count, e);
    if (rc != 0)
        return rc;
    bool encodes = p->plan.download != CODING_PLAIN || p->plan.result != CODING_PLAIN;
    p->plain = calloc(count + 1, sizeof(float));
    p->coded = encodes ? calloc(1, coder_room(count)) : NULL;
    p->update = calloc(count + 1, sizeof(float));
    p->missing = calloc(count + 1, sizeof *p->missing);
    if (p->plain != NULL && (p->coded != NULL || !encodes) && p->update != NULL &&
        p->missing != NULL)
        return 0;
    payload_close(p);
    return err_set(e, ERR_NOMEM, "no memory for messages of %zu parameters", count);
}

void payload_close(struct payload *p)
{
    coder_close(p->coder);
    free(p->plain);
    free(p->coded);
    free(p->update);
    free(p->missing);
    *p = (struct payload){0};
}

static void encode(struct payload *p, uint32_t coding, const struct rng *rng)
{
    const struct coder_job job = {.values = p->plain, .rng = rng};
    p->coding = coding;
    if (coding != CODING_PLAIN)
        p->coded_len = coder_encode(p->coder, &p->coding, &job, p->coded);
}

void payload_task(struct payload *p, uint32_t round)
{
    struct rng rng = rng_stream(p->spec->seed, round, 0, RNG_DOWNLOAD);
    for (size_t i = 0; i < p->count; i++)
        p->missing[i] = get_float(p->plain + 4 * i);
    encode(p, p->plan.download, &rng);
    /* What was encoded here can be decoded here. */
    if (p->coding != CODING_PLAIN &&
        coder_decode(p->coder, p->coding, p->coded, p->coded_len, NULL, p->plain, NULL) != 0)
        abort();
    for (size_t i = 0; i < p->count; i++)
        p->missing[i] -= get_float(p->plain + 4 * i);
}

void payload_result(struct payload *p)
{
    encode(p, p->plan.result, NULL);
}

struct msg_bytes payload_for(const struct payload *p, uint64_t known, uint32_t *coding)
{
    bool can = p->coding != CODING_PLAIN && coding_within(known, p->coding);
    *coding = can ? p->coding : CODING_PLAIN;
    return can ? (struct msg_bytes){p->coded, p->coded_len}
               : (struct msg_bytes){p->plain, p->count * sizeof(float)};
}

/* The run's coding or plain, and zstd only where the run has it. */
static bool allowed(const struct payload *p, uint32_t coding)
{
    uint32_t codec = coding % CODING_ZSTD;
    return coding < CODINGS && (codec == CODING_PLAIN || codec == p->plan.upload % CODING_ZSTD) &&
           (coding < CODING_ZSTD || p->spec->zstd);
}

enum msg_reason payload_update(struct payload *p, const struct msg_update *u, struct msg_bytes *out)
{
    *out = u->params;
    if (u->coding == CODING_PLAIN)
        return u->params.len == p->count * sizeof(float) ? REASON_NONE : REASON_SHAPE;
    const unsigned char *base = p->spec->mode == MODE_ASYNC ? NULL : p->plain;
    if (!allowed(p, u->coding) || coder_decode(p->coder, u->coding, u->params.data, u->params.len,
                                               base, p->update, NULL) != 0)
        return REASON_SHAPE;
    *out = (struct msg_bytes){p->update, p->count * sizeof(float)};
    return REASON_NONE;
}

void payload_complete(const struct payload *p, float *values)
{
    for (size_t i = 0; p->spec->mode == MODE_SYNC && i < p->count; i++)
        values[i] += p->missing[i];
}

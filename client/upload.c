#include "client/upload.h"
#include "base/vector.h"
#include "codec/little.h"
#include <stdlib.h>

int upload_open(struct upload *u, const struct run_spec *spec, const struct schema *schema,
                struct err *e)
{
    const struct federation_spec *f = &spec->federation;
    *u = (struct upload){.schema = schema,
                         .seed = f->seed,
                         .share = f->top_k,
                         .asked = coding_upload(f),
                         .difference = f->mode == MODE_ASYNC};
    u->bytes = vector_alloc(coder_room(schema->packed), 1);
    if (!u->bytes)
        return err_set(e, ERR_NOMEM, "no memory for an update of %zu values", schema->packed);
    int rc = coder_open(&u->coder, schema->packed, e);
    if (rc)
        upload_close(u);
    return rc;
}

void upload_close(struct upload *u)
{
    coder_close(u->coder);
    free(u->bytes);
    *u = (struct upload){0};
}

void upload_encode(struct upload *u, uint32_t round, uint32_t client, const unsigned char *base,
                   const float *theta, struct local_state *state)
{
    struct rng rng = rng_stream(u->seed, round, client, RNG_UPLOAD);
    const struct coder_job job = {.values = u->bytes,
                                  .base = u->difference ? NULL : base,
                                  .residual = state ? state->residual : NULL,
                                  .share = u->share,
                                  .rng = &rng};
    tensorset_pack(u->schema, theta, u->bytes);
    for (size_t i = 0; u->difference && i < u->schema->packed; i++)
        put_float(u->bytes + 4 * i, get_float(u->bytes + 4 * i) - get_float(base + 4 * i));
    u->coding = u->asked;
    u->len = coder_encode(u->coder, &u->coding, &job, u->bytes);
}

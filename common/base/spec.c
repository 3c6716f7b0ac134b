#include "base/spec.h"

int spec_check_federation(const struct federation_spec *f, struct err *e)
{
    if (f->clients < 1 || f->per_round < 1 || f->deadline_s < 1)
        return err_set(e, ERR_CONFIG,
                       "federation: clients, per_round and deadline_s must be at least 1");
    if (f->per_round > f->clients)
        return err_set(e, ERR_CONFIG,
                       "federation.per_round is %u, more than federation.clients, which is %u",
                       f->per_round, f->clients);
    if (f->quorum > f->per_round)
        return err_set(e, ERR_CONFIG,
                       "federation.quorum is %u, more than federation.per_round, which is %u",
                       f->quorum, f->per_round);
    return 0;
}

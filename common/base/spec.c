#include "base/spec.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

static int check_krum(const struct federation_spec *f, uint64_t quorum, struct err *e)
{
    if (f->per_round > KRUM_MAX_CLIENTS)
        return err_set(e, ERR_CONFIG,
                       "federation.aggregator krum compares each update with each: at most %d per "
                       "round, and federation.per_round is %" PRIu32,
                       KRUM_MAX_CLIENTS, f->per_round);
    uint64_t needs = 2 * (uint64_t)f->byzantine + 3;
    if (quorum < needs)
        return err_set(e, ERR_CONFIG,
                       "federation.aggregator krum needs a quorum of %" PRIu64
                       " against a federation.byzantine of %" PRIu32 ", and has %" PRIu64,
                       needs, f->byzantine, quorum);
    if (f->krum_keep < 1 || f->krum_keep > quorum - f->byzantine)
        return err_set(e, ERR_CONFIG,
                       "federation.krum_keep must be 1 to %" PRIu64
                       ", the updates of a quorum that are not hostile",
                       quorum - f->byzantine);
    return 0;
}

static int check_aggregator(const struct federation_spec *f, struct err *e)
{
    uint64_t quorum = f->quorum > 0 ? f->quorum : f->per_round;
    if (f->scaffold && f->aggregator != AGGREGATION_FEDAVG)
        return err_set(e, ERR_CONFIG,
                       "federation.scaffold averages control variates, which one hostile client "
                       "can spoil: it goes with federation.aggregator fedavg alone");
    if (f->aggregator == AGGREGATION_CLIPPED_MEAN && !(f->clip_norm > 0))
        return err_set(e, ERR_CONFIG,
                       "federation.aggregator clipped_mean needs a federation.clip_norm above 0");
    if (f->aggregator == AGGREGATION_TRIMMED_MEAN && quorum < 2 * (uint64_t)f->byzantine + 1)
        return err_set(e, ERR_CONFIG,
                       "federation.aggregator trimmed_mean needs a quorum of %" PRIu64
                       " to leave out the federation.byzantine least and greatest values, and has "
                       "%" PRIu64,
                       2 * (uint64_t)f->byzantine + 1, quorum);
    return f->aggregator == AGGREGATION_KRUM ? check_krum(f, quorum, e) : 0;
}

uint32_t spec_selected(const struct federation_spec *f)
{
    /* 1.1 times 10 is 11, whatever 1.1 is in binary. */
    double n = ceil(f->over_select * f->per_round * (1 - 1e-12));
    if (!(n > f->per_round))
        return f->per_round;
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

uint32_t spec_concurrency(const struct federation_spec *f)
{
    if (f->concurrency > 0)
        return f->concurrency;
    return f->clients / 2 < f->per_round ? f->clients : 2 * f->per_round;
}

double spec_staleness_weight(uint32_t staleness)
{
    return 1 / sqrt(1 + (double)staleness);
}

/* Each of these rests on clients that begin a round together, or on a round that knows whom it
 * waits for. */
static int check_async(const struct federation_spec *f, struct err *e)
{
    static const char *const no = "does not go with federation.mode async";
    if (f->scaffold)
        return err_set(e, ERR_CONFIG,
                       "federation.scaffold %s: its control variates are of one round", no);
    if (f->aggregator != AGGREGATION_FEDAVG && f->aggregator != AGGREGATION_CLIPPED_MEAN)
        return err_set(
            e, ERR_CONFIG,
            "this federation.aggregator %s: it compares updates that began with the same "
            "parameters; use fedavg or clipped_mean",
            no);
    if (f->over_select > 1)
        return err_set(e, ERR_CONFIG,
                       "federation.over_select %s, which uses late updates: set concurrency", no);
    if (f->quorum > 0)
        return err_set(e, ERR_CONFIG, "federation.quorum %s: its rounds have no deadline", no);
    if (f->concurrency > f->clients)
        return err_set(e, ERR_CONFIG,
                       "federation.concurrency is %" PRIu32
                       ", more than federation.clients, which is %" PRIu32,
                       f->concurrency, f->clients);
    return 0;
}

int spec_check_federation(const struct federation_spec *f, struct err *e)
{
    if (f->clients < 1 || f->per_round < 1 || f->deadline_s < 1)
        return err_set(e, ERR_CONFIG,
                       "federation: clients, per_round and deadline_s must be at least 1");
    if (f->per_round > f->clients)
        return err_set(e, ERR_CONFIG,
                       "federation.per_round is %u, more than federation.clients, which is %u",
                       f->per_round, f->clients);
    if (spec_selected(f) > f->clients)
        return err_set(e, ERR_CONFIG,
                       "federation.over_select %g selects %" PRIu32
                       " clients for a round, more than federation.clients, which is %" PRIu32,
                       f->over_select, spec_selected(f), f->clients);
    if (f->quorum > f->per_round)
        return err_set(e, ERR_CONFIG,
                       "federation.quorum is %u, more than federation.per_round, which is %u",
                       f->quorum, f->per_round);
    int rc = f->mode == MODE_ASYNC ? check_async(f, e) : 0;
    return rc == 0 ? check_aggregator(f, e) : rc;
}

bool spec_name_ok(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return n >= 1 && n <= SPEC_MAX_NAME && name[n] == '\0';
}

#include "server/best.h"
#include <math.h>

bool best_enter(struct best *b, uint32_t round, double score, bool low)
{
    bool better = !isnan(score) && (!b->any || (low ? score < b->score : score > b->score));
    if (better)
        *b = (struct best){.any = true, .round = round, .score = score};
    else
        b->since++;
    return better;
}

bool best_stale(const struct best *b, uint32_t patience)
{
    return patience > 0 && b->since >= patience;
}

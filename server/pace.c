#include "server/pace.h"
#include <math.h>

void pace_init(struct pace *p, uint64_t seed)
{
    *p = (struct pace){.jitter = rng_stream(seed, 0, 0, RNG_JITTER), .round_s = PACE_FIRST_S};
}

void pace_round(struct pace *p, double seconds)
{
    p->round_s = p->measured ? p->round_s + 0.25 * (seconds - p->round_s) : seconds;
    p->measured = true;
}

uint32_t pace_return(struct pace *p, size_t population, size_t wanted)
{
    double w = p->round_s * (double)population / (PACE_SPARE * (double)wanted);
    return PACE_LEAST_S + (uint32_t)(2 * fmin(w, PACE_MOST_S) * rng_uniform(&p->jitter));
}

uint32_t pace_spread(struct pace *p, uint32_t least, size_t n)
{
    return least + (uint32_t)(rng_uniform(&p->jitter) * ((double)n / PACE_RATE + 1));
}

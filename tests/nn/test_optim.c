#include "nn/optim.h"
#include "run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DECAYS = 12, N = 17, STEPS = 10 };

/* The two parameters of golden/optim.txt: [3,4] that decays, [5] that does not. */
static void make_schema(struct schema *s, enum scope second)
{
    const int64_t weight[] = {3, 4}, bias[] = {5};
    struct err e = {0};

    schema_init(s);
    cr_assert_eq(schema_add(s, "decays.weight", SCOPE_GLOBAL, true, 2, weight, &e), 0);
    cr_assert_eq(schema_add(s, "spared.bias", second, false, 1, bias, &e), 0);
    schema_seal(s);
}

static struct local_spec make_spec(enum optimizer optimizer)
{
    return (struct local_spec){.optimizer = optimizer,
                               .lr = 3e-2,
                               .weight_decay = 0.1,
                               .beta1 = 0.9,
                               .beta2 = 0.98,
                               .eps = 1e-6,
                               .warmup = 0.25};
}

static void expect_near(const real *got, const double *want, int n, double tolerance,
                        const char *what, uint32_t step)
{
    for (int i = 0; i < n; i++)
        cr_assert_lt(fabs(got[i] - want[i]), tolerance * fmax(fabs(want[i]), 0.1),
                     "step %u, %s %d: %.9g, not %.9g", step, what, i, (double)got[i], want[i]);
}

/* --- torch ----------------------------------------------------------------------------------- */

static void read_numbers(FILE *f, double *x, int n)
{
    for (int i = 0; i < n; i++)
        cr_assert_eq(fscanf(f, "%la", &x[i]), 1);
}

static void read_reals(FILE *f, real *x)
{
    double wide[N];

    read_numbers(f, wide, N);
    for (int i = 0; i < N; i++)
        x[i] = (real)wide[i];
}

static void follow_torch(FILE *f, const char *method, const char *schedule, double max_norm)
{
    struct schema schema;
    struct optim o;
    struct local_spec spec =
        make_spec(strcmp(method, "sgd") == 0 ? OPTIMIZER_SGD : OPTIMIZER_ADAMW);
    real theta[N], g[N];

    spec.schedule = strcmp(schedule, "linear") == 0 ? SCHEDULE_LINEAR : SCHEDULE_CONSTANT;
    spec.max_grad_norm = max_norm;
    make_schema(&schema, SCOPE_LOCAL);
    cr_assert_eq(optim_open(&o, &schema, &spec, NULL), 0);
    read_reals(f, theta);
    for (uint32_t step = 0; step < STEPS; step++) {
        double lr, norm, want[N];
        read_numbers(f, &lr, 1);
        read_reals(f, g);
        read_numbers(f, &norm, 1);
        read_numbers(f, want, N);
        cr_expect_float_eq(lr_at(&spec, step, STEPS), lr, 1e-15);
        real got = optim_step(&o, theta, g, (real)lr_at(&spec, step, STEPS));
        cr_expect_float_eq(got, norm, 1e-6 * norm);
        expect_near(theta, want, N, 1e-6, schedule, step);
    }
    cr_expect_eq(o.step, STEPS);
    optim_close(&o);
    schema_release(&schema);
}

Test(optim, follows_torch)
{
    char method[16], schedule[16];
    double max_norm;
    int cases = 0;
    FILE *f = fopen(FEDPET_TEST_DIR "/nn/golden/optim.txt", "r");

    cr_assert(f);
    for (; fscanf(f, "%15s %15s %lf", method, schedule, &max_norm) == 3; cases++)
        follow_torch(f, method, schedule, max_norm);
    fclose(f);
    cr_expect_eq(cases, 8);
}

/* --- the former AdamW of transformers -------------------------------------------------------- */

/* One value, from the formula, in double. */
struct naive {
    double p, m, v;
};

static void naive_step(struct naive *n, const struct local_spec *s, double g, double lr, int t,
                       bool decays)
{
    n->m = s->beta1 * n->m + (1 - s->beta1) * g;
    n->v = s->beta2 * n->v + (1 - s->beta2) * g * g;
    n->p -= lr * sqrt(1 - pow(s->beta2, t)) / (1 - pow(s->beta1, t)) * n->m / (sqrt(n->v) + s->eps);
    if (decays)
        n->p -= lr * s->weight_decay * n->p;
}

Test(optim, adamw_hf_follows_its_formula)
{
    struct schema schema;
    struct optim o;
    struct local_spec spec = make_spec(OPTIMIZER_ADAMW_HF);
    real *theta = run_random(N, 1);
    struct naive naive[N] = {0};
    double want[N];

    spec.eps = 0.05; /* large enough to tell where it is added */
    make_schema(&schema, SCOPE_GLOBAL);
    cr_assert_eq(optim_open(&o, &schema, &spec, NULL), 0);
    for (int i = 0; i < N; i++)
        naive[i].p = theta[i];
    for (int t = 1; t <= STEPS; t++) {
        real *g = run_random(N, 100 + (uint32_t)t), lr = (real)lr_at(&spec, (uint32_t)t, 20);
        for (int i = 0; i < N; i++) {
            naive_step(&naive[i], &spec, g[i], lr, t, i < DECAYS);
            want[i] = naive[i].p;
        }
        optim_step(&o, theta, g, lr);
        expect_near(theta, want, N, 1e-6, "value", (uint32_t)t);
        free(g);
    }
    optim_close(&o);
    schema_release(&schema);
    free(theta);
}

/* --- clipping, scopes, schedules ------------------------------------------------------------- */

Test(optim, clips_only_above_the_limit)
{
    struct schema schema;
    struct optim o;
    struct local_spec spec = make_spec(OPTIMIZER_SGD);
    static const struct {
        double limit, first, last; /* of the step, which is the gradient as it was used */
    } cases[] = {{5.5, 3, 4}, {0, 3, 4}, {2.5, 1.5, 2}};
    real g[N] = {3, 0, 0, 4};

    spec.weight_decay = 0;
    make_schema(&schema, SCOPE_GLOBAL);
    cr_assert_eq(optim_open(&o, &schema, &spec, NULL), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        real theta[N] = {0};

        spec.max_grad_norm = cases[i].limit;
        cr_expect_eq(optim_step(&o, theta, g, 1), 5);
        cr_expect_float_eq(-theta[0], cases[i].first, 1e-6);
        cr_expect_float_eq(-theta[3], cases[i].last, 1e-6);
    }
    g[0] = 3e30F; /* its square is not a float */
    real theta[N] = {0}, norm = optim_step(&o, theta, g, 0);
    cr_expect_float_eq(norm, 3e30F, 1e24);
    optim_close(&o);
    schema_release(&schema);
}

static void leaves_alone_what_is_not_trained(enum optimizer optimizer)
{
    for (enum scope scope = SCOPE_FROZEN; scope <= SCOPE_DERIVED; scope++) {
        struct schema schema;
        struct optim o;
        struct local_spec spec = make_spec(optimizer);
        real theta[N], g[N];
        for (int i = 0; i < N; i++)
            theta[i] = g[i] = 1;
        make_schema(&schema, scope);
        cr_assert_eq(optim_open(&o, &schema, &spec, NULL), 0);
        real norm = optim_step(&o, theta, g, (real)0.1);
        cr_expect_float_eq(norm, sqrt(DECAYS), 1e-6);
        for (int i = 0; i < N; i++)
            cr_expect_eq(theta[i] == 1, i >= DECAYS);
        optim_close(&o);
        schema_release(&schema);
    }
}

Test(optim, leaves_alone_what_is_not_trained)
{
    leaves_alone_what_is_not_trained(OPTIMIZER_ADAMW);
    leaves_alone_what_is_not_trained(OPTIMIZER_SGD);
}

Test(optim, schedules)
{
    struct local_spec s = {.lr = 0.5, .schedule = SCHEDULE_LINEAR};

    cr_expect_eq(lr_at(&s, 0, 4), 0.5);
    cr_expect_eq(lr_at(&s, 3, 4), 0.125);
    cr_expect_eq(lr_at(&s, 4, 4), 0);
    cr_expect_eq(lr_at(&s, 9, 4), 0);
    s.warmup = 0.3; /* ceil(1.2) = 2 steps of 4 */
    cr_expect_eq(lr_at(&s, 0, 4), 0);
    cr_expect_eq(lr_at(&s, 1, 4), 0.25);
    cr_expect_eq(lr_at(&s, 2, 4), 0.5);
    cr_expect_eq(lr_at(&s, 3, 4), 0.25);
    s.schedule = SCHEDULE_CONSTANT;
    cr_expect_eq(lr_at(&s, 1, 4), 0.25);
    cr_expect_eq(lr_at(&s, 3, 4), 0.5);
    cr_expect_eq(lr_at(&s, 100, 4), 0.5);
    /* A run of a million rounds of a billion steps: halfway up, and halfway down. */
    s.schedule = SCHEDULE_LINEAR;
    s.warmup = 0.5;
    cr_expect_eq(lr_at(&s, 250000000000000, 1000000000000000), 0.25);
    cr_expect_eq(lr_at(&s, 750000000000000, 1000000000000000), 0.25);
    s.warmup = 0.9; /* every step of one warms up */
    cr_expect_eq(lr_at(&s, 0, 1), 0);
}

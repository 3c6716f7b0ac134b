/* The engine against torch, transformers and peft, through an adapter that peft saved. */
#include "nn/optim.h"
#include "tests/greater.h"
#include "tests/peft/tuned.h"
#include <math.h>

Test(golden, logits_and_loss_are_those_of_peft)
{
    for (int i = 0; i < GOLDEN_FAMILIES; i++) {
        struct tuned t;
        tuned_open(&t, golden_families[i]);
        real logits[64];
        int n = t.golden.batch.n * (int)t.info.n_labels;
        cr_assert_leq(n, 64);
        double loss = tuned_loss(&t, &t.golden.batch, t.theta, NULL, logits);
        const float *want = golden_floats(&t.golden, "logits");
        for (int k = 0; k < n; k++)
            cr_expect_float_eq(logits[k], want[k], 2e-5, "%s: logit %d is %g, not %g",
                               golden_families[i], k, (double)logits[k], (double)want[k]);
        cr_expect_float_eq(loss, (double)golden_floats(&t.golden, "loss")[0], 2e-5);
        tuned_close(&t);
    }
}

Test(golden, every_gradient_is_that_of_torch)
{
    for (int i = 0; i < GOLDEN_FAMILIES; i++) {
        struct tuned t;
        tuned_open(&t, golden_families[i]);
        const struct schema *s = peft_schema(t.peft);
        real *grad = arena_calloc(&t.golden.mem, t.count, sizeof *grad);
        tuned_loss(&t, &t.golden.batch, t.theta, grad, NULL);
        for (size_t k = 0; k < s->n; k++) {
            const struct tensor_spec *spec = &s->tensor[k];
            char name[256];
            double worst = 0, scale = 0;
            snprintf(name, sizeof name, "grad.%s", spec->name);
            const float *want = golden_floats(&t.golden, name);
            for (size_t j = 0; j < spec->count; j++) {
                worst = greater(worst, fabs((double)grad[spec->offset + j] - (double)want[j]));
                scale = greater(scale, fabs((double)want[j]));
            }
            cr_expect_gt(scale, 0);
            cr_expect_leq(worst, 1e-4 * scale, "%s: off by %g of %g", name, worst, scale);
        }
        tuned_close(&t);
    }
}

/* As train() of model_golden.py: even steps on the first half of the batch, odd ones on the rest.
 */
Test(golden, fifty_steps_follow_torch)
{
    enum { STEPS = 50 };
    for (int i = 0; i < GOLDEN_FAMILIES; i++) {
        struct tuned t;
        struct optim o;
        struct err e = {0};
        tuned_open(&t, golden_families[i]);
        const struct local_spec local = {.optimizer = OPTIMIZER_ADAMW,
                                         .schedule = SCHEDULE_LINEAR,
                                         .lr = 2e-3,
                                         .warmup = 0.1,
                                         .weight_decay = 0.01,
                                         .beta1 = 0.9,
                                         .beta2 = 0.999,
                                         .eps = 1e-8,
                                         .max_grad_norm = 1};
        int n = t.golden.batch.n;
        struct batch half[2] = {golden_part(&t.golden, 0, n / 2), golden_part(&t.golden, n / 2, n)};
        real *grad = arena_calloc(&t.golden.mem, t.count, sizeof *grad);
        const float *want = golden_floats(&t.golden, "losses");
        cr_assert_eq(optim_open(&o, peft_schema(t.peft), &local, &e), 0, "%s", e.text);
        for (uint32_t s = 0; s < STEPS; s++) {
            double loss = tuned_loss(&t, &half[s % 2], t.theta, grad, NULL);
            cr_expect_float_eq(loss, (double)want[s], 1e-3, "%s: step %u: loss %g, not %g",
                               golden_families[i], s, loss, (double)want[s]);
            optim_step(&o, t.theta, grad, (real)lr_at(&local, s, STEPS));
        }
        optim_close(&o);
        tuned_close(&t);
    }
}

/* Gradients of micro-batches add up to the batch's. */
Test(golden, micro_batches_add_up)
{
    struct tuned t;
    tuned_open(&t, "roberta");
    int n = t.golden.batch.n;
    struct batch part[2] = {golden_part(&t.golden, 0, 2), golden_part(&t.golden, 2, n)};
    real *whole = arena_calloc(&t.golden.mem, t.count, sizeof *whole);
    real *sum = arena_calloc(&t.golden.mem, t.count, sizeof *sum);
    real *grad = arena_calloc(&t.golden.mem, t.count, sizeof *grad);
    tuned_loss(&t, &t.golden.batch, t.theta, whole, NULL);
    for (int i = 0; i < 2; i++) {
        tuned_loss(&t, &part[i], t.theta, grad, NULL);
        for (size_t k = 0; k < t.count; k++)
            sum[k] += grad[k] * (real)part[i].n / (real)n;
    }
    for (size_t k = 0; k < t.count; k++)
        cr_assert_float_eq(sum[k], whole[k], 1e-5);
    tuned_close(&t);
}

Test(golden, model_dropout_replaces_the_models_own)
{
    static char method[] = "lora";
    const struct peft_spec spec = {.method = method, .r = 1, .alpha = 1, .targets = 1 << LIN_KEY};
    double loss[3];
    for (int i = 0; i < 3; i++) {
        struct tuned t;
        tuned_start(&t, "bert", &spec, 2, (double[]){-1, 0, 0.1}[i]);
        loss[i] = tuned_loss(&t, &t.golden.batch, t.theta, NULL, NULL);
        tuned_close(&t);
    }
    cr_expect_gt(fabs(loss[0] - loss[1]), 1e-4, "config.json has dropout");
    cr_expect_gt(fabs(loss[2] - loss[1]), 1e-4);
    cr_expect_gt(fabs(loss[2] - loss[0]), 1e-4, "the head's own is 0.3");
}

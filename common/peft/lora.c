/* LoRA (Hu et al. 2021): y = x W^T + b + s * (drop(x) A^T) B^T with s = alpha / r, or alpha /
 * sqrt(r) (rsLoRA, Kalajdzievski 2023). */
#include "nn/blas.h"
#include "peft/init.h"
#include "peft/method.h"
#include <math.h>
#include <string.h>

enum { LORA_MAX_RANK = 1024 };
static const double lora_max_alpha = 1e6;

static int add_pair(struct peft *p, int layer, enum linear_site site, struct err *e)
{
    int out, in, r = (int)p->spec.r;
    linear_site_dims(&p->model->cfg, site, &out, &in);
    int rc = peft_add(p, layer, site, ".lora_A.weight", r, in, e);
    return rc == 0 ? peft_add(p, layer, site, ".lora_B.weight", out, r, e) : rc;
}

static int lora_plan(struct peft *p, struct err *e)
{
    const struct peft_spec *s = &p->spec;
    if (s->r < 1 || s->r > LORA_MAX_RANK)
        return err_set(e, ERR_CONFIG, "peft.r is %u: must be from 1 to %d", s->r, LORA_MAX_RANK);
    if (!(s->alpha > 0 && s->alpha <= lora_max_alpha))
        return err_set(e, ERR_CONFIG, "peft.alpha is %g: must be above 0, at most %g", s->alpha,
                       lora_max_alpha);
    if (!(s->dropout >= 0 && s->dropout < 1))
        return err_set(e, ERR_CONFIG, "peft.dropout is %g: must be in [0, 1)", s->dropout);
    if (s->targets == 0 || s->targets >> LIN_SITES != 0)
        return err_set(e, ERR_CONFIG, "peft.targets names no linear layer: use query, value, ...");

    for (int layer = 0; layer < p->model->cfg.layers; layer++)
        for (int site = 0; site < LIN_SITES; site++) {
            int rc =
                (s->targets >> site & 1) != 0 ? add_pair(p, layer, (enum linear_site)site, e) : 0;
            if (rc != 0)
                return rc;
        }
    return 0;
}

/* A as torch's kaiming_uniform_(a = sqrt 5): U(-1/sqrt(in), 1/sqrt(in)); B = 0, so that training
 * starts at the base model. */
static void lora_init(const struct peft *p, uint64_t seed, real *theta)
{
    for (size_t i = 0; i < p->first_base; i += 2) {
        init_uniform(p, seed, i, p->schema.tensor[i].dim[1], theta);
        init_zero(p, i + 1, theta);
    }
}

static double scale_of(const struct peft_spec *s)
{
    return s->alpha / (s->rslora ? sqrt(s->r) : s->r);
}

static void lora_linear(const struct peft *p, struct tape *t, const real *theta, real *grad,
                        int layer, enum linear_site site, struct val *x, struct val *y)
{
    size_t i;
    if (!peft_at(p, layer, site, &i))
        return;
    struct val *A = peft_param(p, t, i, theta, grad);
    struct val *B = peft_param(p, t, i + 1, theta, grad);
    struct val *u = op_linear(t, op_dropout(t, x, (real)p->spec.dropout), A, NULL);
    op_linear_add(t, y, u, B, (real)scale_of(&p->spec));
}

static bool lora_merge(const struct peft *p, const real *theta, const struct base_tensor *t,
                       real *W)
{
    size_t i;
    if (t->role != ROLE_WEIGHT || t->site < 0 ||
        !peft_at(p, t->layer, (enum linear_site)t->site, &i))
        return false;
    const struct tensor_spec *A = &p->schema.tensor[i], *B = &p->schema.tensor[i + 1];
    int r = (int)A->dim[0], in = (int)A->dim[1], out = (int)B->dim[0];
    blas_gemm(BLAS_AS_IS, BLAS_AS_IS, out, in, r, (real)scale_of(&p->spec), theta + B->offset, r,
              theta + A->offset, in, 1, W, in);
    return true;
}

const struct peft_method peft_lora = {
    .name = "lora",
    .what = "low-rank updates beside frozen linear layers (Hu et al. 2021)",
    .settings = "r alpha dropout rslora targets",
    .plan = lora_plan,
    .init = lora_init,
    .linear = lora_linear,
    .merge = lora_merge,
};

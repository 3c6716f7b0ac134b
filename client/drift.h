/* What keeps a client's training from drifting off to its own data alone. FedProx (Li et al. 2020,
 * algorithm 2) adds mu / 2 * |theta - theta_0|^2 to the loss: it pulls back to where the round
 * began. SCAFFOLD (Karimireddy et al. 2020, algorithm 1) adds c - c_i to each gradient: the
 * difference between what all clients' gradients are like and what this client's are.
 *
 * Both change the gradient before the optimiser clips it and makes its step of it, and act only on
 * tensors that travel.
 *
 * The new control variate is the paper's option II, c_i - c + (x - y) / (K * lr), written as what
 * that equals for plain SGD: the mean of the client's own gradients, before correction, weighted by
 * the learning rates of their steps. So it stays a gradient under AdamW, clipping, decay and
 * FedProx too, where (x - y) / (K * lr) would be a mean of steps in another unit. */
#ifndef CLIENT_DRIFT_H
#define CLIENT_DRIFT_H

#include "base/err.h"
#include "base/tensorset.h"

struct drift {
    const struct schema *schema;
    float proximal;            /* mu; 0: no FedProx */
    const float *start;        /* theta_0, schema->count */
    const float *server, *own; /* c and c_i, schema->count; NULL: no SCAFFOLD */
    float *mean;               /* c_i+, so far */
    double weight;             /* sum of the learning rates behind it */
};

/* All vectors are borrowed; server and own are given both or neither. ERR_NOMEM. */
int drift_open(struct drift *d, const struct schema *schema, double proximal, const float *start,
               const float *server, const float *own, struct err *e) MUST_CHECK;
void drift_close(struct drift *d);

/* Corrects the gradient of the loss at theta, which the optimiser is about to use at learning rate
 * lr. */
void drift_correct(struct drift *d, const float *theta, float *grad, double lr);
/* SCAFFOLD only, after the last step: own becomes c_i+, delta c_i+ - c_i; `own` is the vector given
 * to drift_open. Both stay 0 in tensors that do not travel. */
void drift_finish(const struct drift *d, float *own, float *delta);

#endif

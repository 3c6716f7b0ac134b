/* Who owns which training example in a simulated federation. A pure function of labels (or owners),
 * settings and seed. */
#ifndef SIM_PARTITION_H
#define SIM_PARTITION_H

#include "base/err.h"
#include "base/spec.h"
#include "text/dataset.h"
#include <stddef.h>
#include <stdint.h>

/* Client k owns examples index[off[k]) .. index[off[k+1]), ascending. Every example has exactly one
 * owner. */
struct partition {
    uint32_t clients;
    uint32_t *index; /* n */
    size_t *off;     /* clients + 1 */
};

/* By federation->partition:
 *
 * - iid: a random permutation, cut into parts whose sizes differ by at most one.
 * - dirichlet: label skew with equal sizes, as FedPETuning does it (inherited from FedNLP, Lin et
 *   al. 2022): client k draws its label mix from Dirichlet(alpha * p), p the label shares of the
 *   whole set, and takes floor(n / clients) examples after that mix; a label that has run out is
 *   made up for from the others in proportion to what they have left; the last client takes what
 *   remains. alpha is the sum of the concentration vector, not the concentration of one label.
 * - label: each client has one label; labels get clients in proportion to their examples, at least
 *   one, and a label's clients share its examples evenly.
 * - quantity: labels as they come, sizes by Dirichlet(alpha, ..., alpha) over the clients, at least
 *   one example each; the smaller alpha, the more unequal.
 * - column: examples of one owner (dataset column) stay together; owners go, largest first, to the
 *   client with the fewest examples.
 *
 * ERR_CONFIG: more clients than examples (or owners), fewer than labels, labels asked of a task
 * without classes, no owners; ERR_NOMEM. */
int partition_open(struct partition *p, const struct dataset *d, const struct federation_spec *f,
                   struct err *e) MUST_CHECK;
void partition_close(struct partition *p);

/* Shares another set of the same classes among the clients of p, a partition of `owned`: in
 * proportion to their sizes there, with their label mixes as far as the labels last. A client may
 * get none. ERR_NOMEM. */
int partition_share(struct partition *out, const struct dataset *d, const struct partition *p,
                    const struct dataset *owned, uint64_t seed, struct err *e) MUST_CHECK;

/* The name of client k: "client-00042". It ends in its number, which names its random streams
 * (server/select.h). */
enum { PARTITION_NAME = 32 };
void partition_client_name(uint32_t k, char out[PARTITION_NAME]);

/* How unequal the clients' label mixes are: share of clients with one label only, mean share of a
 * client's most frequent label, and the mean over pairs of clients of the square root of the
 * Jensen-Shannon divergence (natural logarithm). */
struct skew {
    double single_label, majority, js;
};
/* n_labels >= 2. ERR_NOMEM. */
int partition_skew(const struct partition *p, const struct dataset *d, struct skew *out,
                   struct err *e) MUST_CHECK;

#endif

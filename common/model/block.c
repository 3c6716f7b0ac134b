#include "model/model.h"

struct val *block_norm(struct tape *t, struct val *x, struct val *h, const struct block_norm *n)
{
    return op_add_norm(t, x, h, n->dropout, n->gain, n->bias, n->eps);
}

/* The head alone on a frozen encoder: the least that can be trained, and a lower bound. */
#include "peft/method.h"

const struct peft_method peft_head = {
    .name = "head",
    .what = "the classification head alone",
};

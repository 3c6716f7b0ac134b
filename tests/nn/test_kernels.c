/* Which kernels the programs move to, and that these programs did: tests/kernels.c. */
#include "nn/kernels.h"
#include <criterion/criterion.h>
#include <stdlib.h>

Test(kernels, narrower_ones_than_the_processor_can_use_are_replaced)
{
    static const struct {
        const char *in_use;
        enum kernels_width width;
        const char *better;
    } known[] = {
        {"Prescott", KERNELS_AVX512, "SkylakeX"}, {"Prescott", KERNELS_AVX2, "Haswell"},
        {"Prescott", KERNELS_SSE, NULL},          {"sandybridge", KERNELS_AVX2, "Haswell"},
        {"Haswell", KERNELS_AVX512, "SkylakeX"},  {"Haswell", KERNELS_AVX2, NULL},
        {"Zen", KERNELS_AVX512, "SkylakeX"},      {"Zen", KERNELS_AVX2, NULL},
        {"SkylakeX", KERNELS_AVX512, NULL},       {"Cooperlake", KERNELS_AVX512, NULL},
        {"SomethingNew", KERNELS_AVX512, NULL},   {"Haswell", KERNELS_SSE, NULL},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const char *better = kernels_better(known[i].in_use, known[i].width);
        if (known[i].better == NULL)
            cr_expect_null(better, "%s", known[i].in_use);
        else
            cr_expect_str_eq(better, known[i].better, "%s", known[i].in_use);
    }
}

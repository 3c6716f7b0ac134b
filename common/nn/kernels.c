#include "nn/kernels.h"
#include <cblas.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#define VARIABLE "OPENBLAS_CORETYPE"

/* Kernels of OpenBLAS (driver/others/dynamic.c) that are narrower than AVX-512. */
static const struct {
    const char *name;
    enum kernels_width width;
} narrow[] = {
    {"Katmai", KERNELS_SSE},       {"Coppermine", KERNELS_SSE},  {"Northwood", KERNELS_SSE},
    {"Prescott", KERNELS_SSE},     {"Banias", KERNELS_SSE},      {"Atom", KERNELS_SSE},
    {"Core2", KERNELS_SSE},        {"Penryn", KERNELS_SSE},      {"Dunnington", KERNELS_SSE},
    {"Nehalem", KERNELS_SSE},      {"Athlon", KERNELS_SSE},      {"Opteron", KERNELS_SSE},
    {"Opteron_SSE3", KERNELS_SSE}, {"Barcelona", KERNELS_SSE},   {"Nano", KERNELS_SSE},
    {"Bobcat", KERNELS_SSE},       {"Sandybridge", KERNELS_SSE}, {"Bulldozer", KERNELS_SSE},
    {"Piledriver", KERNELS_SSE},   {"Steamroller", KERNELS_SSE}, {"Excavator", KERNELS_SSE},
    {"generic", KERNELS_SSE},      {"Haswell", KERNELS_AVX2},    {"Zen", KERNELS_AVX2},
};

const char *kernels_better(const char *in_use, enum kernels_width width)
{
    /* The younger names with AVX-512 (Cooperlake, SapphireRapids) have SkylakeX's float kernels;
     * Debian 12's OpenBLAS does not take them as a choice. */
    static const char *const best[] = {NULL, "Haswell", "SkylakeX"};

    for (size_t i = 0; i < sizeof narrow / sizeof *narrow; i++)
        if (strcasecmp(in_use, narrow[i].name) == 0 && narrow[i].width < width)
            return best[width];
    return NULL;
}

static enum kernels_width processor_width(void)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        return KERNELS_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return KERNELS_AVX2;
#endif
    return KERNELS_SSE;
}

const char *kernels_in_use(void)
{
    return openblas_get_corename();
}

void kernels_choose(char **argv)
{
    const char *better = kernels_better(kernels_in_use(), processor_width());
    char self[PATH_MAX];

    if (getenv(VARIABLE) != NULL || better == NULL)
        return;
    /* By its path: executed through the link itself, the process would be called "exe". */
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0 || setenv(VARIABLE, better, 1) != 0)
        return;
    self[n] = '\0';
    execv(self, argv);
    unsetenv(VARIABLE); /* the children may succeed */
}

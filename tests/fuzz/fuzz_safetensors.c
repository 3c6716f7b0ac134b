/* safetensors files out of any bytes; every tensor of an accepted file is read to its end. */
#include "scratch.h"

#include "model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct safetensors st;
    struct err e = {0};
    int rc = safetensors_open(&st, scratch_write(0, "fuzz.safetensors", data, size), &e);
    if (rc) {
        if (!e.text[0])
            abort();
        return 0;
    }
    for (size_t i = 0; i < st.n; i++) {
        const struct st_tensor *t = &st.tensor[i];
        if (safetensors_find(&st, t->name) != t)
            abort();
        volatile unsigned char last = t->bytes ? t->raw[t->bytes - 1] : 0;
        (void)last;
        float *x = malloc(t->count * sizeof *x + 1);
        if (x && st_tensor_floats(t, x, &e) && st_tensor_is_real(t))
            abort();
        free(x);
    }
    safetensors_close(&st);
    return 0;
}

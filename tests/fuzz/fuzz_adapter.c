/* Adapter directories in every format. The input: adapter_config.json, head_config.json,
 * fedpet.json and two safetensors files, each behind its length (4 bytes, little-endian). What is
 * accepted is opened on a model of the right family and loaded. */
#include "scratch.h"

#include "peft/peft.h"

static const char *const names[] = {"adapter_config.json", "head_config.json", "fedpet.json",
                                    "model_head.safetensors", "adapter.safetensors"};
enum { NAMES = sizeof names / sizeof *names, HIDDEN = 8, FFN = 16, POSITIONS = 32, VOCAB = 10 };

/* Cuts the input into the files; an empty one is not there. */
static void write_files(const uint8_t *data, size_t size)
{
    for (int i = 0; i < NAMES; i++) {
        uint32_t n = 0;
        if (size >= sizeof n) {
            memcpy(&n, data, sizeof n);
            data += sizeof n;
            size -= sizeof n;
        }
        if (n > size)
            n = (uint32_t)size;
        const char *path = scratch_write(i, names[i], data, n);
        if (n == 0)
            unlink(path);
        data += n;
        size -= n;
    }
    /* The other formats call the values otherwise. */
    char other[SCRATCH_PATH];
    snprintf(other, sizeof other, "%.60s/adapter_model.safetensors", scratch_open());
    unlink(other);
    if (link(scratch_file[NAMES - 1], other) == 0)
        memcpy(scratch_file[NAMES], other, sizeof other);
}

/* A model of one layer without weights: its schema is all that loading asks for. */
static void load(const char *dir, enum family family, const struct peft_spec *spec,
                 const struct adapter_info *info)
{
    const struct model m = {.cfg = {.family = family,
                                    .layers = 1,
                                    .hidden = HIDDEN,
                                    .heads = 2,
                                    .ffn = FFN,
                                    .vocab = VOCAB,
                                    .positions = POSITIONS,
                                    .types = 2}};
    struct peft *p;
    struct err e = {0};
    if (peft_open(&p, &m, spec, NULL, info->head, info->n_labels, &e)) {
        if (!e.text[0])
            abort();
        return;
    }
    float *theta = calloc(peft_schema(p)->count, sizeof *theta);
    if (theta && peft_load(p, dir, theta, &e) && !e.text[0])
        abort();
    free(theta);
    peft_close(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct peft_spec spec;
    struct adapter_info info;
    struct arena mem;
    struct err e = {0};
    write_files(data, size);
    arena_init(&mem, 1 << 20);
    if (peft_read_config(scratch_dir, &mem, &spec, &info, &e) == 0) {
        if (!spec.method || !info.format || info.n_labels == 0)
            abort();
        for (int f = FAMILY_BERT; f <= FAMILY_DISTILBERT; f++)
            load(scratch_dir, (enum family)f, &spec, &info);
    } else if (!e.text[0]) {
        abort();
    }
    arena_release(&mem);
    return 0;
}

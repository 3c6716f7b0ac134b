#include "codec/coding.h"
#include "codec/codec.h"
#include <stdio.h>
#include <string.h>

static const struct codec *const codecs[CODING_ZSTD] = {
#define CODEC_ENTRY(number, name) [number] = &codec_##name,
    CODECS(CODEC_ENTRY)
#undef CODEC_ENTRY
};

const struct codec *coding_codec(uint32_t coding)
{
    return coding < CODINGS ? codecs[coding % CODING_ZSTD] : NULL;
}

uint64_t coding_known(void)
{
    uint64_t known = (uint64_t)1 << CODING_ZSTD;
    for (unsigned i = 0; i < CODING_ZSTD; i++)
        if (codecs[i] != NULL)
            known |= (uint64_t)1 << i;
    return known;
}

bool coding_within(uint64_t known, uint32_t coding)
{
    if (coding == CODING_PLAIN)
        return true;
    uint64_t needs = (uint64_t)1 << coding % CODING_ZSTD;
    if (coding >= CODING_ZSTD)
        needs |= (uint64_t)1 << CODING_ZSTD;
    return coding < CODINGS && (known & needs) == needs;
}

/* NULL stands for what there was before there were names. */
static bool find(const char *name, uint32_t *number)
{
    for (uint32_t i = 0; i < CODING_ZSTD; i++) {
        if (codecs[i] != NULL && strcmp(codecs[i]->name, name != NULL ? name : "fp32") == 0) {
            *number = i;
            return true;
        }
    }
    return false;
}

static int unknown(const char *key, const char *name, struct err *e)
{
    char known[256] = "";
    size_t len = 0;
    for (uint32_t i = 0; i < CODING_ZSTD; i++)
        if (codecs[i] != NULL && len < sizeof known)
            len += (size_t)snprintf(known + len, sizeof known - len, " %s", codecs[i]->name);
    return err_set(e, ERR_CONFIG, "federation.%s: no encoding is called \"%.64s\"; there are:%s",
                   key, name, known);
}

int coding_plan(const struct federation_spec *f, struct coding_plan *out, struct err *e)
{
    uint32_t up, down, zstd = f->zstd ? CODING_ZSTD : 0;
    if (!find(f->upload, &up))
        return unknown("upload", f->upload, e);
    if (!find(f->download, &down))
        return unknown("download", f->download, e);
    if (codecs[down]->feedback)
        return err_set(e, ERR_CONFIG,
                       "federation.download: %s leaves values out, which only updates can: "
                       "choose fp16, say",
                       f->download);
    *out = (struct coding_plan){up + zstd, down + zstd, CODING_PLAIN + zstd};
    return 0;
}

uint32_t coding_upload(const struct federation_spec *f)
{
    uint32_t up;
    if (!find(f->upload, &up))
        up = CODING_PLAIN;
    return f->zstd ? up + CODING_ZSTD : up;
}

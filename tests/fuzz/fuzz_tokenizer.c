/* tokenizer.json out of any bytes up to the first NUL, and the rest as text for it. */
#include "scratch.h"

#include "text/tokenizer.h"

enum { MAX_LENGTH = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char fallback[] = "hello, w\xc3\xb6rld 123";
    struct tokenizer *t;
    struct encoding out = {0};
    struct err e = {0};
    const uint8_t *nul = memchr(data, 0, size);
    size_t json = nul ? (size_t)(nul - data) : size;
    scratch_write(0, "tokenizer.json", data, json);
    if (tokenizer_open(&t, scratch_open(), &e)) {
        if (!e.text[0])
            abort();
        return 0;
    }
    const char *text = nul ? (const char *)nul + 1 : fallback;
    size_t len = nul ? size - json - 1 : sizeof fallback - 1;
    if (tokenizer_encode(t, text, len, NULL, 0, MAX_LENGTH, &out, &e) == 0) {
        if (out.n > MAX_LENGTH)
            abort();
        for (size_t i = 0; i < out.n; i++)
            if (out.id[i] < 0)
                abort();
    }
    if (tokenizer_encode(t, text, len / 2, text + len / 2, len - len / 2, MAX_LENGTH, &out, &e) ==
            0 &&
        out.n > MAX_LENGTH)
        abort();
    encoding_release(&out);
    tokenizer_close(t);
    return 0;
}

/* Frames out of any bytes: whatever the split, the same frames or the same refusal, and never a
 * byte beyond the input. First byte: the size of the pieces. */
#include "net/frame.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t limit(void *ctx, uint8_t type)
{
    (void)ctx;
    return type < 8 ? 64 : type < 16 ? 4096 : 0;
}

/* Whether the bytes are in order; adds up what the frames hold. */
static int read_all(const uint8_t *data, size_t size, size_t step, uint64_t *sum)
{
    struct buf in;
    int rc = 0;
    buf_init(&in, size + 1);
    for (size_t at = 0; at < size && !rc; at += step) {
        bool ready = true;
        if (buf_append(&in, data + at, size - at < step ? size - at : step))
            abort();
        while (ready && !rc) {
            struct frame f;
            rc = frame_next(&in, limit, NULL, &f, &ready, NULL);
            if (rc || !ready)
                break;
            for (size_t i = 0; i < f.len; i++)
                *sum = *sum * 31 + f.payload[i];
            *sum = *sum * 31 + f.type;
            buf_consume(&in, FRAME_HEADER + f.len);
        }
    }
    buf_release(&in);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t whole = 0, pieces = 0;
    if (size < 2)
        return 0;
    int a = read_all(data + 1, size - 1, size, &whole);
    int b = read_all(data + 1, size - 1, 1u + data[0], &pieces);
    if (a != b || whole != pieces)
        abort();
    return 0;
}

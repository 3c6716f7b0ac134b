/* Messages out of any bytes. First byte: the type. What is accepted must have one form: encoded
 * again and decoded again it gives the same bytes. Memory stays below the cap by the arena's own
 * count. */
#include "proto/msg.h"

#include <stdlib.h>
#include <string.h>

enum { SLACK = 64 << 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_stable(const struct msg *m)
{
    struct buf first, second;
    struct arena mem;
    struct msg again;
    struct err e;
    buf_init(&first, SIZE_MAX);
    buf_init(&second, SIZE_MAX);
    if (msg_encode(m, &first))
        abort();
    size_t n = buf_size(&first);
    arena_init(&mem, n + SLACK);
    if (msg_decode(m->type, buf_bytes(&first), n, &mem, &again, &e) || msg_encode(&again, &second))
        abort();
    if (buf_size(&second) != n || (n && memcmp(buf_bytes(&first), buf_bytes(&second), n) != 0))
        abort();
    arena_release(&mem);
    buf_release(&first);
    buf_release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena mem;
    struct msg m;
    struct err e = {0};
    if (size < 1)
        return 0;
    arena_init(&mem, size - 1 + SLACK);
    int rc = msg_decode((enum msg_type)data[0], data + 1, size - 1, &mem, &m, &e);
    if (rc == 0)
        check_stable(&m);
    else if (rc != ERR_PROTO || !e.text[0])
        abort();
    arena_release(&mem);
    return 0;
}

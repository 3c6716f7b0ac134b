#include "server/spool.h"
#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BLOCK_VALUES = 1 << 20,
    ROW_VALUES = 1 << 10, /* of a block, at least: a read is not to be all system call */
};

struct spool {
    int fd;
    size_t rows, n;
    size_t width; /* of a block */
    size_t there;
    bool *has; /* of each row */
    float *block;
};

static size_t block_width(size_t rows, size_t n)
{
    size_t width = BLOCK_VALUES / rows;
    width = width < ROW_VALUES ? ROW_VALUES : width;
    return width < n ? width : n;
}

static int fail(const char *doing, int error, struct err *e)
{
    return err_set(e, ERR_IO,
                   "cannot %s the file of a round's updates: %s; TMPDIR names its folder", doing,
                   strerror(error));
}

static int create(struct spool *s, struct err *e)
{
    int rc = file_nameless(&s->fd, e);
    if (rc != 0)
        return err_wrap(e, "the file of a round's updates");
    if (s->rows > (size_t)INT64_MAX / sizeof(float) / s->n)
        return fail("make room in", EFBIG, e);
    int error = posix_fallocate(s->fd, 0, (off_t)(s->rows * s->n * sizeof(float)));
    return error != 0 ? fail("make room in", error, e) : 0;
}

int spool_open(struct spool **out, size_t rows, size_t n, struct err *e)
{
    struct spool *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(e, ERR_NOMEM, "no memory to set updates aside");
    *s = (struct spool){.fd = -1, .rows = rows, .n = n, .width = block_width(rows, n)};
    s->has = calloc(rows, sizeof *s->has);
    s->block = calloc(rows, s->width * sizeof *s->block);
    int rc = 0;
    if (s->has == NULL || s->block == NULL)
        rc = err_set(e, ERR_NOMEM, "no memory to set %zu updates aside", rows);
    if (rc == 0)
        rc = create(s, e);
    if (rc != 0) {
        spool_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void spool_close(struct spool *s)
{
    if (s == NULL)
        return;
    if (s->fd >= 0)
        close(s->fd);
    free(s->has);
    free(s->block);
    free(s);
}

void spool_clear(struct spool *s)
{
    memset(s->has, 0, s->rows * sizeof *s->has);
    s->there = 0;
}

static off_t offset(const struct spool *s, size_t row, size_t first)
{
    return (off_t)((row * s->n + first) * sizeof(float));
}

int spool_put(struct spool *s, size_t row, const float *x, struct err *e)
{
    const char *bytes = (const char *)x;
    size_t len = s->n * sizeof *x;
    off_t at = offset(s, row, 0);
    while (len > 0) {
        ssize_t n = pwrite(s->fd, bytes, len, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail("write", n < 0 ? errno : ENOSPC, e);
        bytes += n;
        at += n;
        len -= (size_t)n;
    }
    s->has[row] = true;
    s->there++;
    return 0;
}

size_t spool_rows(const struct spool *s)
{
    return s->there;
}

static int read_values(const struct spool *s, float *out, size_t n, off_t at, struct err *e)
{
    char *bytes = (char *)out;
    size_t len = n * sizeof *out;
    while (len > 0) {
        ssize_t got = pread(s->fd, bytes, len, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return fail("read", got < 0 ? errno : EIO, e);
        bytes += got;
        at += got;
        len -= (size_t)got;
    }
    return 0;
}

int spool_next(struct spool *s, struct spool_block *b, struct err *e)
{
    size_t first = b->first + b->n, left = s->n - first;
    size_t n = left < s->width ? left : s->width;
    size_t k = 0;
    for (size_t row = 0; row < s->rows && n > 0; row++) {
        if (!s->has[row])
            continue;
        int rc = read_values(s, s->block + k++ * n, n, offset(s, row, first), e);
        if (rc != 0)
            return rc;
    }
    *b = (struct spool_block){first, n, s->there, s->block};
    return 0;
}

#include "client/fetch_file.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { CHUNK = 1 << 16 };

/* A part file that is being written. */
struct part {
    const struct fetch_file *file;
    struct fetch_digest *digest; /* of its bytes so far */
    uint64_t at;                 /* how many they are */
    int fd;
};

static int open_lock(const char *path, int *fd, struct err *e)
{
    *fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0644);
    if (*fd < 0 && errno == EISDIR)
        *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return err_sys(e, ERR_IO, errno, "cannot open %s", path);
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        log_info("waiting for another process that fetches the same lock=%s", path);
    while (flock(*fd, LOCK_EX) != 0) {
        if (errno == EINTR)
            continue;
        int number = errno;
        close(*fd);
        return err_sys(e, ERR_IO, number, "cannot lock %s", path);
    }
    return 0;
}

/* Feeds the file's first bytes, at most `most`, to the digest, and says how many there were. */
static int digest_file(int fd, const char *path, uint64_t most, struct fetch_digest *d,
                       uint64_t *count, struct err *e)
{
    unsigned char chunk[CHUNK];
    uint64_t done = 0;
    while (done < most) {
        size_t want = most - done < CHUNK ? (size_t)(most - done) : CHUNK;
        ssize_t got = read(fd, chunk, want);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(e, ERR_IO, errno, "cannot read %s", path);
        if (got == 0)
            break;
        fetch_digest_feed(d, chunk, (size_t)got);
        done += (uint64_t)got;
    }
    *count = done;
    return 0;
}

/* Whether the finished file is there and right. */
static int is_there(const struct fetch_file *f, bool *right, struct err *e)
{
    struct stat st;
    uint64_t count = 0;
    int rc = 0, fd = open(f->path, O_RDONLY | O_CLOEXEC);
    *right = false;
    if (fd < 0)
        return errno == ENOENT ? 0 : err_sys(e, ERR_IO, errno, "cannot open %s", f->path);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == f->size) {
        struct fetch_digest *d = fetch_digest_begin(f->sum.kind, f->size);
        rc = digest_file(fd, f->path, f->size, d, &count, e);
        bool same = fetch_digest_end(d, &f->sum);
        *right = !rc && same;
    }
    close(fd);
    return rc;
}

static int part_restart(struct part *p, struct err *e)
{
    if (ftruncate(p->fd, 0) != 0 || lseek(p->fd, 0, SEEK_SET) != 0)
        return err_sys(e, ERR_IO, errno, "cannot write %s", p->file->part);
    if (p->digest)
        fetch_digest_end(p->digest, &p->file->sum);
    p->digest = fetch_digest_begin(p->file->sum.kind, p->file->size);
    p->at = 0;
    return 0;
}

static void part_close(struct part *p)
{
    if (p->digest)
        fetch_digest_end(p->digest, &p->file->sum);
    p->digest = NULL;
    close(p->fd);
}

static int part_open(struct part *p, const struct fetch_file *f, struct err *e)
{
    struct stat st;
    *p = (struct part){.file = f};
    p->fd = open(f->part, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (p->fd < 0)
        return err_sys(e, ERR_IO, errno, "cannot write %s", f->part);
    int rc = fstat(p->fd, &st) == 0 ? 0 : err_sys(e, ERR_IO, errno, "cannot examine %s", f->part);
    if (!rc && (uint64_t)st.st_size > f->size)
        rc = part_restart(p, e);
    if (!rc && !p->digest) {
        p->digest = fetch_digest_begin(f->sum.kind, f->size);
        rc = digest_file(p->fd, f->part, f->size, p->digest, &p->at, e);
    }
    if (rc)
        part_close(p);
    return rc;
}

static int check_space(const struct part *p, struct err *e)
{
    struct statvfs fs;
    uint64_t need = p->file->size - p->at;
    if (fstatvfs(p->fd, &fs) != 0 || need / fs.f_frsize < fs.f_bavail)
        return 0; /* what a file system does not say, writing will tell */
    return err_sys(e, ERR_IO, ENOSPC, "%s needs %" PRIu64 " MB more", p->file->path,
                   (need + 999999) / 1000000);
}

static int part_seek(void *ctx, uint64_t offset, struct err *e)
{
    struct part *p = ctx;
    return offset == p->at ? 0 : part_restart(p, e);
}

static int part_write(void *ctx, const void *bytes, size_t n, struct err *e)
{
    struct part *p = ctx;
    const unsigned char *from = bytes;
    while (n > 0) {
        ssize_t put = write(p->fd, from, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return err_sys(e, ERR_IO, errno, "cannot write %s", p->file->part);
        fetch_digest_feed(p->digest, from, (size_t)put);
        p->at += (uint64_t)put;
        from += put;
        n -= (size_t)put;
    }
    return 0;
}

static int fill_part(struct fetch_http *h, struct part *p, struct err *e)
{
    const struct fetch_watch *watch = fetch_http_watch(h);
    const struct fetch_sink sink = {p, part_seek, part_write};
    struct fetch_reply reply;
    uint64_t left = p->file->size - p->at;
    if (left == 0)
        return 0;
    int rc = check_space(p, e);
    if (rc)
        return rc;
    if (watch->begin)
        watch->begin(watch->ctx, p->file->name, left);
    rc = fetch_http_body(h, p->file->url, p->at, p->file->size, &sink, &reply, e);
    if (rc)
        return rc;
    if (reply.status != 200 && reply.status != 206)
        return fetch_http_refused(&reply, p->file->url, e);
    return 0;
}

/* The data must be on the disk before the name is: a name vouches for the bytes. */
static int part_finish(struct part *p, struct err *e)
{
    if (fsync(p->fd) != 0 || rename(p->file->part, p->file->path) != 0)
        return err_sys(e, ERR_IO, errno, "cannot write %s", p->file->path);
    return 0;
}

/* One try from what the part file holds. ERR_PROTO and *resumed: its old bytes may be the fault. */
static int fetch_once(struct fetch_http *h, const struct fetch_file *f, bool *resumed,
                      struct err *e)
{
    struct part p;
    int rc = part_open(&p, f, e);
    if (rc)
        return rc;
    *resumed = p.at > 0;
    rc = fill_part(h, &p, e);
    if (!rc) {
        bool right = fetch_digest_end(p.digest, &f->sum);
        p.digest = NULL;
        if (right) {
            rc = part_finish(&p, e);
        } else {
            unlink(f->part);
            rc = err_set(e, ERR_PROTO,
                         "%s: the bytes that %s sent have not the checksum %s; try again later, or "
                         "ask whoever keeps the server",
                         f->name, f->url, f->sum.hex);
        }
    }
    part_close(&p);
    return rc;
}

int fetch_file(struct fetch_http *h, const struct fetch_file *f, bool *fetched, struct err *e)
{
    bool there, resumed = false;
    int lock, rc = open_lock(f->lock, &lock, e);
    if (rc)
        return rc;
    rc = is_there(f, &there, e);
    if (!rc && !there) {
        rc = fetch_once(h, f, &resumed, e);
        if (rc == ERR_PROTO && resumed)
            rc = fetch_once(h, f, &resumed, e);
    }
    if (!rc)
        *fetched = !there;
    close(lock);
    return rc;
}

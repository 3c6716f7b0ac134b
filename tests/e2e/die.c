/* Kills a program at a point that a shell script cannot aim at. Preloaded, FEDPET_DIE=CALL:N ends
 * it as kill -9 does, just before its N-th CALL: a sync, a rename, a write to the database, a write
 * to any file or socket; ms:N ends it N milliseconds after its start. So it dies between any two
 * steps that somebody else could see.
 *
 * And while the file that FEDPET_FULL names is there, the database gets no space; while that of
 * FEDPET_READONLY is, the disk takes no write to the database, no rename and no sync, and says so
 * when it is asked. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

static char point[32];
static atomic_long left;

static void set_timer(long ms)
{
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
    const struct itimerspec when = {.it_value = {ms / 1000, ms % 1000 * 1000000}};
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0)
        timer_settime(timer, 0, &when, NULL);
}

__attribute__((constructor)) static void begin(void)
{
    const char *wish = getenv("FEDPET_DIE");
    long n = 0;
    if (!wish || sscanf(wish, "%31[a-z]:%ld", point, &n) != 2)
        return;
    if (strcmp(point, "ms") == 0)
        set_timer(n);
    atomic_store(&left, n);
}

static bool is_there(const char *variable)
{
    const char *path = getenv(variable);
    return path && faccessat(AT_FDCWD, path, F_OK, 0) == 0;
}

/* Whether the call goes on, to be made. */
static bool passes(const char *call)
{
    if (strcmp(point, call) == 0 && atomic_fetch_sub(&left, 1) == 1)
        kill(getpid(), SIGKILL);
    bool no_space = strcmp(call, "pwrite") == 0 && is_there("FEDPET_FULL");
    if (!no_space && (strcmp(call, "write") == 0 || !is_there("FEDPET_READONLY")))
        return true;
    errno = no_space ? ENOSPC : EROFS;
    return false;
}

/* The next definition of a function in the order of loading; its type goes through memory, since C
 * has no cast from an object's pointer to a function's. */
#define FORWARD(name, call, result, parameters, arguments)                                         \
    EXPORTED result name parameters;                                                               \
    result name parameters                                                                         \
    {                                                                                              \
        static result(*_Atomic next) parameters;                                                   \
        if (!next) {                                                                               \
            void *found = dlsym(RTLD_NEXT, #name);                                                 \
            result(*f) parameters;                                                                 \
            memcpy(&f, &found, sizeof f);                                                          \
            next = f;                                                                              \
        }                                                                                          \
        return passes(call) ? next arguments : -1;                                                 \
    }

FORWARD(fsync, "fsync", int, (int fd), (fd))
FORWARD(fdatasync, "fdatasync", int, (int fd), (fd))
FORWARD(rename, "rename", int, (const char *from, const char *to), (from, to))
FORWARD(pwrite, "pwrite", ssize_t, (int fd, const void *b, size_t n, off_t o), (fd, b, n, o))
FORWARD(pwrite64, "pwrite", ssize_t, (int fd, const void *b, size_t n, off64_t o), (fd, b, n, o))
FORWARD(write, "write", ssize_t, (int fd, const void *b, size_t n), (fd, b, n))
FORWARD(writev, "write", ssize_t, (int fd, const struct iovec *v, int n), (fd, v, n))
FORWARD(sendmsg, "write", ssize_t, (int fd, const struct msghdr *m, int flags), (fd, m, flags))

EXPORTED int access(const char *path, int mode);
int access(const char *path, int mode)
{
    if ((mode & W_OK) == 0 || !is_there("FEDPET_READONLY"))
        return faccessat(AT_FDCWD, path, mode, 0);
    errno = EROFS;
    return -1;
}

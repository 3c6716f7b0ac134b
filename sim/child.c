#include "sim/child.h"
#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STOP_POLL_MS = 20, STOP_PATIENCE_MS = 10000, TAIL_BYTES = 512 };

int child_program(const char *name, char *out, size_t size, struct err *e)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0)
        return err_sys(e, ERR_IO, errno, "cannot tell where fedpet-sim is");
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    int rc = file_join(out, size, self, name, e);
    if (!rc && access(out, X_OK) != 0)
        rc = err_set(e, ERR_IO, "%s: not there; the three programs belong in one folder", out);
    return rc;
}

/* Becomes the program; only async-signal-safe calls between fork and exec. */
static void become(char *const *argv, int out, int err, pid_t parent, const sigset_t *mask)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    sigprocmask(SIG_SETMASK, mask, NULL);
    if (getppid() != parent) /* the parent died before PDEATHSIG was set */
        _exit(127);
    int null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
        _exit(127);
    setpgid(0, 0); /* a Ctrl-C at the terminal is the parent's to handle */
    execv(argv[0], argv);
    _exit(127);
}

static pid_t spawn(char *const *argv, int out, int err)
{
    /* Held back until the child has let go of our handlers, which would swallow them. */
    sigset_t stops, mask;
    sigemptyset(&stops);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGTERM);
    sigprocmask(SIG_BLOCK, &stops, &mask);
    pid_t self = getpid(), pid = fork();
    if (pid == 0)
        become(argv, out, err, self, &mask);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    return pid;
}

static int open_log(const char *path, struct err *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        err_sys(e, ERR_IO, errno, "%s", path);
    return fd;
}

/* The last part of a path. */
static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

int child_start(struct child *c, char *const *argv, const char *log, struct err *e)
{
    int fd = open_log(log, e);
    if (fd < 0)
        return ERR_IO;
    pid_t pid = spawn(argv, fd, fd);
    int no = errno;
    close(fd);
    if (pid < 0)
        return err_sys(e, ERR_INTERNAL, no, "cannot start %s", argv[0]);
    c->pid = pid;
    c->succeeded = false;
    snprintf(c->log, sizeof c->log, "%s", log);
    snprintf(c->name, sizeof c->name, "%s", base_name(argv[0]));
    return 0;
}

/* The last line of a log, "" when there is none. */
static void last_line(const char *path, char out[TAIL_BYTES])
{
    out[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        goto out;
    off_t from = st.st_size > TAIL_BYTES - 1 ? st.st_size - (TAIL_BYTES - 1) : 0;
    ssize_t n = pread(fd, out, TAIL_BYTES - 1, from);
    out[n > 0 ? n : 0] = '\0';
    while (n > 0 && out[n - 1] == '\n')
        out[--n] = '\0';
    const char *line = strrchr(out, '\n');
    if (line)
        memmove(out, line + 1, strlen(line + 1) + 1);
out:
    if (fd >= 0)
        close(fd);
}

static int explain(const char *program, int status, const char *log, struct err *e)
{
    char line[TAIL_BYTES];
    last_line(log, line);
    const char *name = base_name(program);
    if (WIFSIGNALED(status))
        return err_set(e, ERR_INTERNAL, "%s was killed by signal %d; last said: %s (%s)", name,
                       WTERMSIG(status), line, log);
    /* Our programs tell the kind of an error by their exit status; 127 is what a failed exec gives.
     */
    int code = WEXITSTATUS(status);
    return err_set(e, code > 0 && code < 127 ? code : ERR_INTERNAL,
                   "%s ended with status %d; last said: %s (%s)", name, code, line, log);
}

static int wait_for(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

int child_run(char *const *argv, const char *log, char *line, size_t size, struct err *e)
{
    int pipe_fd[2];
    int fd = open_log(log, e);
    if (fd < 0)
        return ERR_IO;
    if (pipe(pipe_fd) != 0) {
        int rc = err_sys(e, ERR_INTERNAL, errno, "no pipe for %s", argv[0]);
        close(fd);
        return rc;
    }
    fcntl(pipe_fd[0], F_SETFD, FD_CLOEXEC);
    fcntl(pipe_fd[1], F_SETFD, FD_CLOEXEC);
    pid_t pid = spawn(argv, pipe_fd[1], fd);
    close(pipe_fd[1]);
    close(fd);
    char text[4096];
    size_t len = 0;
    ssize_t n = 1;
    while (len + 1 < sizeof text && (n > 0 || (n < 0 && errno == EINTR))) {
        n = read(pipe_fd[0], text + len, sizeof text - 1 - len);
        len += n > 0 ? (size_t)n : 0;
    }
    text[len] = '\0';
    close(pipe_fd[0]);
    if (pid < 0)
        return err_set(e, ERR_INTERNAL, "cannot start %s", argv[0]);
    int status = wait_for(pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return explain(argv[0], status, log, e);
    text[strcspn(text, "\n")] = '\0';
    if (line)
        snprintf(line, size, "%s", text);
    return 0;
}

bool child_alive(struct child *c, struct err *e)
{
    int status;
    if (c->pid == 0 || waitpid(c->pid, &status, WNOHANG) != c->pid)
        return c->pid != 0;
    c->pid = 0;
    c->succeeded = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    explain(c->name, status, c->log, e);
    return false;
}

void child_stop(struct child *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (c[i].pid)
            kill(c[i].pid, SIGTERM);
    size_t left = n;
    for (int waited = 0; left > 0; waited += STOP_POLL_MS) {
        left = 0;
        for (size_t i = 0; i < n; i++) {
            if (c[i].pid && waited >= STOP_PATIENCE_MS)
                kill(c[i].pid, SIGKILL);
            if (c[i].pid && waitpid(c[i].pid, NULL, WNOHANG) == c[i].pid)
                c[i].pid = 0;
            left += c[i].pid != 0;
        }
        struct timespec nap = {.tv_nsec = STOP_POLL_MS * 1000000L};
        if (left > 0)
            nanosleep(&nap, NULL);
    }
}

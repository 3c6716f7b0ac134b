/* Child processes: the real programs that the simulator starts, watches and ends. */
#ifndef SIM_CHILD_H
#define SIM_CHILD_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct child {
    pid_t pid;      /* 0: not running */
    bool succeeded; /* it has ended with status 0 */
    char name[64];  /* of the program */
    char log[4096];
};

/* Path of a program beside the running one. ERR_IO when it is not there. */
int child_program(const char *name, char *out, size_t size, struct err *e) MUST_CHECK;

/* Starts argv[0] with stdout and stderr in the file `log`. It is killed when this process dies.
 * ERR_IO, ERR_INTERNAL. */
int child_start(struct child *c, char *const *argv, const char *log, struct err *e) MUST_CHECK;
/* Runs argv[0] to its end; its first line of stdout goes to `line` (may be NULL). ERR_INTERNAL with
 * the last line of stderr when it fails; the code is then its exit status. */
int child_run(char *const *argv, const char *log, char *line, size_t size,
              struct err *e) MUST_CHECK;
/* False when the child has ended; *e then tells how, with the last line of its log. */
bool child_alive(struct child *c, struct err *e);
/* SIGTERM to all n, SIGKILL to those still there after 10 s; all are reaped. */
void child_stop(struct child *c, size_t n);

#endif

#include "sim/child.h"
#include <criterion/criterion.h>
#include <signal.h>
#include <sys/wait.h>

static void ignore(int signal)
{
    (void)signal;
}

/* Our own handler is not the child's, however soon the signal comes. */
Test(child, a_signal_before_the_program_runs_ends_it, .timeout = 60)
{
    char sleep[] = "/bin/sleep", seconds[] = "600", *argv[] = {sleep, seconds, NULL};
    struct sigaction own = {.sa_handler = ignore};
    struct err e;
    sigaction(SIGTERM, &own, NULL);
    for (int i = 0; i < 50; i++) {
        struct child c;
        int status;
        cr_assert_eq(child_start(&c, argv, "/dev/null", &e), 0, "%s", e.text);
        cr_assert_eq(kill(c.pid, SIGTERM), 0);
        cr_assert_eq(waitpid(c.pid, &status, 0), c.pid);
        cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM, "status %d", status);
    }
}

#include "sim/interrupt.h"
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

atomic_bool interrupted;

static void on_signal(int signo)
{
    (void)signo;
    atomic_store(&interrupted, true);
}

void interrupt_catch(void)
{
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND};
    sigemptyset(&act.sa_mask);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
}

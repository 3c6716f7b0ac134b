/* The end of the server: SIGTERM gives it drain_s seconds to finish what cannot be repeated, a
 * second one none. Whatever is cut short, committed rounds are on disk. */
#include "server/server_state.h"
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* A round that is being stored on the worker thread cannot be waited for any longer, and the
 * process cannot end in good order before it: the next start finds it stored, or repeats it. */
static void on_deadline(uv_timer_t *timer)
{
    struct server *s = timer->data;
    log_error("not stopped in time, ending now drain_s=%u connections=%zu storing=%d",
              s->live->drain_s, s->peers.n, !runners_idle(s));
    observe_event(s, "killed", json_pack("{s:s}", "reason", "not stopped within drain_s"));
    _exit(ERR_STATE);
}

void drain_begin(struct server *s)
{
    uv_timer_start(&s->drain, on_deadline, (uint64_t)s->live->drain_s * 1000, 0);
}

void drain_now(struct server *s, int number)
{
    log_warn("ending at once, by a second signal");
    observe_event(s, "killed", json_pack("{s:s}", "reason", "second signal"));
    for (int i = 0; i < SERVER_SIGNALS; i++)
        uv_signal_stop(&s->signal[i]); /* the system's own reaction again: the end */
    raise(number);
}

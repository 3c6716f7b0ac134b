#include "client/gatekeeper.h"

enum { READ_MS = 2000 };

int gatekeeper_open(struct gatekeeper *k, const struct gate_settings *s, void (*changed)(void *ctx),
                    void *ctx, struct err *e)
{
    *k = (struct gatekeeper){.changed = changed, .ctx = ctx};
    int rc = gates_open(&k->gates, s, e);
    return rc ? rc : device_open(&k->device, s, e);
}

static enum msg_pause look(struct gatekeeper *k)
{
    struct gate_readings r;
    device_read(&k->device, &r);
    return gates_decide(&k->gates, &r, (int64_t)uv_now(k->timer.loop));
}

static void on_timer(uv_timer_t *timer)
{
    struct gatekeeper *k = timer->data;
    enum msg_pause before = k->gates.shut;
    if (look(k) != before)
        k->changed(k->ctx);
}

void gatekeeper_start(struct gatekeeper *k, uv_loop_t *loop)
{
    uv_timer_init(loop, &k->timer);
    k->timer.data = k;
}

void gatekeeper_stop(struct gatekeeper *k)
{
    uv_close((uv_handle_t *)&k->timer, NULL);
}

void gatekeeper_watch(struct gatekeeper *k, bool wanted)
{
    uv_timer_t *timer = &k->timer;
    if (!gates_any(&k->gates) || uv_is_closing((uv_handle_t *)timer))
        return;
    uv_timer_stop(timer);
    if (!wanted)
        return;
    gates_resume(&k->gates);
    look(k);
    uv_timer_start(timer, on_timer, READ_MS, READ_MS);
}

enum msg_pause gatekeeper_why(const struct gatekeeper *k)
{
    return uv_is_active((const uv_handle_t *)&k->timer) ? k->gates.shut : PAUSE_NONE;
}

/* The gates' shell: reads the device while a training is wanted, and says when a gate shuts or all
 * are open again. On the loop's thread. */
#ifndef CLIENT_GATEKEEPER_H
#define CLIENT_GATEKEEPER_H

#include "client/device.h"
#include "client/gates.h"
#include <uv.h>

struct gatekeeper {
    struct gates gates;
    struct device device;
    uv_timer_t timer;
    void (*changed)(void *ctx);
    void *ctx;
};

/* Settings are borrowed; changed(ctx) is called when gatekeeper_why gives another answer than
 * before, but not from within gatekeeper_watch. ERR_CONFIG, ERR_IO. */
int gatekeeper_open(struct gatekeeper *k, const struct gate_settings *s, void (*changed)(void *ctx),
                    void *ctx, struct err *e) MUST_CHECK;
/* Between this and gatekeeper_stop its timer belongs to the loop. */
void gatekeeper_start(struct gatekeeper *k, uv_loop_t *loop);
void gatekeeper_stop(struct gatekeeper *k);

/* Whether a training is wanted: the device is read at once, and then every few seconds; or nothing
 * is read, and gatekeeper_why says PAUSE_NONE. */
void gatekeeper_watch(struct gatekeeper *k, bool wanted);
/* Why it has to wait. */
enum msg_pause gatekeeper_why(const struct gatekeeper *k);

#endif

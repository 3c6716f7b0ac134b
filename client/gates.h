/* When a device lends itself to training: a function of (state, settings, readings, time). Where
 * readings come from is client/device.h's business, what becomes of a training that is put off,
 * client.c's.
 *
 * A gate shuts as soon as its reading says so, but for the load, which must be too high for
 * GATES_LOAD_MS: short work of others is no reason to stop. It opens again only when every reading
 * has been good for `settle_s`, and those with a threshold better than it by a margin: load at most
 * 4/5 of the maximum, memory at least 5/4 of the minimum. So a reading that wavers around its
 * threshold does not make training stop and go. */
#ifndef CLIENT_GATES_H
#define CLIENT_GATES_H

#include "base/err.h"
#include "proto/msg.h"
#include <stdbool.h>
#include <stdint.h>

enum { GATES_LOAD_MS = 10000, GATES_DAY = 24 * 60 };

/* As the daemon's configuration has them, under the key gates. */
struct gate_settings {
    char *hours;       /* "HH:MM-HH:MM", local time, may pass midnight; NULL: at any time */
    bool ac_power;     /* not on battery */
    double max_load;   /* share of all cores that other programs may use; 0: any */
    uint64_t min_free; /* bytes of memory that stay available for others; 0: none */
    uint32_t settle_s; /* how long all must be well before training goes on */
    char *root;        /* the folder below which sys and proc are */
};

struct gate_readings {
    unsigned minute; /* of the local day, below GATES_DAY */
    bool on_battery;
    double load; /* share of all cores that other programs used of late; below 0: not known */
    double free; /* bytes available, if this program took what it needs for training; the same */
};

struct gates {
    const struct gate_settings *settings;
    unsigned from, to;   /* of settings->hours, minutes of the day; the same: none */
    enum msg_pause shut; /* why; PAUSE_NONE: open */
    bool pressed;        /* open: the load is too high since `since`; shut: something was wrong
                            then for the last time */
    int64_t since;
};

/* Begins open; settings are borrowed. ERR_CONFIG: settings->hours is no such text, or no time. */
int gates_open(struct gates *g, const struct gate_settings *s, struct err *e) MUST_CHECK;
/* Whether any setting could shut a gate. */
bool gates_any(const struct gates *g);
/* Goes on after a time in which nothing was read. */
void gates_resume(struct gates *g);
/* now: ms, monotonic. Returns why training has to wait, the first reason in the order of enum
 * msg_pause, or PAUSE_NONE. */
enum msg_pause gates_decide(struct gates *g, const struct gate_readings *r, int64_t now);

#endif

#include "client/gates.h"
#include <stdio.h>
#include <string.h>

/* "HH:MM" at the front of *text, which moves behind it. */
static bool read_minute(const char **text, unsigned *minute)
{
    const char *s = *text;
    for (int i = 0; i < 5; i++)
        if (i == 2 ? s[i] != ':' : s[i] < '0' || s[i] > '9')
            return false;
    unsigned hour = 10U * (unsigned)(s[0] - '0') + (unsigned)(s[1] - '0');
    unsigned rest = 10U * (unsigned)(s[3] - '0') + (unsigned)(s[4] - '0');
    *minute = 60 * hour + rest;
    *text = s + 5;
    return rest < 60 && *minute <= GATES_DAY;
}

static int read_hours(struct gates *g, const char *hours, struct err *e)
{
    const char *at = hours;
    bool ok = read_minute(&at, &g->from) && *at++ == '-' && read_minute(&at, &g->to) && !*at;
    if (!ok || g->from == GATES_DAY)
        return err_set(e, ERR_CONFIG,
                       "gates.hours: \"%s\": give two times, \"HH:MM-HH:MM\", as \"22:00-06:00\"",
                       hours);
    if (g->from == g->to)
        return err_set(e, ERR_CONFIG,
                       "gates.hours: \"%s\" is no time at all: leave the key out for the whole day",
                       hours);
    return 0;
}

int gates_open(struct gates *g, const struct gate_settings *s, struct err *e)
{
    struct gates fresh = {.settings = s};
    int rc = s->hours ? read_hours(&fresh, s->hours, e) : 0;
    if (!rc)
        *g = fresh;
    return rc;
}

bool gates_any(const struct gates *g)
{
    const struct gate_settings *s = g->settings;
    return s->hours || s->ac_power || s->max_load > 0 || s->min_free > 0;
}

void gates_resume(struct gates *g)
{
    g->pressed = false;
}

static bool within_hours(const struct gates *g, unsigned minute)
{
    if (g->from < g->to)
        return minute >= g->from && minute < g->to;
    return g->from == g->to || minute >= g->from || minute < g->to;
}

/* What is against training now. */
static enum msg_pause complaint(const struct gates *g, const struct gate_readings *r)
{
    const struct gate_settings *s = g->settings;
    bool shut = g->shut != PAUSE_NONE;
    double load = shut ? s->max_load * 4 / 5 : s->max_load;
    double memory = (double)s->min_free * (shut ? 1.25 : 1);
    if (!within_hours(g, r->minute))
        return PAUSE_HOURS;
    if (s->ac_power && r->on_battery)
        return PAUSE_BATTERY;
    if (r->free >= 0 && r->free < memory)
        return PAUSE_MEMORY;
    if (s->max_load > 0 && r->load > load)
        return PAUSE_LOAD;
    return PAUSE_NONE;
}

enum msg_pause gates_decide(struct gates *g, const struct gate_readings *r, int64_t now)
{
    enum msg_pause why = complaint(g, r);
    int64_t settle = (int64_t)g->settings->settle_s * 1000;
    if (g->shut != PAUSE_NONE) {
        if (why != PAUSE_NONE) {
            g->shut = why;
            g->pressed = true;
            g->since = now;
        } else if (!g->pressed || now - g->since >= settle) {
            g->shut = PAUSE_NONE;
            g->pressed = false;
        }
        return g->shut;
    }
    if (why == PAUSE_LOAD && !g->pressed)
        g->since = now;
    g->pressed = why == PAUSE_LOAD;
    if (why != PAUSE_NONE && (why != PAUSE_LOAD || now - g->since >= GATES_LOAD_MS)) {
        g->shut = why;
        g->pressed = true;
        g->since = now;
    }
    return g->shut;
}

/* What the gates (client/gates.h) look at, read from /sys and /proc, or from copies of them below
 * another root. */
#ifndef CLIENT_DEVICE_H
#define CLIENT_DEVICE_H

#include "client/gates.h"

struct device {
    const char *root;      /* borrowed */
    bool known;            /* the counters below were read once */
    double busy, all, own; /* seconds of CPU time since the start: of all programs and with
                              idleness, as of the last reading; this program's */
    double most;           /* bytes of anonymous memory that this program has held */
};

/* ERR_IO: a reading that these settings need cannot be had here. */
int device_open(struct device *d, const struct gate_settings *s, struct err *e) MUST_CHECK;

/* The load is that since the last call, unknown at the first. Available memory is the kernel's
 * MemAvailable, less what this program has given back and will take again: whether it trains or
 * not makes no difference to what it reads. */
void device_read(struct device *d, struct gate_readings *r);

/* As systemd's ConditionACPower: no mains, USB or wireless supply is on line, and a battery
 * discharges, or a supply is there that is off line. Batteries of peripherals do not count; a
 * machine without any battery is never on battery. */
bool device_on_battery(const char *root);

#endif

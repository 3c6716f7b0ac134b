/* Gates on a virtual clock, and what they read from a device made of files. */
#include "base/file.h"
#include "client/device.h"
#include "client/gates.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct gate_settings settings;
static struct gates gates;
static struct gate_readings at;
static int64_t now;

static void setup(void)
{
    settings = (struct gate_settings){.settle_s = 30};
    at = (struct gate_readings){.minute = 720, .free = 8e9};
    now = 1000;
}

TestSuite(gates, .init = setup);

static void begin(void)
{
    struct err e;
    cr_assert_eq(gates_open(&gates, &settings, &e), 0, "%s", e.text);
}

static enum msg_pause after(int64_t seconds)
{
    now += 1000 * seconds;
    return gates_decide(&gates, &at, now);
}

Test(gates, without_settings_nothing_shuts)
{
    begin();
    cr_assert_not(gates_any(&gates));
    at = (struct gate_readings){.minute = 0, .on_battery = true, .load = 1, .free = 0};
    for (int i = 0; i < 100; i++)
        cr_assert_eq(after(60), PAUSE_NONE);
}

Test(gates, hours_may_pass_midnight)
{
    static const struct {
        const char *hours;
        unsigned minute;
        bool open;
    } row[] = {
        {"22:00-06:00", 22 * 60, true},
        {"22:00-06:00", 23 * 60 + 59, true},
        {"22:00-06:00", 0, true},
        {"22:00-06:00", 5 * 60 + 59, true},
        {"22:00-06:00", 6 * 60, false},
        {"22:00-06:00", 21 * 60 + 59, false},
        {"09:30-17:00", 9 * 60 + 29, false},
        {"09:30-17:00", 9 * 60 + 30, true},
        {"09:30-17:00", 17 * 60, false},
        {"00:00-24:00", 0, true},
        {"00:00-24:00", 1439, true},
        {"18:00-24:00", 1439, true},
        {"18:00-24:00", 0, false},
        {"23:59-00:00", 1439, true},
        {"23:59-00:00", 0, false},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        settings.hours = (char *)(uintptr_t)row[i].hours;
        begin();
        cr_assert(gates_any(&gates));
        at.minute = row[i].minute;
        cr_expect_eq(after(1), row[i].open ? PAUSE_NONE : PAUSE_HOURS, "row %zu", i);
    }
}

Test(gates, hours_that_are_none_are_refused)
{
    static const char *const bad[] = {"",
                                      "22:00",
                                      "22:00-",
                                      "22-06",
                                      "24:00-06:00",
                                      "22:60-06:00",
                                      "22:00-24:01",
                                      "22:00-06:00 ",
                                      "9:00-17:00",
                                      "22:00-22:00",
                                      "22:00-06:0x",
                                      "aa:bb-cc:dd"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e;
        settings.hours = (char *)(uintptr_t)bad[i];
        cr_assert_eq(gates_open(&gates, &settings, &e), ERR_CONFIG, "%s", bad[i]);
        cr_assert_not_null(strstr(e.text, "gates.hours"), "%s", e.text);
    }
}

Test(gates, a_battery_shuts_at_once_and_mains_must_stay_for_a_while)
{
    settings.ac_power = true;
    begin();
    cr_assert_eq(after(1), PAUSE_NONE);
    at.on_battery = true;
    cr_assert_eq(after(0), PAUSE_BATTERY);
    cr_assert_eq(after(3600), PAUSE_BATTERY);
    at.on_battery = false;
    cr_assert_eq(after(1), PAUSE_BATTERY);
    cr_assert_eq(after(28), PAUSE_BATTERY);
    at.on_battery = true; /* a bad plug: the time begins anew */
    cr_assert_eq(after(0), PAUSE_BATTERY);
    at.on_battery = false;
    cr_assert_eq(after(29), PAUSE_BATTERY);
    cr_assert_eq(after(1), PAUSE_NONE);
    at.on_battery = true;
    cr_assert_eq(after(0), PAUSE_BATTERY);
}

Test(gates, a_short_load_stops_nothing_and_one_that_wavers_does_not_flap)
{
    settings.max_load = 0.5;
    begin();
    at.load = 0.9;
    for (int s = 0; s < 10; s++)
        cr_assert_eq(after(1), PAUSE_NONE);
    at.load = 0.5;
    cr_assert_eq(after(1), PAUSE_NONE);
    at.load = 0.51;
    for (int s = 0; s < 10; s++)
        cr_assert_eq(after(1), PAUSE_NONE);
    cr_assert_eq(after(1), PAUSE_LOAD);
    unsigned changes = 0;
    for (int i = 0; i < 1000; i++) { /* around the threshold, for ever */
        at.load = i % 2 ? 0.45 : 0.55;
        changes += after(20) != PAUSE_LOAD;
    }
    cr_assert_eq(changes, 0);
    at.load = 0.4;
    cr_assert_eq(after(9), PAUSE_LOAD); /* 29 s after the last that was too high */
    cr_assert_eq(after(1), PAUSE_LOAD);
    cr_assert_eq(after(20), PAUSE_NONE);
}

Test(gates, memory_needs_a_margin_to_open)
{
    settings.min_free = 1000;
    begin();
    at.free = 1000;
    cr_assert_eq(after(1), PAUSE_NONE);
    at.free = 999;
    cr_assert_eq(after(1), PAUSE_MEMORY);
    at.free = 1249;
    cr_assert_eq(after(600), PAUSE_MEMORY);
    at.free = 1250;
    cr_assert_eq(after(29), PAUSE_MEMORY);
    cr_assert_eq(after(1), PAUSE_NONE);
    at.free = 1000;
    cr_assert_eq(after(1), PAUSE_NONE);
}

Test(gates, what_is_not_known_shuts_nothing)
{
    settings.max_load = 0.1;
    settings.min_free = 1000;
    begin();
    at.load = -1;
    at.free = -1;
    for (int i = 0; i < 100; i++)
        cr_assert_eq(after(60), PAUSE_NONE);
}

Test(gates, one_reason_after_the_other)
{
    settings.hours = (char *)(uintptr_t) "22:00-06:00";
    settings.ac_power = true;
    settings.settle_s = 0;
    begin();
    at.on_battery = true;
    cr_assert_eq(after(1), PAUSE_HOURS);
    at.minute = 22 * 60;
    cr_assert_eq(after(1), PAUSE_BATTERY);
    at.on_battery = false;
    cr_assert_eq(after(0), PAUSE_NONE);
}

Test(gates, after_a_time_without_readings_the_present_decides)
{
    settings.ac_power = true;
    settings.max_load = 0.5;
    begin();
    at.on_battery = true;
    cr_assert_eq(after(1), PAUSE_BATTERY);
    at.on_battery = false;
    gates_resume(&gates);
    cr_assert_eq(after(1), PAUSE_NONE);
    at.load = 1;
    cr_assert_eq(after(1), PAUSE_NONE);
    gates_resume(&gates);
    cr_assert_eq(after(3600), PAUSE_NONE);
    cr_assert_eq(after(10), PAUSE_LOAD);
}

/* --- the device ----------------------------------------------------------------------------- */

static char root[64];

static void make_root(void)
{
    setup();
    snprintf(root, sizeof root, "/tmp/fedpet-device-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    settings.root = root;
}

static void remove_root(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    cr_assert_eq(system(command), 0); // NOLINT(cert-env33-c): a path of our own
}

TestSuite(device, .init = make_root, .fini = remove_root);

static void put(const char *path, const char *text)
{
    char full[256], *slash;
    snprintf(full, sizeof full, "%s/%s", root, path);
    slash = strrchr(full, '/');
    *slash = '\0';
    cr_assert_eq(file_mkdirs(full, 0700, NULL), 0);
    *slash = '/';
    cr_assert_eq(file_write(full, text, strlen(text), 0600, NULL), 0);
}

#define SUPPLY "sys/class/power_supply/"

Test(device, a_machine_without_battery_is_never_on_it)
{
    cr_assert_not(device_on_battery(root));
    put(SUPPLY "AC/type", "Mains\n");
    put(SUPPLY "AC/online", "0\n");
    cr_assert_not(device_on_battery(root));
}

Test(device, a_laptop)
{
    put(SUPPLY "AC/type", "Mains\n");
    put(SUPPLY "AC/online", "1\n");
    put(SUPPLY "BAT0/type", "Battery\n");
    put(SUPPLY "BAT0/status", "Not charging\n");
    cr_assert_not(device_on_battery(root));
    put(SUPPLY "AC/online", "0\n");
    cr_assert(device_on_battery(root)); /* the battery has not noticed yet */
    put(SUPPLY "BAT0/status", "Discharging\n");
    cr_assert(device_on_battery(root));
    put(SUPPLY "ucsi/type", "USB\n");
    put(SUPPLY "ucsi/online", "1\n");
    cr_assert_not(device_on_battery(root));
}

Test(device, a_phone_and_a_wireless_mouse)
{
    put(SUPPLY "mouse/type", "Battery\n");
    put(SUPPLY "mouse/scope", "Device\n");
    put(SUPPLY "mouse/status", "Discharging\n");
    cr_assert_not(device_on_battery(root));
    put(SUPPLY "battery/type", "Battery\n");
    put(SUPPLY "battery/status", "Full\n");
    cr_assert_not(device_on_battery(root)); /* nothing says that it is used */
    put(SUPPLY "battery/status", "Discharging\n");
    cr_assert(device_on_battery(root));
}

Test(device, load_is_what_others_used_since_the_last_reading)
{
    struct device d;
    struct gate_readings r;
    struct err e;
    settings.max_load = 0.5;
    cr_assert_eq(device_open(&d, &settings, &e), ERR_IO);
    cr_assert_not_null(strstr(e.text, "gates.max_load"), "%s", e.text);
    put("proc/stat", "cpu  100 0 100 1000000 0 0 0 0 0 0\ncpu0 1 2 3\n");
    cr_assert_eq(device_open(&d, &settings, &e), 0);
    device_read(&d, &r);
    cr_assert_lt(r.load, 0);
    /* Of 10^9 ticks a quarter busy: what this test itself uses is nothing beside it. */
    put("proc/stat", "cpu  200000100 0 50000100 500001000 251000000 0 0 0 0 0\n");
    device_read(&d, &r);
    cr_assert_float_eq(r.load, 0.25, 1e-3);
    put("proc/stat", "nonsense\n");
    device_read(&d, &r);
    cr_assert_lt(r.load, 0);
    cr_assert_lt(r.minute, GATES_DAY);
}

Test(device, memory_counts_what_this_program_will_take_again)
{
    enum { AVAILABLE = 1024000 << 10, GIVEN_BACK = 64 << 20 };
    struct device d;
    struct gate_readings r[2];
    struct err e;
    settings.min_free = 1;
    cr_assert_eq(device_open(&d, &settings, &e), ERR_IO);
    cr_assert_not_null(strstr(e.text, "gates.min_free:"), "%s", e.text);
    put("proc/meminfo", "MemTotal:       2048000 kB\nMemAvailable:    1024000 kB\n");
    cr_assert_eq(device_open(&d, &settings, &e), 0);
    char *block = malloc(GIVEN_BACK); /* so large that it is a mapping of its own */
    memset(block, 1, GIVEN_BACK);
    device_read(&d, &r[0]);
    cr_assert_eq(block[GIVEN_BACK / 2], 1);
    free(block);
    device_read(&d, &r[1]);
    cr_assert_float_eq(r[0].free, AVAILABLE, 1e-9);
#ifndef __SANITIZE_ADDRESS__ /* which keeps what was freed */
    cr_assert_float_eq(r[1].free, AVAILABLE - GIVEN_BACK, 8 << 20);
#endif
    put("proc/meminfo", "MemAvailable:    1 kB\n");
    device_read(&d, &r[1]);
    cr_assert_leq(r[1].free, 1 << 10);
    cr_assert_geq(r[1].free, 0);
}

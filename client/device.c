#include "client/device.h"
#include "base/file.h"
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WORD = 64 };

/* --- power ---------------------------------------------------------------------------------- */

/* The first word of DIR/NAME/KEY; "" when there is none. */
static void read_word(const char *dir, const char *name, const char *key, char word[WORD])
{
    char path[PATH_MAX];
    *word = '\0';
    if (snprintf(path, sizeof path, "%s/%s/%s", dir, name, key) >= (int)sizeof path)
        return;
    FILE *f = fopen(path, "re");
    if (!f)
        return;
    if (fscanf(f, "%63s", word) != 1)
        *word = '\0';
    fclose(f);
}

bool device_on_battery(const char *root)
{
    char dir[PATH_MAX], type[WORD], value[WORD];
    const struct dirent *d;
    bool on_line = false, off_line = false, battery = false, discharging = false;
    if (file_join(dir, sizeof dir, root, "sys/class/power_supply", NULL))
        return false;
    DIR *supplies = opendir(dir);
    while (supplies && (d = readdir(supplies))) {
        read_word(dir, d->d_name, "type", type);
        read_word(dir, d->d_name, "scope", value);
        if (!*type || strcmp(value, "Device") == 0)
            continue;
        if (strcmp(type, "Battery") == 0) {
            read_word(dir, d->d_name, "status", value);
            battery = true;
            discharging |= strcmp(value, "Discharging") == 0;
        } else if (strcmp(type, "Mains") == 0 || strncmp(type, "USB", 3) == 0 ||
                   strcmp(type, "Wireless") == 0) {
            read_word(dir, d->d_name, "online", value);
            on_line |= strcmp(value, "1") == 0;
            off_line |= strcmp(value, "0") == 0;
        }
    }
    if (supplies)
        closedir(supplies);
    return !on_line && (discharging || (battery && off_line));
}

/* --- CPU ------------------------------------------------------------------------------------ */

/* proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal, in ticks. */
static bool read_cpu(const char *root, double *busy, double *all)
{
    char path[PATH_MAX];
    unsigned long long t[8];
    if (file_join(path, sizeof path, root, "proc/stat", NULL))
        return false;
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    int n = fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3],
                   &t[4], &t[5], &t[6], &t[7]);
    fclose(f);
    double tick = 1.0 / (double)sysconf(_SC_CLK_TCK);
    *all = 0;
    for (int i = 0; i < 8 && n == 8; i++)
        *all += (double)t[i] * tick;
    *busy = n == 8 ? *all - (double)(t[3] + t[4]) * tick : 0;
    return n == 8;
}

static double own_cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The load average would count this program's own threads, and so would the kernel's pressure:
 * training would stop for itself. */
static double read_load(struct device *d)
{
    double busy, all, own = own_cpu(), load = -1;
    if (!read_cpu(d->root, &busy, &all)) {
        d->known = false;
        return load;
    }
    if (d->known && all > d->all) {
        load = (busy - d->busy - (own - d->own)) / (all - d->all);
        load = load < 0 ? 0 : load;
    }
    d->known = true;
    d->busy = busy;
    d->all = all;
    d->own = own;
    return load;
}

/* --- memory --------------------------------------------------------------------------------- */

/* Bytes, by proc_meminfo(5); below 0: not to be had. */
static double read_available(const char *root)
{
    char path[PATH_MAX], line[128];
    unsigned long long kib;
    double bytes = -1;
    if (file_join(path, sizeof path, root, "proc/meminfo", NULL))
        return bytes;
    FILE *f = fopen(path, "re");
    while (f && bytes < 0 && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
            bytes = 1024.0 * (double)kib;
    if (f)
        fclose(f);
    return bytes;
}

/* Resident bytes, but for what is mapped from files: the kernel counts that as available. */
static double own_memory(void)
{
    unsigned long long resident = 0, shared = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return 0;
    if (fscanf(f, "%*u %llu %llu", &resident, &shared) != 2 || shared > resident)
        resident = shared = 0;
    fclose(f);
    return (double)(resident - shared) * (double)sysconf(_SC_PAGESIZE);
}

static double read_free(struct device *d)
{
    double available = read_available(d->root), own = own_memory();
    d->most = own > d->most ? own : d->most;
    if (available < 0)
        return available;
    double left = available - (d->most - own);
    return left > 0 ? left : 0;
}

/* --- all of it ------------------------------------------------------------------------------ */

int device_open(struct device *d, const struct gate_settings *s, struct err *e)
{
    double busy, all;
    *d = (struct device){.root = s->root};
    if (s->max_load > 0 && !read_cpu(d->root, &busy, &all))
        return err_set(e, ERR_IO, "gates.max_load: %s/proc/stat cannot be read: leave the key out",
                       d->root);
    if (s->min_free > 0 && read_available(d->root) < 0)
        return err_set(e, ERR_IO,
                       "gates.min_free: %s/proc/meminfo has no MemAvailable: leave the key out",
                       d->root);
    return 0;
}

void device_read(struct device *d, struct gate_readings *r)
{
    struct tm local;
    time_t now = time(NULL);
    *r = (struct gate_readings){
        .on_battery = device_on_battery(d->root), .load = read_load(d), .free = read_free(d)};
    if (localtime_r(&now, &local))
        r->minute = (unsigned)(60 * local.tm_hour + local.tm_min);
}

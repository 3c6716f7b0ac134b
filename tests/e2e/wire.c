/* A bad wire between two network namespaces: a TUN device in each, and this program between them,
 * which loses, delays, doubles, reorders and damages IP packets, limits their rate, or lets none
 * through one way or both. What netem(8) does, where the kernel has none; the kernels' TCP on both
 * sides is the real one.
 *
 *   wire NAMESPACE_A NAMESPACE_B CONTROL
 *
 * makes wire0 in both, prints "ready", and obeys the file CONTROL, which may change at any time:
 * words like loss=5 duplicate=2 reorder=5 corrupt=1 (of a hundred packets), delay=20 jitter=10
 * (ms), rate=100000 (bytes a second), a=0 (none from A gets through), b=0. SIGTERM: prints how many
 * packets met which fate, and ends. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { PACKET = 2048, QUEUE = 2048, REREAD_MS = 50, OVERTAKEN_MS = 30 };

enum word { LOSS, DUPLICATE, REORDER, CORRUPT, DELAY, JITTER, RATE, FROM_A, FROM_B, WORDS };
static const char *const word[WORDS] = {"loss",   "duplicate", "reorder", "corrupt", "delay",
                                        "jitter", "rate",      "a",       "b"};

struct packet {
    double due; /* ms */
    uint64_t order;
    size_t len;
    int to;
    unsigned char bytes[PACKET];
};

struct wire {
    int fd[2];
    const char *control;
    double setting[WORDS];
    struct packet queue[QUEUE];
    size_t n;
    uint64_t orders;
    double last[2],
        free_at[2]; /* of each direction: when the last packet is due, and the line idle */
    uint64_t passed, lost, doubled, overtaken, damaged, cut;
    uint32_t random;
};

static volatile sig_atomic_t ended;

static void on_end(int number)
{
    (void)number;
    ended = 1;
}

static void die(const char *what)
{
    fprintf(stderr, "wire: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* From [0, 1). */
static double draw(struct wire *w)
{
    w->random = w->random * 1664525U + 1013904223U;
    return (double)(w->random >> 8) / (1 << 24);
}

static bool happens(struct wire *w, enum word percent)
{
    return draw(w) * 100 < w->setting[percent];
}

static int open_tun(const char *name)
{
    char path[256];
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    snprintf(path, sizeof path, "/run/netns/%s", name);
    int space = open(path, O_RDONLY | O_CLOEXEC);
    if (space < 0 || setns(space, CLONE_NEWNET) != 0)
        die(path);
    close(space);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    snprintf(request.ifr_name, sizeof request.ifr_name, "wire0");
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0)
        die("/dev/net/tun");
    return fd;
}

static void obey(struct wire *w)
{
    char text[512] = "", *rest = text, *part;
    FILE *f = fopen(w->control, "r");
    if (f == NULL || fgets(text, sizeof text, f) == NULL)
        text[0] = '\0';
    if (f != NULL)
        fclose(f);
    for (int i = 0; i < WORDS; i++)
        w->setting[i] = i >= FROM_A;
    while ((part = strtok_r(rest, " \n", &rest)) != NULL)
        for (int i = 0; i < WORDS; i++) {
            size_t len = strlen(word[i]);
            if (strncmp(part, word[i], len) == 0 && part[len] == '=')
                w->setting[i] = strtod(part + len + 1, NULL);
        }
}

static void enqueue(struct wire *w, int from, const unsigned char *bytes, size_t len)
{
    double at = now_ms() + w->setting[DELAY] + draw(w) * w->setting[JITTER];
    if (w->n == QUEUE) {
        w->lost++;
        return;
    }
    if (w->setting[RATE] > 0) {
        double start = w->free_at[from] > now_ms() ? w->free_at[from] : now_ms();
        w->free_at[from] = start + 1e3 * (double)len / w->setting[RATE];
        at += w->free_at[from] - now_ms();
    }
    if (happens(w, REORDER)) {
        at += OVERTAKEN_MS;
        w->overtaken++;
    } else {
        at = at > w->last[from] ? at : w->last[from];
        w->last[from] = at;
    }
    struct packet *p = &w->queue[w->n++];
    p->due = at;
    p->order = w->orders++;
    p->len = len;
    p->to = !from;
    memcpy(p->bytes, bytes, len);
}

/* A packet has come from one side. */
static void decide(struct wire *w, int from, unsigned char *bytes, size_t len)
{
    if (w->setting[from == 0 ? FROM_A : FROM_B] == 0) {
        w->cut++;
        return;
    }
    if (happens(w, LOSS)) {
        w->lost++;
        return;
    }
    if (happens(w, CORRUPT)) {
        bytes[(size_t)(draw(w) * (double)len)] ^= (unsigned char)(1U << (int)(draw(w) * 8));
        w->damaged++;
    }
    enqueue(w, from, bytes, len);
    if (happens(w, DUPLICATE)) {
        w->doubled++;
        enqueue(w, from, bytes, len);
    }
}

/* Hands over what is due; returns in how many ms the next packet is. */
static double hand_over(struct wire *w)
{
    for (;;) {
        size_t first = 0;
        for (size_t i = 1; i < w->n; i++)
            if (w->queue[i].due < w->queue[first].due ||
                (w->queue[i].due == w->queue[first].due &&
                 w->queue[i].order < w->queue[first].order))
                first = i;
        if (w->n == 0)
            return REREAD_MS;
        struct packet *p = &w->queue[first];
        if (p->due > now_ms())
            return p->due - now_ms();
        if (write(w->fd[p->to], p->bytes, p->len) == (ssize_t)p->len)
            w->passed++; /* a damaged header is refused here, a device that is down, too */
        *p = w->queue[--w->n];
    }
}

static void run(struct wire *w)
{
    double reread = 0;
    while (!ended) {
        double wait = hand_over(w);
        struct pollfd on[2] = {{w->fd[0], POLLIN, 0}, {w->fd[1], POLLIN, 0}};
        if (now_ms() >= reread) {
            obey(w);
            reread = now_ms() + REREAD_MS;
        }
        poll(on, 2, wait < 1 ? 1 : wait > REREAD_MS ? REREAD_MS : (int)wait);
        for (int from = 0; from < 2; from++) {
            unsigned char bytes[PACKET];
            ssize_t len;
            while ((len = read(w->fd[from], bytes, sizeof bytes)) > 0)
                decide(w, from, bytes, (size_t)len);
        }
    }
}

int main(int argc, char **argv)
{
    static struct wire w = {.random = 1};
    if (argc != 4) {
        fprintf(stderr, "wire: see the head of wire.c\n");
        return 2;
    }
    signal(SIGTERM, on_end);
    w.fd[0] = open_tun(argv[1]);
    w.fd[1] = open_tun(argv[2]);
    w.control = argv[3];
    puts("ready");
    fflush(stdout);
    run(&w);
    printf("passed %llu lost %llu doubled %llu overtaken %llu damaged %llu cut %llu\n",
           (unsigned long long)w.passed, (unsigned long long)w.lost, (unsigned long long)w.doubled,
           (unsigned long long)w.overtaken, (unsigned long long)w.damaged,
           (unsigned long long)w.cut);
    return 0;
}

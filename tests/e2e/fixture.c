/* Makes what the end-to-end scripts need and a shell cannot: tiny models, odd certificates, free
 * ports.
 *
 *   fixture model DIR [SEED [FAULT]]    a BERT of two layers; FAULT: missing, extra, shape
 *   fixture data FILE ROWS [FIRST]      JSONL whose label follows from its words
 *   fixture identity CA_CERT CA_KEY DIR NAME AGE
 *                                       a client's identity for a year, made AGE days ago
 *   fixture port                        a TCP port of 127.0.0.1 that is free now
 *   fixture hold PORT                   listens there until it is ended
 *   fixture cut FROM TO BYTES           passes connections to port FROM on to port TO, cuts each
 * after so many bytes to TO, and says how many there were */
#include "base/file.h"
#include "net/identity.h"
#include "random_model.h"
#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DAY_S = 86400, YEAR_DAYS = 365 };

static const char *const words[] = {
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "fine",  "great", "bad",  "poor",
    "awful", "the",   "film",  "was",   "a",      "very", "story", "play",  "tune", "day",
};
enum { WORDS = sizeof words / sizeof *words, FIRST_GOOD = 5, FIRST_BAD = 8, FIRST_PLAIN = 11 };

static int write_text(const char *dir, const char *name, const char *text, struct err *e)
{
    char path[PATH_MAX];
    int rc = file_join(path, sizeof path, dir, name, e);
    return rc ? rc : file_write(path, text, strlen(text), 0600, e);
}

static int make_model(int argc, char **argv, struct err *e)
{
    const char *fault = argc > 4 ? argv[4] : "none";
    struct random_model m = {.type = "bert",
                             .layers = 2,
                             .hidden = 32,
                             .heads = 2,
                             .ffn = 64,
                             .vocab = WORDS,
                             .positions = 64,
                             .deviation = 0.3f, /* so that words reach the first token */
                             .seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1};
    if (strcmp(fault, "missing") == 0)
        m.fault = FAULT_MISSING;
    else if (strcmp(fault, "extra") == 0)
        m.fault = FAULT_EXTRA;
    else if (strcmp(fault, "shape") == 0)
        m.fault = FAULT_SHAPE;
    char vocab[WORDS * 8], *end = vocab;
    for (size_t i = 0; i < WORDS; i++)
        end += snprintf(end, sizeof vocab - (size_t)(end - vocab), "%s\n", words[i]);
    int rc = random_model_write(&m, argv[2], e);
    if (!rc)
        rc = write_text(argv[2], "vocab.txt", vocab, e);
    return rc ? rc : write_text(argv[2], "tokenizer_config.json", "{\"do_lower_case\": true}\n", e);
}

static int make_data(int argc, char **argv, struct err *e)
{
    unsigned long rows = strtoul(argv[3], NULL, 10);
    unsigned long first = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
    FILE *f = fopen(argv[2], "w");
    if (!f)
        return err_set(e, ERR_IO, "cannot write %s", argv[2]);
    for (unsigned long i = first; i < first + rows; i++) {
        unsigned good = i * 7 / 3 % 2;
        const char *verdict = words[(good ? FIRST_GOOD : FIRST_BAD) + i / 9 % 3];
        const char *subject = words[FIRST_PLAIN + i % (WORDS - FIRST_PLAIN)];
        fprintf(f, "{\"text\": \"the %s was %s%s\", \"label\": \"%s\"}\n", subject,
                i % 5 ? "" : "very ", verdict, good ? "pos" : "neg");
    }
    return fclose(f) ? err_set(e, ERR_IO, "cannot write %s", argv[2]) : 0;
}

static int make_identity(int argc, char **argv, struct err *e)
{
    (void)argc;
    struct identity ca = {0}, device = {0};
    char *cert = NULL;
    int64_t made = (int64_t)time(NULL) - strtol(argv[6], NULL, 10) * DAY_S;
    int rc = file_read(argv[2], 1 << 16, &ca.cert, NULL, e);
    if (!rc)
        rc = file_read(argv[3], 1 << 16, &ca.key, NULL, e);
    if (!rc)
        rc = identity_make_csr(&device, argv[5], e);
    if (!rc)
        rc = identity_sign_csr(&cert, &ca, device.cert, argv[5], made, YEAR_DAYS, e);
    if (!rc)
        rc = file_mkdirs(argv[4], 0700, e);
    if (!rc)
        rc = write_text(argv[4], "key.pem", device.key, e);
    if (!rc)
        rc = write_text(argv[4], "cert.pem", cert, e);
    if (!rc)
        rc = write_text(argv[4], "ca.pem", ca.cert, e);
    free(cert);
    identity_release(&device);
    identity_release(&ca);
    return rc;
}

/* A socket that listens on 127.0.0.1; port 0: any. */
static int listen_on(uint16_t *port, int *out, struct err *e)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) || listen(fd, 8) ||
        getsockname(fd, (struct sockaddr *)&a, &len))
        return err_set(e, ERR_NET, "cannot listen on port %u", *port);
    *port = ntohs(a.sin_port);
    *out = fd;
    return 0;
}

static int find_port(int argc, char **argv, struct err *e)
{
    (void)argc, (void)argv;
    uint16_t port = 0;
    int fd = -1, rc = listen_on(&port, &fd, e);
    if (!rc)
        printf("%u\n", port);
    return rc;
}

static int hold_port(int argc, char **argv, struct err *e)
{
    (void)argc;
    uint16_t port = (uint16_t)strtoul(argv[2], NULL, 10);
    int fd = -1, rc = listen_on(&port, &fd, e);
    if (rc)
        return rc;
    puts("listening");
    fflush(stdout);
    for (;;)
        pause();
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Moves what is there, at most *left bytes of it; false: the end, or none may follow. */
static bool move(int from, int to, size_t *left)
{
    char bytes[4096];
    ssize_t n = recv(from, bytes, *left < sizeof bytes ? *left : sizeof bytes, 0);
    for (ssize_t done = 0, m; done < n; done += m)
        if ((m = send(to, bytes + done, (size_t)(n - done), MSG_NOSIGNAL)) <= 0)
            return false;
    *left -= n > 0 ? (size_t)n : 0;
    return n > 0 && *left > 0;
}

/* One connection, in a process of its own. */
static void pass(int near, uint16_t to, size_t allowed)
{
    int far = connect_to(to);
    size_t up = allowed, down = SIZE_MAX;
    struct pollfd p[2] = {{.fd = near, .events = POLLIN}, {.fd = far, .events = POLLIN}};
    while (far >= 0 && poll(p, 2, -1) > 0)
        if ((p[0].revents && !move(near, far, &up)) || (p[1].revents && !move(far, near, &down)))
            break;
    printf("up %zu%s\n", allowed - up, up ? "" : " cut");
    fflush(stdout);
}

static int cut_connections(int argc, char **argv, struct err *e)
{
    (void)argc;
    uint16_t port = (uint16_t)strtoul(argv[2], NULL, 10);
    uint16_t to = (uint16_t)strtoul(argv[3], NULL, 10);
    int fd = -1, rc = listen_on(&port, &fd, e);
    if (rc)
        return rc;
    signal(SIGCHLD, SIG_IGN);
    puts("listening");
    fflush(stdout);
    for (;;) {
        int near = accept(fd, NULL, NULL);
        if (near >= 0 && fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            pass(near, to, strtoul(argv[4], NULL, 10));
            _exit(0);
        }
        close(near);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int argc;
        int (*run)(int argc, char **argv, struct err *e);
    } command[] = {{"model", 3, make_model}, {"data", 4, make_data}, {"identity", 7, make_identity},
                   {"port", 2, find_port},   {"hold", 3, hold_port}, {"cut", 5, cut_connections}};
    for (size_t i = 0; i < sizeof command / sizeof *command; i++)
        if (argc >= command[i].argc && strcmp(argv[1], command[i].name) == 0) {
            struct err e = {0};
            int rc = command[i].run(argc, argv, &e);
            if (rc)
                fprintf(stderr, "fixture: %s\n", e.text);
            return rc;
        }
    fprintf(stderr, "fixture: wrong command line; see the head of fixture.c\n");
    return ERR_USAGE;
}

/* The inside of a link, shared by its files: link.c (life, reading, writing), link_dial.c (how a
 * dialled one begins), link_pace.c (peers that are too slow or too many-worded). */
#ifndef NET_LINK_STATE_H
#define NET_LINK_STATE_H

#include "net/link_accept.h"
#include "net/outgoing.h"

enum link_state {
    DIALLING, /* resolving and connecting */
    SHAKING,  /* TCP is up, TLS not yet */
    UP,
    ENDING,    /* write what is left, then close_notify; discard what comes */
    LINGERING, /* all is written and our half of TCP shut: wait for the peer's */
    CLOSING,   /* libuv lets go of the handles; then `down` */
};

struct link {
    uv_loop_t *loop;
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_write_t write;
    uv_connect_t connect;
    uv_shutdown_t shutdown;
    uv_getaddrinfo_t resolve;
    struct addrinfo *address, *next; /* dialled: all of them, and the next to try */
    char host[LINK_MAX_HOST];        /* dialled: for messages */
    uint16_t port;

    unsigned held; /* things that libuv still holds: timer, tcp, resolve */
    enum link_state state;
    bool tcp_open, resolving, reading, writing;
    bool peer_ended; /* close_notify came */
    bool peer_done;  /* TCP's end came */

    struct tls *tls;
    struct buf plain;          /* decrypted, not yet a whole frame */
    struct outgoing queue;     /* frames that are to become ciphertext */
    struct buf out, in_flight; /* ciphertext: for the socket, and under way in `write` */
    bool mute;                 /* nothing more becomes ciphertext: close_notify is in `out` */
    uint64_t bytes_in, bytes_written;

    const struct link_events *events;
    void *ctx;
    bool announced; /* the caller knows the link, so it is told of its end */
    struct err why;

    /* Accepted links only: the listener that made it, and what keeps the peer to a pace. */
    const struct link_host *host_of;
    void *owner; /* NULL: dialled */
    struct link_limits limits;
    uint64_t settled;    /* bytes_in when the last frame was complete and nothing else had come */
    uint64_t frames;     /* whole ones */
    uint64_t last_frame; /* when it came, or TLS was up, ms */
    double allowance;    /* frames that may come at once */
    struct {
        uint64_t in, taken, frames; /* as the last tick found them */
        bool begun, queued;
    } mark;
};

/* link.c. What a fault does: link_blame keeps the first; link_fail also says goodbye to the peer,
 * link_cut does not. link_destroy lets go of all handles; `down` follows. */
struct link *link_new(uv_loop_t *loop, const struct link_events *events);
void link_open_tcp(struct link *l);
void link_begin_tls(struct link *l);
void link_unhold(struct link *l);
void link_fail(struct link *l, const struct err *e);
void link_cut(struct link *l, const char *what, int status);
void link_destroy(struct link *l);
void link_arm(struct link *l, uint64_t ms);
/* Bytes that the kernel has not taken yet, as ciphertext. */
uint64_t link_waiting(const struct link *l);

/* link_dial.c: an address that did not answer in time. */
void link_dial_timed_out(struct link *l);

/* link_pace.c. Begins when TLS is up. */
void link_pace_begin(struct link *l);
/* A whole frame came. ERR_PROTO: one too many. */
int link_pace_frame(struct link *l, struct err *e) MUST_CHECK;
/* limits.pace_ms have passed. ERR_NET: the peer is too slow, or says nothing. */
int link_pace_tick(struct link *l, struct err *e) MUST_CHECK;

#endif

#include "net/link_state.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

const struct link_limits link_limits_default = {
    .per_address = 1024,
    .shaking_per_address = 256,
    .shaking = 1024,
    .handshake_ms = LINK_HANDSHAKE_MS,
    .pace_ms = 30000,
    .pace_bytes = 8192,
    .frames = 4096,
    .frames_per_s = 512,
};

/* Bytes that the peer has acknowledged (tcp(7)). Those that the kernel has taken say too little: it
 * takes more when a third of its buffer is free, and of a buffer of megabytes that is, to a slow
 * peer, a matter of minutes. */
static uint64_t taken(const struct link *l)
{
    int on_the_way = 0;
    uv_os_fd_t fd;
    if (uv_fileno((const uv_handle_t *)&l->tcp, &fd) != 0 || ioctl(fd, SIOCOUTQ, &on_the_way) != 0)
        on_the_way = 0;
    return l->bytes_written - uv_stream_get_write_queue_size((const uv_stream_t *)&l->tcp) -
           (uint64_t)on_the_way;
}

/* Something came that is no whole frame yet: also ciphertext that is no whole record. While answers
 * wait for the peer, whole frames may wait here, too; then it is its reading that counts. */
static bool has_begun(const struct link *l)
{
    return l->bytes_in > l->settled && link_waiting(l) == 0;
}

static void take_mark(struct link *l)
{
    l->mark.in = l->bytes_in;
    l->mark.taken = taken(l);
    l->mark.frames = l->frames;
    l->mark.begun = has_begun(l);
    l->mark.queued = link_waiting(l) > 0;
}

void link_pace_begin(struct link *l)
{
    if (!l->owner)
        return;
    l->settled = l->bytes_in;
    l->last_frame = uv_now(l->loop);
    l->allowance = l->limits.frames;
    take_mark(l);
    link_arm(l, l->limits.pace_ms);
}

int link_pace_frame(struct link *l, struct err *e)
{
    if (!l->owner)
        return 0;
    uint64_t now = uv_now(l->loop);
    l->allowance += (double)(now - l->last_frame) * l->limits.frames_per_s / 1000;
    if (l->allowance > l->limits.frames)
        l->allowance = l->limits.frames;
    l->last_frame = now;
    l->frames++;
    if (l->allowance < 1)
        return err_set(e, ERR_PROTO, "the peer sends more than %u messages a second",
                       l->limits.frames_per_s);
    l->allowance -= 1;
    return 0;
}

int link_pace_tick(struct link *l, struct err *e)
{
    const struct link_limits *m = &l->limits;
    bool still = l->mark.begun && has_begun(l) && l->frames == l->mark.frames;
    if (still && l->bytes_in - l->mark.in < m->pace_bytes)
        return err_set(e, ERR_NET, "the peer sends too slowly: less than %u bytes in %u ms",
                       m->pace_bytes, m->pace_ms);
    if (l->mark.queued && link_waiting(l) > 0 && taken(l) - l->mark.taken < m->pace_bytes)
        return err_set(e, ERR_NET, "the peer does not read: less than %u bytes in %u ms",
                       m->pace_bytes, m->pace_ms);
    if (m->idle_ms && uv_now(l->loop) - l->last_frame >= m->idle_ms)
        return err_set(e, ERR_NET, "the peer says nothing");
    take_mark(l);
    return 0;
}

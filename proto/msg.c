#include "proto/msg.h"

#include <string.h>

static const char *const type_names[MSG_TYPES] = {
    [MSG_HELLO] = "Hello",     [MSG_WELCOME] = "Welcome", [MSG_READY] = "Ready",
    [MSG_TASK] = "Task",       [MSG_UPDATE] = "Update",   [MSG_RECEIPT] = "Receipt",
    [MSG_FINISH] = "Finish",   [MSG_GOODBYE] = "Goodbye", [MSG_PING] = "Ping",
    [MSG_PONG] = "Pong",       [MSG_ENROLL] = "Enroll",   [MSG_IDENTITY] = "Identity",
    [MSG_RENEW] = "Renew",     [MSG_PAUSED] = "Paused",   [MSG_PART] = "Part",
    [MSG_PROCEED] = "Proceed", [MSG_RUNS] = "Runs",
};

static const char *const reason_names[REASONS] = {
    [REASON_NONE] = "none",
    [REASON_VERSION] = "version",
    [REASON_RUN] = "run",
    [REASON_ROUND] = "round",
    [REASON_SCHEMA] = "schema",
    [REASON_SHAPE] = "shape",
    [REASON_NOT_FINITE] = "not_finite",
    [REASON_DUPLICATE] = "duplicate",
    [REASON_NOT_SELECTED] = "not_selected",
    [REASON_SAMPLES] = "samples",
    [REASON_MODEL] = "model",
    [REASON_DATA] = "data",
    [REASON_TOKEN] = "token",
    [REASON_IDENTITY] = "identity",
    [REASON_STOPPING] = "stopping",
    [REASON_UNEXPECTED] = "unexpected",
    [REASON_LATE] = "late",
    [REASON_INTERNAL] = "internal",
    [REASON_NORM] = "norm",
    [REASON_FULL] = "full",
    [REASON_PART] = "part",
};

static const char *const pause_texts[PAUSES] = {
    [PAUSE_NONE] = "",
    [PAUSE_HOURS] = "outside its hours",
    [PAUSE_BATTERY] = "on battery",
    [PAUSE_MEMORY] = "short of memory",
    [PAUSE_LOAD] = "busy with other work",
};

const char *msg_type_name(enum msg_type t)
{
    const char *name = (unsigned)t < MSG_TYPES ? type_names[t] : NULL;
    return name ? name : "unknown";
}

const char *msg_reason_name(enum msg_reason r)
{
    return (unsigned)r < REASONS ? reason_names[r] : "unknown";
}

const char *msg_pause_text(enum msg_pause p)
{
    return (unsigned)p < PAUSES ? pause_texts[p] : "";
}

bool msg_withdraws(const struct msg_receipt *r)
{
    static const struct hash none;
    return !r->accepted && hash_same(&r->update_id, &none);
}

size_t msg_limit(enum msg_type type, size_t packed)
{
    size_t all = packed * sizeof(float);
    switch (type) {
    case MSG_TASK:
    case MSG_FINISH:
        return all + 4096;
    case MSG_UPDATE:
    case MSG_PART:
        return (all < MSG_CHUNK ? all : MSG_CHUNK) + 4096;
    default:
        return (unsigned)type < MSG_TYPES && type_names[type] ? 64 << 10 : 0;
    }
}

static void feed_u32(struct hash_state *h, uint32_t v)
{
    unsigned char bytes[4];
    put_be32(bytes, v);
    hash_feed(h, bytes, sizeof bytes);
}

/* Lengths go in front of what varies, so that two different updates are never the same bytes. */
static void feed_text(struct hash_state *h, const char *text)
{
    feed_u32(h, (uint32_t)strlen(text));
    hash_feed(h, text, strlen(text));
}

struct hash msg_update_id(const struct msg_update *u, const char *client)
{
    struct hash_state state, *h = hash_begin(&state);
    feed_text(h, u->run_id);
    feed_u32(h, u->round);
    feed_text(h, client);
    if (u->coding != 0) { /* plain ones are hashed as they were before there were others */
        feed_u32(h, u->coding);
        feed_u32(h, (uint32_t)u->params.len);
    }
    /* How long these are is else fixed by the run. */
    hash_feed(h, u->params.data, u->params.len);
    hash_feed(h, u->control.data, u->control.len);
    return hash_end(h);
}

static bool own_strings(struct run_spec *s, struct arena *mem)
{
    char **string[] = {&s->task.name,          &s->task.data,         &s->task.text,
                       &s->task.text_pair,     &s->task.label,        &s->task.metric,
                       &s->peft.method,        &s->federation.column, &s->federation.upload,
                       &s->federation.download};
    for (size_t i = 0; i < sizeof string / sizeof *string; i++) {
        if (*string[i] && !(*string[i] = arena_strdup(mem, *string[i])))
            return false;
    }
    if (!s->task.labels)
        return true;
    char **label = arena_calloc(mem, s->task.n_labels, sizeof *label);
    for (uint32_t i = 0; label && i < s->task.n_labels; i++) {
        if (!(label[i] = arena_strdup(mem, s->task.labels[i])))
            return false;
    }
    s->task.labels = label;
    return label != NULL;
}

bool msg_welcome_own(struct msg_welcome *w, struct arena *mem)
{
    w->name = NULL;
    w->run_id = arena_strdup(mem, w->run_id);
    return w->run_id && own_strings(&w->spec, mem);
}

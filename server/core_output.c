#include "server/core_state.h"

static struct msg task(const struct core *c, const struct session *s)
{
    core_time end = c->round.async ? s->member->until : c->round.deadline, left = end - c->now;
    struct msg m = {
        .type = MSG_TASK,
        .task = {.run_id = c->config.run_id,
                 .round = c->round.number,
                 .deadline_ms = left > 0 ? (uint64_t)left : 0,
                 .control = scaffold_control(&c->round.scaffold),
                 .counted = s->member->counted},
    };
    m.task.params = payload_for(&c->round.payload, s->codings, &m.task.coding);
    return m;
}

static struct msg result(const struct core *c, const struct session *s)
{
    struct msg m = {.type = MSG_FINISH, .finish = {c->config.run_id, .rounds = c->round.number}};
    m.finish.params = payload_for(&c->round.payload, s->codings, &m.finish.coding);
    return m;
}

static struct msg welcome(const struct core *c, const struct session *s)
{
    struct msg m = {
        .type = MSG_WELCOME,
        .welcome =
            {
                .protocol = MSG_PROTOCOL,
                .run_id = c->config.run_id,
                .spec = *c->config.spec,
                .schema = c->config.schema->hash,
                .model = c->config.model,
                .index = s->member->index,
                .next_round = c->round.number,
            },
    };
    m.welcome.spec.task.data = NULL;
    return m;
}

static void say(const struct core *c, const struct session *s, enum due due, struct core_out *out)
{
    *out = (struct core_out){.kind = OUT_SEND, .conn = s->conn};
    switch (due) {
    case DUE_PONG:
        out->msg.type = MSG_PONG;
        break;
    case DUE_WELCOME:
        out->msg = welcome(c, s);
        break;
    case DUE_RECEIPT:
        out->msg = (struct msg){.type = MSG_RECEIPT, .receipt = s->receipt};
        break;
    case DUE_PROCEED:
        out->msg = (struct msg){.type = MSG_PROCEED, .proceed = s->proceed};
        break;
    case DUE_TASK:
        out->msg = task(c, s);
        break;
    case DUE_FINISH:
        out->msg = result(c, s);
        break;
    case DUE_GOODBYE:
        out->msg = (struct msg){.type = MSG_GOODBYE, .goodbye = s->goodbye};
        break;
    case DUE_CLOSE:
        out->kind = OUT_CLOSE;
        break;
    }
}

bool core_next(struct core *c, struct core_out *out)
{
    enum due due;
    const struct session *s = roster_next(&c->who, &due);
    const struct core_update *update = s == NULL ? round_next_update(&c->round) : NULL;
    if (s != NULL) {
        say(c, s, due, out);
    } else if (update != NULL) {
        *out = (struct core_out){.kind = OUT_STORE, .update = update};
    } else if (c->begin_due) {
        c->begin_due = false;
        c->begin_out = true;
        *out = (struct core_out){.kind = OUT_BEGIN, .attempt = &c->round.start};
    } else if (c->aggregate_due) {
        c->aggregate_due = false;
        c->aggregate_out = true;
        *out = (struct core_out){.kind = OUT_AGGREGATE};
    } else if (c->commit_due) { /* after the receipts, whose bytes belong to the round */
        c->commit_due = false;
        c->commit_out = true;
        round_record(&c->round);
        *out = (struct core_out){.kind = OUT_COMMIT, .commit = &c->round.commit};
    } else if (c->finish_due) {
        c->finish_due = false;
        *out = (struct core_out){.kind = OUT_FINISHED};
        if (c->round.state == ROUND_FAILED)
            out->failure = &c->round.failure;
    } else {
        return false;
    }
    return true;
}

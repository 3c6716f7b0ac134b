/* protobuf -> struct msg, for bytes that a stranger may have made: every field is checked as it is
 * taken over. */
#include "proto/msg.h"

#include "base/utf8.h"
#include "fedpet.pb-c.h"

#include <float.h>
#include <string.h>

enum {
    BLOCK = 2048, /* small allocations share one of these */
    ALIGN = 16,
    RUN_ID_DIGITS = 16,
    MAX_NAME = 64,
    MAX_EPOCHS = 1000000,
    MAX_STEPS = 1000000000,
    MAX_BATCH = 65536,
    MAX_TOKENS = 65536,
    MAX_CLIENTS = 10000000,
    MAX_ROUNDS = 1000000,
    MAX_RANK = 1024,
    MAX_BOTTLENECK = 4096,
    MAX_VIRTUAL = 1024,
    MAX_DEADLINE_S = 604800,
};
#define BELOW_1 (1 - DBL_EPSILON / 2)
#define MAX_DEADLINE_MS ((uint64_t)MAX_DEADLINE_S * 1000)

/* ---- memory -------------------------------------------------------------------------------- */

/* protobuf-c's allocator: the message's arena, with small pieces cut from blocks. The arena's cap
 * is what stops a frame of a million empty fields; nothing is freed one by one. */
struct pool {
    struct arena *mem;
    unsigned char *at;
    size_t left;
    bool starved; /* the machine had no more, within the cap */
};

static void *take(struct pool *p, size_t size)
{
    void *piece = arena_alloc(p->mem, size);
    if (!piece && p->mem->cap - p->mem->held >= size + BLOCK)
        p->starved = true;
    return piece;
}

static void *pool_alloc(void *data, size_t size)
{
    struct pool *p = data;
    if (size > BLOCK / 4)
        return take(p, size);
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (size > p->left) {
        unsigned char *block = take(p, BLOCK);
        if (!block)
            return NULL;
        p->at = block;
        p->left = BLOCK;
    }
    void *piece = p->at;
    p->at += size;
    p->left -= size;
    return piece;
}

static void pool_free(void *data, void *piece)
{
    (void)data, (void)piece;
}

/* ---- checks -------------------------------------------------------------------------------- */

/* Remembers the first fault of a message, so that the fields can be read as one flat list. */
struct reader {
    enum msg_type type;
    struct err *e;
    int rc;
};

static void refuse(struct reader *r, const char *field, const char *fault)
{
    if (!r->rc)
        r->rc = err_set(r->e, ERR_PROTO, "%s.%s: %s", msg_type_name(r->type), field, fault);
}

static uint64_t whole(struct reader *r, const char *field, uint64_t v, uint64_t min, uint64_t max)
{
    if (v < min || v > max)
        refuse(r, field, "out of range");
    return v;
}

static uint32_t whole32(struct reader *r, const char *field, uint32_t v, uint32_t min, uint32_t max)
{
    return (uint32_t)whole(r, field, v, min, max);
}

/* Written so that NaN fails. */
static double real(struct reader *r, const char *field, double v, double min, double max)
{
    if (!(v >= min && v <= max))
        refuse(r, field, "out of range or not a number");
    return v;
}

/* Bytes of the character at s; 0 when it is not UTF-8, or a control character other than `also`. */
static size_t character(const char *s, char also)
{
    unsigned char a = (unsigned char)s[0], b = a ? (unsigned char)s[1] : 0;
    bool control = a < 0x20 || a == 0x7f || (a == 0xc2 && b < 0xa0); /* C0, DEL, C1 */
    return control && !(also && s[0] == also) ? 0 : utf8_length(s);
}

static void check_text(struct reader *r, const char *field, const char *s, size_t max, char also)
{
    if (strnlen(s, max + 1) > max) {
        refuse(r, field, "too long");
        return;
    }
    size_t n;
    for (const char *p = s; *p; p += n) {
        n = character(p, also);
        if (n == 0) {
            refuse(r, field, "not UTF-8, or has control characters");
            return;
        }
    }
}

static char *remark(struct reader *r, const char *field, char *s)
{
    check_text(r, field, s, MSG_MAX_TEXT, 0);
    return s;
}

/* NULL when it is empty. */
static char *optional(struct reader *r, const char *field, char *s)
{
    return *remark(r, field, s) ? s : NULL;
}

static char *needed(struct reader *r, const char *field, char *s, size_t max)
{
    check_text(r, field, s, max, 0);
    if (!*s)
        refuse(r, field, "missing");
    return s;
}

static char *pem(struct reader *r, const char *field, char *s)
{
    check_text(r, field, s, MSG_MAX_PEM, '\n');
    if (!*s)
        refuse(r, field, "missing");
    return s;
}

static char *run_id(struct reader *r, char *s)
{
    if (strnlen(s, RUN_ID_DIGITS + 1) != RUN_ID_DIGITS ||
        strspn(s, "0123456789abcdef") != RUN_ID_DIGITS)
        refuse(r, "run_id", "not 16 hexadecimal digits");
    return s;
}

/* NULL when it is empty. */
static char *run_name(struct reader *r, const char *field, char *s)
{
    if (*s && !spec_name_ok(s))
        refuse(r, field, "no name of a run");
    return *s ? s : NULL;
}

static struct hash digest(struct reader *r, const char *field, ProtobufCBinaryData b)
{
    struct hash h = {{0}};
    if (b.len == HASH_BYTES)
        memcpy(h.byte, b.data, HASH_BYTES);
    else
        refuse(r, field, "not 32 bytes");
    return h;
}

static struct msg_bytes params(struct reader *r, ProtobufCBinaryData b, uint32_t coding)
{
    if (b.len == 0 || (coding == 0 && b.len % sizeof(float)))
        refuse(r, "params", "missing, or not whole floats");
    return (struct msg_bytes){b.data, b.len};
}

/* Of SCAFFOLD; there or not, as the run says. */
static struct msg_bytes control(struct reader *r, ProtobufCBinaryData b)
{
    if (b.len % sizeof(float))
        refuse(r, "control", "not whole floats");
    return (struct msg_bytes){b.data, b.len};
}

/* Params or control that came in parts: their length alone. */
static struct msg_bytes before(struct reader *r, const char *field, uint64_t length, uint64_t least,
                               uint32_t coding)
{
    whole(r, field, length, least, UINT32_MAX);
    if (coding == 0 && length % sizeof(float))
        refuse(r, field, "not whole floats");
    return (struct msg_bytes){NULL, (size_t)length};
}

/* ---- messages ------------------------------------------------------------------------------ */

static void read_hello(struct reader *r, const void *message, struct msg *out)
{
    const Fedpet__V1__Hello *p = message;
    out->hello = (struct msg_hello){
        .protocol = whole32(r, "protocol", p->protocol, 1, UINT32_MAX),
        .software = needed(r, "software", p->software, MSG_MAX_TEXT),
        .run = run_name(r, "run", p->run),
    };
}

static struct task_spec read_task_spec(struct reader *r, const Fedpet__V1__TaskSpec *p)
{
    if (p->n_classes > MSG_MAX_LABELS || p->outputs > MSG_MAX_LABELS)
        refuse(r, "task.classes", "too many");
    else if (p->n_classes && p->n_classes != p->outputs)
        refuse(r, "task.outputs", "not the number of classes");
    for (size_t i = 0; i < p->n_classes && !r->rc; i++)
        needed(r, "task.classes", p->classes[i], MSG_MAX_TEXT);
    return (struct task_spec){
        .name = needed(r, "task.name", p->name, MAX_NAME),
        .text = optional(r, "task.text", p->text),
        .text_pair = optional(r, "task.text_pair", p->text_pair),
        .label = optional(r, "task.label", p->label),
        .labels = p->n_classes ? p->classes : NULL,
        .n_labels = p->outputs,
        .metric = optional(r, "task.metric", p->metric),
        .splits = (enum splits)whole32(r, "task.splits", (uint32_t)p->splits, SPLITS_OFFICIAL,
                                       SPLITS_PAPER),
    };
}

static struct peft_spec read_peft_spec(struct reader *r, const Fedpet__V1__PeftSpec *p)
{
    return (struct peft_spec){
        .method = needed(r, "peft.method", p->method, MAX_NAME),
        .r = whole32(r, "peft.r", p->r, 1, MAX_RANK),
        .alpha = real(r, "peft.alpha", p->alpha, DBL_MIN, 1e6),
        .dropout = real(r, "peft.dropout", p->dropout, 0, BELOW_1),
        .rslora = p->rslora,
        .targets = whole32(r, "peft.targets", p->targets, 0, (1u << LIN_SITES) - 1),
        .norms = p->norms,
        .bottleneck = whole32(r, "peft.bottleneck", p->bottleneck, 0, MAX_BOTTLENECK),
        .placement = (enum placement)whole32(r, "peft.placement", (uint32_t)p->placement,
                                             PLACEMENT_OPENDELTA, PLACEMENT_PARALLEL),
        .activation = (enum activation)whole32(r, "peft.activation", (uint32_t)p->activation,
                                               ACTIVATION_DEFAULT, ACTIVATION_SWISH),
        .scaling = real(r, "peft.scaling", p->scaling, 0, 1e6),
        .length = whole32(r, "peft.length", p->length, 0, MAX_VIRTUAL),
        .hidden = whole32(r, "peft.hidden", p->hidden, 0, MAX_TOKENS),
        .shift = p->shift,
        .biases = (enum bias_set)whole32(r, "peft.biases", (uint32_t)p->biases, BIASES_ALL,
                                         BIASES_OPENDELTA),
    };
}

static struct local_spec read_local_spec(struct reader *r, const Fedpet__V1__LocalSpec *p)
{
    /* -1 stands for the model's own rate; nothing else below 0 means anything. */
    if (p->model_dropout < 0 && p->model_dropout != -1)
        refuse(r, "local.model_dropout", "out of range");
    if (p->epochs == 0 && p->steps == 0)
        refuse(r, "local.epochs", "missing, as is local.steps");
    return (struct local_spec){
        .epochs = whole32(r, "local.epochs", p->epochs, 0, MAX_EPOCHS),
        .steps = whole32(r, "local.steps", p->steps, 0, MAX_STEPS),
        .batch_size = whole32(r, "local.batch_size", p->batch_size, 1, MAX_BATCH),
        .accumulate = whole32(r, "local.accumulate", p->accumulate, 1, MAX_BATCH),
        .max_length = whole32(r, "local.max_length", p->max_length, 3, MAX_TOKENS),
        .optimizer = (enum optimizer)whole32(r, "local.optimizer", (uint32_t)p->optimizer,
                                             OPTIMIZER_ADAMW, OPTIMIZER_SGD),
        .schedule = (enum lr_schedule)whole32(r, "local.schedule", (uint32_t)p->schedule,
                                              SCHEDULE_LINEAR, SCHEDULE_CONSTANT),
        .lr = real(r, "local.lr", p->lr, 0, 1e3),
        .weight_decay = real(r, "local.weight_decay", p->weight_decay, 0, 1e3),
        .beta1 = real(r, "local.beta1", p->beta1, 0, BELOW_1),
        .beta2 = real(r, "local.beta2", p->beta2, 0, BELOW_1),
        .eps = real(r, "local.eps", p->eps, 1e-30, 1),
        .warmup = real(r, "local.warmup", p->warmup, 0, BELOW_1),
        .max_grad_norm = real(r, "local.max_grad_norm", p->max_grad_norm, 0, 1e9),
        .model_dropout = real(r, "local.model_dropout", p->model_dropout, -1, BELOW_1),
        .proximal = real(r, "local.proximal", p->proximal, 0, 1e6),
        .decay_over_run = p->decay_over_run,
        .carry_optimizer = p->carry_optimizer,
    };
}

static struct federation_spec read_federation_spec(struct reader *r,
                                                   const Fedpet__V1__FederationSpec *p)
{
    return (struct federation_spec){
        .clients = whole32(r, "federation.clients", p->clients, 1, MAX_CLIENTS),
        .per_round = whole32(r, "federation.per_round", p->per_round, 1, MAX_CLIENTS),
        .mode = (enum round_mode)whole32(r, "federation.mode", (uint32_t)p->mode, MODE_SYNC,
                                         MODE_ASYNC),
        .concurrency = whole32(r, "federation.concurrency", p->concurrency, 0, MAX_CLIENTS),
        .max_staleness = whole32(r, "federation.max_staleness", p->max_staleness, 0, MAX_ROUNDS),
        .over_select = real(r, "federation.over_select", p->over_select, 0, 10),
        .quorum = whole32(r, "federation.quorum", p->quorum, 0, MAX_CLIENTS),
        .rounds = whole32(r, "federation.rounds", p->rounds, 0, MAX_ROUNDS),
        .deadline_s = whole32(r, "federation.deadline_s", p->deadline_s, 0, MAX_DEADLINE_S),
        .partition = (enum partition_kind)whole32(r, "federation.partition", (uint32_t)p->partition,
                                                  PARTITION_IID, PARTITION_QUANTITY),
        .alpha = real(r, "federation.alpha", p->alpha, 0, 1e6),
        .column = optional(r, "federation.column", p->column),
        .weighted = p->weighted,
        .aggregator = (enum aggregation)whole32(r, "federation.aggregator", (uint32_t)p->aggregator,
                                                AGGREGATION_FEDAVG, AGGREGATION_KRUM),
        .clip_norm = real(r, "federation.clip_norm", p->clip_norm, 0, 1e9),
        .byzantine = whole32(r, "federation.byzantine", p->byzantine, 0, MAX_CLIENTS),
        .krum_keep = whole32(r, "federation.krum_keep", p->krum_keep, 0, MAX_CLIENTS),
        .max_update_norm = real(r, "federation.max_update_norm", p->max_update_norm, 0, 1e9),
        .optimizer = (enum server_optimizer)whole32(
            r, "federation.optimizer", (uint32_t)p->optimizer, SERVER_FEDAVG, SERVER_FEDYOGI),
        .server_lr = real(r, "federation.server_lr", p->server_lr, 0, 1e6),
        .server_beta1 = real(r, "federation.server_beta1", p->server_beta1, 0, BELOW_1),
        .server_beta2 = real(r, "federation.server_beta2", p->server_beta2, 0, BELOW_1),
        .server_tau = real(r, "federation.server_tau", p->server_tau, 0, 1e3),
        .scaffold = p->scaffold,
        .upload = optional(r, "federation.upload", p->upload),
        .download = optional(r, "federation.download", p->download),
        .zstd = p->zstd,
        .top_k = real(r, "federation.top_k", p->top_k, 0, 1),
        .best = p->best,
        .patience = whole32(r, "federation.patience", p->patience, 0, MAX_ROUNDS),
        .evaluate_every = whole32(r, "federation.evaluate_every", p->evaluate_every, 0, MAX_ROUNDS),
        .seed = p->seed,
    };
}

static void read_welcome(struct reader *r, const void *message, struct msg *out)
{
    const Fedpet__V1__Welcome *p = message;
    if (!p->task || !p->peft || !p->local || !p->federation) {
        refuse(r, "task, peft, local, federation", "one is missing");
        return;
    }
    out->welcome = (struct msg_welcome){
        .protocol = whole32(r, "protocol", p->protocol, 1, UINT32_MAX),
        .run_id = run_id(r, p->run_id),
        .name = run_name(r, "name", p->name),
        .spec.task = read_task_spec(r, p->task),
        .spec.peft = read_peft_spec(r, p->peft),
        .spec.local = read_local_spec(r, p->local),
        .spec.federation = read_federation_spec(r, p->federation),
        .schema = digest(r, "schema", p->schema),
        .model = digest(r, "model", p->model),
        .index = p->index,
        .next_round = whole32(r, "next_round", p->next_round, 0, MAX_ROUNDS),
    };
}

static void read_ready(struct reader *r, const void *message, struct msg *out)
{
    const Fedpet__V1__Ready *p = message;
    out->ready = (struct msg_ready){
        .schema = digest(r, "schema", p->schema),
        .model = digest(r, "model", p->model),
        .samples = p->samples,
        .codings = p->codings,
        .at_work = whole32(r, "at_work", p->at_work, 0, MAX_ROUNDS),
    };
}

static void read_task(struct reader *r, const void *message, struct msg *out)
{
    const Fedpet__V1__Task *p = message;
    out->task = (struct msg_task){
        .run_id = run_id(r, p->run_id),
        .round = whole32(r, "round", p->round, 0, MAX_ROUNDS),
        .deadline_ms = whole(r, "deadline_ms", p->deadline_ms, 0, MAX_DEADLINE_MS),
        .params = params(r, p->params, p->coding),
        .coding = p->coding,
        .control = control(r, p->control),
        .counted = whole32(r, "counted", p->counted, 0, MAX_ROUNDS),
    };
}

static void read_update(struct reader *r, const void *message, struct msg *out)
{
    const Fedpet__V1__Update *p = message;
    if (p->n_metrics > MSG_MAX_METRICS) {
        refuse(r, "metrics", "too many");
        return;
    }
    out->update = (struct msg_update){
        .run_id = run_id(r, p->run_id),
        .round = whole32(r, "round", p->round, 0, MAX_ROUNDS),
        .schema = digest(r, "schema", p->schema),
        .update_id = digest(r, "update_id", p->update_id),
        .samples = p->samples,
        .steps = p->steps,
        .train_loss = real(r, "train_loss", p->train_loss, -DBL_MAX, DBL_MAX),
        .seconds = real(r, "seconds", p->seconds, 0, DBL_MAX),
        .n_metrics = p->n_metrics,
        .coding = p->coding,
        .uploaded = p->params_length > 0,
    };
    struct msg_update *u = &out->update;
    if (u->uploaded && (p->params.len || p->control.len))
        refuse(r, "params", "here, and in parts too");
    u->params = u->uploaded ? before(r, "params_length", p->params_length, 1, p->coding)
                            : params(r, p->params, p->coding);
    u->control =
        u->uploaded ? before(r, "control_length", p->control_length, 0, 0) : control(r, p->control);
    for (size_t i = 0; i < p->n_metrics; i++)
        out->update.metric[i] = (struct msg_metric){
            .name = needed(r, "metrics.name", p->metrics[i]->name, MAX_NAME),
            .value = real(r, "metrics.value", p->metrics[i]->value, -DBL_MAX, DBL_MAX),
            .weight = p->metrics[i]->weight,
        };
}

static void read_receipt(struct reader *r, const void *message, struct msg *out)
{
    const Fedpet__V1__Receipt *p = message;
    out->receipt = (struct msg_receipt){
        .round = whole32(r, "round", p->round, 0, MAX_ROUNDS),
        .update_id = digest(r, "update_id", p->update_id),
        .accepted = p->accepted,
        .reason = (enum msg_reason)whole32(r, "reason", p->reason, 0, REASONS - 1),
        .text = remark(r, "text", p->text),
    };
}

static void read_finish(struct reader *r, const void *message, struct msg *out)
{
    const Fedpet__V1__Finish *p = message;
    out->finish = (struct msg_finish){
        .run_id = run_id(r, p->run_id),
        .rounds = whole32(r, "rounds", p->rounds, 0, MAX_ROUNDS),
        .params = params(r, p->params, p->coding),
        .coding = p->coding,
    };
}

static void read_goodbye(struct reader *r, const void *message, struct msg *out)
{
    const Fedpet__V1__Goodbye *p = message;
    out->goodbye = (struct msg_goodbye){
        .reason = (enum msg_reason)whole32(r, "reason", p->reason, 0, REASONS - 1),
        .text = remark(r, "text", p->text),
        .retry_after_s = p->retry_after_s,
    };
}

static void read_enroll(struct reader *r, const void *message, struct msg *out)
{
    const Fedpet__V1__Enroll *p = message;
    out->enroll = (struct msg_enroll){
        .token = needed(r, "token", p->token, MSG_MAX_TEXT),
        .csr_pem = pem(r, "csr_pem", p->csr_pem),
    };
}

static void read_identity(struct reader *r, const void *message, struct msg *out)
{
    const Fedpet__V1__Identity *p = message;
    out->identity = (struct msg_identity){
        .name = needed(r, "name", p->name, MAX_NAME),
        .cert_pem = pem(r, "cert_pem", p->cert_pem),
        .ca_pem = pem(r, "ca_pem", p->ca_pem),
    };
}

static void read_renew(struct reader *r, const void *message, struct msg *out)
{
    const Fedpet__V1__Renew *p = message;
    out->renew = (struct msg_renew){.csr_pem = *p->csr_pem ? pem(r, "csr_pem", p->csr_pem) : NULL};
}

static void read_part(struct reader *r, const void *message, struct msg *out)
{
    const Fedpet__V1__Part *p = message;
    out->part = (struct msg_part){
        .run_id = run_id(r, p->run_id),
        .round = whole32(r, "round", p->round, 0, MAX_ROUNDS),
        .update_id = digest(r, "update_id", p->update_id),
        .length = (size_t)whole(r, "length", p->length, 1, UINT32_MAX),
        .offset = (size_t)whole(r, "offset", p->offset, 0, p->length),
        .data = {p->data.data, p->data.len},
    };
    if (p->data.len > MSG_CHUNK || (!r->rc && p->data.len > p->length - p->offset))
        refuse(r, "data", "too long");
}

static void read_proceed(struct reader *r, const void *message, struct msg *out)
{
    const Fedpet__V1__Proceed *p = message;
    out->proceed = (struct msg_proceed){
        .update_id = digest(r, "update_id", p->update_id),
        .offset = (size_t)whole(r, "offset", p->offset, 0, UINT32_MAX),
    };
}

static void read_paused(struct reader *r, const void *message, struct msg *out)
{
    const Fedpet__V1__Paused *p = message;
    out->paused =
        (struct msg_paused){.why = (enum msg_pause)whole32(r, "why", p->why, 0, PAUSES - 1)};
}

static void read_runs(struct reader *r, const void *message, struct msg *out)
{
    const Fedpet__V1__Runs *p = message;
    if (p->n_names > MSG_MAX_RUNS)
        refuse(r, "names", "too many");
    for (size_t i = 0; i < p->n_names && !r->rc; i++)
        if (!run_name(r, "names", p->names[i]))
            refuse(r, "names", "one is empty");
    out->runs = (struct msg_runs){p->names, p->n_names};
}

static void read_nothing(struct reader *r, const void *message, struct msg *out)
{
    (void)r, (void)message, (void)out;
}

static const struct {
    const ProtobufCMessageDescriptor *form;
    void (*read)(struct reader *r, const void *message, struct msg *out);
} kinds[MSG_TYPES] = {
    [MSG_HELLO] = {&fedpet__v1__hello__descriptor, read_hello},
    [MSG_WELCOME] = {&fedpet__v1__welcome__descriptor, read_welcome},
    [MSG_READY] = {&fedpet__v1__ready__descriptor, read_ready},
    [MSG_TASK] = {&fedpet__v1__task__descriptor, read_task},
    [MSG_UPDATE] = {&fedpet__v1__update__descriptor, read_update},
    [MSG_RECEIPT] = {&fedpet__v1__receipt__descriptor, read_receipt},
    [MSG_FINISH] = {&fedpet__v1__finish__descriptor, read_finish},
    [MSG_GOODBYE] = {&fedpet__v1__goodbye__descriptor, read_goodbye},
    [MSG_PING] = {&fedpet__v1__ping__descriptor, read_nothing},
    [MSG_PONG] = {&fedpet__v1__pong__descriptor, read_nothing},
    [MSG_ENROLL] = {&fedpet__v1__enroll__descriptor, read_enroll},
    [MSG_IDENTITY] = {&fedpet__v1__identity__descriptor, read_identity},
    [MSG_RENEW] = {&fedpet__v1__renew__descriptor, read_renew},
    [MSG_PAUSED] = {&fedpet__v1__paused__descriptor, read_paused},
    [MSG_RUNS] = {&fedpet__v1__runs__descriptor, read_runs},
    [MSG_PART] = {&fedpet__v1__part__descriptor, read_part},
    [MSG_PROCEED] = {&fedpet__v1__proceed__descriptor, read_proceed},
};

int msg_decode(enum msg_type type, const unsigned char *payload, size_t len, struct arena *mem,
               struct msg *out, struct err *e)
{
    if ((unsigned)type >= MSG_TYPES || !kinds[type].form)
        return err_set(e, ERR_PROTO, "no message has type %u", (unsigned)type);
    struct pool pool = {.mem = mem};
    ProtobufCAllocator allocator = {pool_alloc, pool_free, &pool};
    const ProtobufCMessage *p =
        protobuf_c_message_unpack(kinds[type].form, &allocator, len, payload);
    if (!p && pool.starved)
        return err_set(e, ERR_NOMEM, "%s: no memory for %zu bytes", msg_type_name(type), len);
    if (!p)
        return err_set(e, ERR_PROTO, "%s: not a protobuf message, or needs too much memory",
                       msg_type_name(type));
    struct reader r = {.type = type, .e = e};
    struct msg m = {.type = type};
    kinds[type].read(&r, p, &m);
    if (!r.rc)
        *out = m;
    return r.rc;
}

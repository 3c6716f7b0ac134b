/* struct msg -> protobuf. The generated structs only point at ours, so that nothing is copied but
 * into the buffer. */
#include "proto/msg.h"

#include "fedpet.pb-c.h"

/* protobuf-c has no const, though it only reads what it packs. NULL travels as the empty string. */
static char *text(const char *s)
{
    return (char *)(uintptr_t)(s ? s : "");
}

static ProtobufCBinaryData bytes(struct msg_bytes b)
{
    return (ProtobufCBinaryData){.len = b.len, .data = (uint8_t *)(uintptr_t)b.data};
}

static ProtobufCBinaryData digest(const struct hash *h)
{
    return bytes((struct msg_bytes){h->byte, HASH_BYTES});
}

static int pack(const ProtobufCMessage *m, struct buf *out)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    if (n == 0)
        return 0;
    unsigned char *to = buf_reserve(out, n);
    if (!to)
        return ERR_NOMEM;
    buf_commit(out, protobuf_c_message_pack(m, to));
    return 0;
}

static int encode_hello(const struct msg_hello *m, struct buf *out)
{
    Fedpet__V1__Hello p = FEDPET__V1__HELLO__INIT;
    p.protocol = m->protocol;
    p.software = text(m->software);
    p.run = text(m->run);
    return pack(&p.base, out);
}

static void set_task(Fedpet__V1__TaskSpec *p, const struct task_spec *s)
{
    p->name = text(s->name);
    p->text = text(s->text);
    p->text_pair = text(s->text_pair);
    p->label = text(s->label);
    p->classes = s->labels;
    p->n_classes = s->labels ? s->n_labels : 0;
    p->outputs = s->n_labels;
    p->metric = text(s->metric);
    p->splits = (Fedpet__V1__Splits)s->splits;
}

static void set_peft(Fedpet__V1__PeftSpec *p, const struct peft_spec *s)
{
    p->method = text(s->method);
    p->r = s->r;
    p->alpha = s->alpha;
    p->dropout = s->dropout;
    p->rslora = s->rslora;
    p->targets = s->targets;
    p->norms = s->norms;
    p->bottleneck = s->bottleneck;
    p->placement = (Fedpet__V1__Placement)s->placement;
    p->activation = (Fedpet__V1__Activation)s->activation;
    p->scaling = s->scaling;
    p->length = s->length;
    p->hidden = s->hidden;
    p->shift = s->shift;
    p->biases = (Fedpet__V1__Biases)s->biases;
}

static void set_local(Fedpet__V1__LocalSpec *p, const struct local_spec *s)
{
    p->epochs = s->epochs;
    p->steps = s->steps;
    p->batch_size = s->batch_size;
    p->accumulate = s->accumulate;
    p->max_length = s->max_length;
    p->optimizer = (Fedpet__V1__Optimizer)s->optimizer;
    p->schedule = (Fedpet__V1__Schedule)s->schedule;
    p->lr = s->lr;
    p->weight_decay = s->weight_decay;
    p->beta1 = s->beta1;
    p->beta2 = s->beta2;
    p->eps = s->eps;
    p->warmup = s->warmup;
    p->max_grad_norm = s->max_grad_norm;
    p->model_dropout = s->model_dropout;
    p->proximal = s->proximal;
    p->decay_over_run = s->decay_over_run;
    p->carry_optimizer = s->carry_optimizer;
}

static void set_federation(Fedpet__V1__FederationSpec *p, const struct federation_spec *s)
{
    p->clients = s->clients;
    p->per_round = s->per_round;
    p->over_select = s->over_select;
    p->mode = (Fedpet__V1__Mode)s->mode;
    p->concurrency = s->concurrency;
    p->max_staleness = s->max_staleness;
    p->quorum = s->quorum;
    p->rounds = s->rounds;
    p->deadline_s = s->deadline_s;
    p->partition = (Fedpet__V1__Partition)s->partition;
    p->alpha = s->alpha;
    p->column = text(s->column);
    p->weighted = s->weighted;
    p->aggregator = (Fedpet__V1__Aggregation)s->aggregator;
    p->clip_norm = s->clip_norm;
    p->byzantine = s->byzantine;
    p->krum_keep = s->krum_keep;
    p->max_update_norm = s->max_update_norm;
    p->optimizer = (Fedpet__V1__ServerOptimizer)s->optimizer;
    p->server_lr = s->server_lr;
    p->server_beta1 = s->server_beta1;
    p->server_beta2 = s->server_beta2;
    p->server_tau = s->server_tau;
    p->scaffold = s->scaffold;
    p->upload = text(s->upload);
    p->download = text(s->download);
    p->zstd = s->zstd;
    p->top_k = s->top_k;
    p->best = s->best;
    p->patience = s->patience;
    p->evaluate_every = s->evaluate_every;
    p->seed = s->seed;
}

static int encode_welcome(const struct msg_welcome *m, struct buf *out)
{
    Fedpet__V1__Welcome p = FEDPET__V1__WELCOME__INIT;
    Fedpet__V1__TaskSpec task = FEDPET__V1__TASK_SPEC__INIT;
    Fedpet__V1__PeftSpec peft = FEDPET__V1__PEFT_SPEC__INIT;
    Fedpet__V1__LocalSpec local = FEDPET__V1__LOCAL_SPEC__INIT;
    Fedpet__V1__FederationSpec federation = FEDPET__V1__FEDERATION_SPEC__INIT;
    set_task(&task, &m->spec.task);
    set_peft(&peft, &m->spec.peft);
    set_local(&local, &m->spec.local);
    set_federation(&federation, &m->spec.federation);
    p.protocol = m->protocol;
    p.run_id = text(m->run_id);
    p.name = text(m->name);
    p.task = &task;
    p.peft = &peft;
    p.local = &local;
    p.federation = &federation;
    p.schema = digest(&m->schema);
    p.model = digest(&m->model);
    p.index = m->index;
    p.next_round = m->next_round;
    return pack(&p.base, out);
}

static int encode_ready(const struct msg_ready *m, struct buf *out)
{
    Fedpet__V1__Ready p = FEDPET__V1__READY__INIT;
    p.schema = digest(&m->schema);
    p.model = digest(&m->model);
    p.samples = m->samples;
    p.codings = m->codings;
    p.at_work = m->at_work;
    return pack(&p.base, out);
}

static int encode_task_own(const struct msg_task *m, struct buf *out)
{
    Fedpet__V1__Task p = FEDPET__V1__TASK__INIT;
    p.deadline_ms = m->deadline_ms;
    p.counted = m->counted;
    return pack(&p.base, out);
}

static int encode_task_same(const struct msg_task *m, struct buf *out)
{
    Fedpet__V1__Task p = FEDPET__V1__TASK__INIT;
    p.run_id = text(m->run_id);
    p.round = m->round;
    p.params = bytes(m->params);
    p.control = bytes(m->control);
    p.coding = m->coding;
    return pack(&p.base, out);
}

static int encode_update(const struct msg_update *m, struct buf *out)
{
    Fedpet__V1__Update p = FEDPET__V1__UPDATE__INIT;
    Fedpet__V1__Metric metric[MSG_MAX_METRICS], *list[MSG_MAX_METRICS];
    for (size_t i = 0; i < m->n_metrics; i++) {
        metric[i] = (Fedpet__V1__Metric)FEDPET__V1__METRIC__INIT;
        metric[i].name = text(m->metric[i].name);
        metric[i].value = m->metric[i].value;
        metric[i].weight = m->metric[i].weight;
        list[i] = &metric[i];
    }
    p.run_id = text(m->run_id);
    p.round = m->round;
    p.schema = digest(&m->schema);
    p.update_id = digest(&m->update_id);
    p.samples = m->samples;
    p.steps = m->steps;
    p.train_loss = m->train_loss;
    p.seconds = m->seconds;
    p.n_metrics = m->n_metrics;
    p.metrics = list;
    p.coding = m->coding;
    if (m->uploaded) {
        p.params_length = m->params.len;
        p.control_length = m->control.len;
    } else {
        p.params = bytes(m->params);
        p.control = bytes(m->control);
    }
    return pack(&p.base, out);
}

static int encode_receipt(const struct msg_receipt *m, struct buf *out)
{
    Fedpet__V1__Receipt p = FEDPET__V1__RECEIPT__INIT;
    p.round = m->round;
    p.update_id = digest(&m->update_id);
    p.accepted = m->accepted;
    p.reason = m->reason;
    p.text = text(m->text);
    return pack(&p.base, out);
}

static int encode_finish(const struct msg_finish *m, struct buf *out)
{
    Fedpet__V1__Finish p = FEDPET__V1__FINISH__INIT;
    p.run_id = text(m->run_id);
    p.rounds = m->rounds;
    p.params = bytes(m->params);
    p.coding = m->coding;
    return pack(&p.base, out);
}

static int encode_goodbye(const struct msg_goodbye *m, struct buf *out)
{
    Fedpet__V1__Goodbye p = FEDPET__V1__GOODBYE__INIT;
    p.reason = m->reason;
    p.text = text(m->text);
    p.retry_after_s = m->retry_after_s;
    return pack(&p.base, out);
}

static int encode_enroll(const struct msg_enroll *m, struct buf *out)
{
    Fedpet__V1__Enroll p = FEDPET__V1__ENROLL__INIT;
    p.token = text(m->token);
    p.csr_pem = text(m->csr_pem);
    return pack(&p.base, out);
}

static int encode_identity(const struct msg_identity *m, struct buf *out)
{
    Fedpet__V1__Identity p = FEDPET__V1__IDENTITY__INIT;
    p.name = text(m->name);
    p.cert_pem = text(m->cert_pem);
    p.ca_pem = text(m->ca_pem);
    return pack(&p.base, out);
}

static int encode_part(const struct msg_part *m, struct buf *out)
{
    Fedpet__V1__Part p = FEDPET__V1__PART__INIT;
    p.run_id = text(m->run_id);
    p.round = m->round;
    p.update_id = digest(&m->update_id);
    p.length = m->length;
    p.offset = m->offset;
    p.data = bytes(m->data);
    return pack(&p.base, out);
}

static int encode_proceed(const struct msg_proceed *m, struct buf *out)
{
    Fedpet__V1__Proceed p = FEDPET__V1__PROCEED__INIT;
    p.update_id = digest(&m->update_id);
    p.offset = m->offset;
    return pack(&p.base, out);
}

static int encode_paused(const struct msg_paused *m, struct buf *out)
{
    Fedpet__V1__Paused p = FEDPET__V1__PAUSED__INIT;
    p.why = m->why;
    return pack(&p.base, out);
}

static int encode_renew(const struct msg_renew *m, struct buf *out)
{
    Fedpet__V1__Renew p = FEDPET__V1__RENEW__INIT;
    p.csr_pem = text(m->csr_pem);
    return pack(&p.base, out);
}

static int encode_runs(const struct msg_runs *m, struct buf *out)
{
    Fedpet__V1__Runs p = FEDPET__V1__RUNS__INIT;
    p.n_names = m->n;
    p.names = m->name;
    return pack(&p.base, out);
}

int msg_encode_own(const struct msg *m, struct buf *out)
{
    switch (m->type) {
    case MSG_HELLO:
        return encode_hello(&m->hello, out);
    case MSG_WELCOME:
        return encode_welcome(&m->welcome, out);
    case MSG_READY:
        return encode_ready(&m->ready, out);
    case MSG_TASK:
        return encode_task_own(&m->task, out);
    case MSG_UPDATE:
        return encode_update(&m->update, out);
    case MSG_RECEIPT:
        return encode_receipt(&m->receipt, out);
    case MSG_GOODBYE:
        return encode_goodbye(&m->goodbye, out);
    case MSG_ENROLL:
        return encode_enroll(&m->enroll, out);
    case MSG_IDENTITY:
        return encode_identity(&m->identity, out);
    case MSG_RENEW:
        return encode_renew(&m->renew, out);
    case MSG_PAUSED:
        return encode_paused(&m->paused, out);
    case MSG_RUNS:
        return encode_runs(&m->runs, out);
    case MSG_PART:
        return encode_part(&m->part, out);
    case MSG_PROCEED:
        return encode_proceed(&m->proceed, out);
    case MSG_FINISH:
    case MSG_PING:
    case MSG_PONG:
    case MSG_TYPES:
        break; /* nothing to say beyond the type */
    }
    return 0;
}

int msg_encode_same(const struct msg *m, struct buf *out)
{
    if (m->type == MSG_TASK)
        return encode_task_same(&m->task, out);
    return m->type == MSG_FINISH ? encode_finish(&m->finish, out) : 0;
}

int msg_encode(const struct msg *m, struct buf *out)
{
    int rc = msg_encode_own(m, out);
    return rc ? rc : msg_encode_same(m, out);
}

/* Who is let in, and what both sides see when somebody is not: peers of every kind at the port of a
 * real server in the middle of a round, and servers of every kind at the end of the real link. */
#include "asking.h"
#include "craft.h"
#include "server/papers.h"

/* A guard against peers that wait for ever, far above what any of these tests takes. */
TestSuite(tls_matrix, .timeout = 120);

enum signer { OURS, ANOTHER, ITSELF };

static struct paper sign(const struct craft *c, enum signer by, const struct paper *ours)
{
    struct paper other = {0}, made;
    if (by == ANOTHER)
        other = craft_make(&(struct craft){.name = "another-ca"}, NULL);
    made = craft_make(c, by == OURS ? ours : by == ANOTHER ? &other : NULL);
    paper_release(&other);
    return made;
}

static struct paper our_ca(const struct deployment *d)
{
    struct identity ca = {0};
    struct err e = {0};
    cr_assert_eq(papers_ca(d->config, &ca, &e), 0, "%s", e.text);
    struct paper p = paper_read(ca.cert, ca.key);
    identity_release(&ca);
    return p;
}

/* --- a round that is waiting for its last update, while strangers knock --- */

struct scene {
    struct deployment d;
    uv_loop_t loop;
    struct robot r[ROBOTS];
    struct paper ca;
    unsigned page;
    size_t refused; /* lines of the audit log */
};

static void scene_open(struct scene *s)
{
    static const char *const more[] = {"metrics=127.0.0.1:0", "federation.quorum=2",
                                       "federation.deadline_s=3600"};
    *s = (struct scene){0};
    deployment_make(&s->d, more, 3);
    server_start(&s->d);
    s->page = page_port(&s->d);
    s->ca = our_ca(&s->d);
    uv_loop_init(&s->loop);
    s->r[0].stop_after = 1;
    for (int k = 0; k < ROBOTS; k++)
        robot_dial(&s->r[k], &s->loop, &s->d, k);
    while (!s->r[0].down)
        uv_run(&s->loop, UV_RUN_ONCE);
    await_state(&s->d, &s->loop, "round 2 of 3: 2 of 3 updates");
}

/* The last update comes, and the run ends as it would have without any of this. */
static void scene_close(struct scene *s)
{
    cr_assert(!s->r[1].down && !s->r[2].down);
    s->r[0].stop_after = 0;
    robot_dial(&s->r[0], &s->loop, &s->d, 0);
    uv_run(&s->loop, UV_RUN_DEFAULT);
    const struct schema *schema = peft_schema(s->d.run.peft);
    for (int k = 0; k < ROBOTS; k++) {
        cr_assert(s->r[k].finished);
        cr_assert_eq(s->r[k].tasks, ROUNDS);
        for (size_t i = 0; i < schema->count; i++)
            cr_assert_float_eq(s->r[k].final[i], s->d.run.params[i] + 0.002F * ROUNDS, 1e-6);
        robot_release(&s->r[k]);
    }
    cr_assert_eq(server_stop_by(&s->d, SIGTERM), 0);
    uv_loop_close(&s->loop);
    paper_release(&s->ca);
    deployment_remove(&s->d);
}

static double counted(const struct scene *s, const char *outcome)
{
    char sample[96], *page = get(s->page, "/metrics");
    snprintf(sample, sizeof sample, "fedpet_handshakes_total{port=\"clients\",outcome=\"%s\"}",
             outcome);
    double value = page_value(page, sample);
    free(page);
    return value;
}

/* --- strangers --- */

/* The server's answer to a Hello, or its alert. */
static int say_hello(SSL *ssl)
{
    const struct msg hello = {.type = MSG_HELLO, .hello = {MSG_PROTOCOL, "stranger"}};
    struct buf body, frame;
    char answer[FRAME_HEADER];
    size_t done = 0;
    buf_init(&body, 1024);
    buf_init(&frame, 1024);
    cr_assert_eq(msg_encode(&hello, &body), 0);
    cr_assert_eq(frame_begin(&frame, MSG_HELLO, buf_size(&body)), 0);
    cr_assert_eq(buf_append(&frame, buf_bytes(&body), buf_size(&body)), 0);
    bool answered = SSL_write_ex(ssl, buf_bytes(&frame), buf_size(&frame), &done) &&
                    SSL_read_ex(ssl, answer, sizeof answer, &done);
    buf_release(&body);
    buf_release(&frame);
    if (!answered)
        return bare_alert();
    /* Who came by the old CA's certificate is first asked to renew it. */
    cr_assert(answer[3] == MSG_WELCOME || answer[3] == MSG_RENEW);
    return ALERT_NONE;
}

/* How it goes for a client; *served, unless NULL: the server's certificate. */
static int knock(const struct scene *s, const struct paper *p, int version, struct hash *served)
{
    SSL_CTX *c = bare_context(TLS_client_method(), p, version);
    SSL *ssl = SSL_new(c);
    int fd = dial(s->d.port);
    SSL_set_fd(ssl, fd);
    ERR_clear_error();
    int alert = SSL_connect(ssl) == 1 ? say_hello(ssl) : bare_alert();
    X509 *cert = SSL_get1_peer_certificate(ssl);
    if (served)
        X509_digest(cert, EVP_sha256(), served->byte, NULL);
    X509_free(cert);
    SSL_shutdown(ssl);
    SSL_free(ssl);
    SSL_CTX_free(c);
    close(fd);
    return alert;
}

struct stranger {
    const char *kind;
    struct craft craft;
    enum signer signer;
    bool no_certificate, revoked;
    int version;
    int alert;          /* that it is sent */
    const char *reason; /* that the server enters in its audit log */
};

#define DEVICE .name = "client-0009"
static const struct stranger strangers[] = {
    {"good", {DEVICE}, .alert = ALERT_NONE},
    {"good, RSA", {DEVICE, .rsa_bits = 3072}, .alert = ALERT_NONE},
    {"expired",
     {DEVICE, .from_day = -30, .to_day = -1},
     .alert = SSL_AD_CERTIFICATE_EXPIRED,
     .reason = "certificate has expired"},
    {"not yet valid",
     {DEVICE, .from_day = 1, .to_day = 30},
     .alert = SSL_AD_BAD_CERTIFICATE,
     .reason = "certificate is not yet valid"},
    {"of another CA",
     {DEVICE},
     .signer = ANOTHER,
     .alert = SSL_AD_UNKNOWN_CA,
     .reason = "unable to get local issuer certificate"},
    {"signed by itself",
     {DEVICE},
     .signer = ITSELF,
     .alert = SSL_AD_UNKNOWN_CA,
     .reason = "self-signed certificate"},
    {"revoked",
     {DEVICE},
     .revoked = true,
     .alert = SSL_AD_CERTIFICATE_REVOKED,
     .reason = "certificate revoked"},
    {"without a certificate",
     {DEVICE},
     .no_certificate = true,
     .alert = SSL_AD_CERTIFICATE_REQUIRED,
     .reason = "showed no certificate"},
    {"TLS 1.2",
     {DEVICE},
     .version = TLS1_2_VERSION,
     .alert = SSL_AD_PROTOCOL_VERSION,
     .reason = "unsupported protocol"},
    {"RSA of 1024 bits",
     {DEVICE, .rsa_bits = 1024},
     .alert = SSL_AD_BAD_CERTIFICATE,
     .reason = "EE certificate key too weak"},
    {"signature by SHA-1",
     {DEVICE, .sha1 = true},
     .alert = SSL_AD_BAD_CERTIFICATE,
     .reason = "CA signature digest algorithm too weak"},
    {"a server's certificate",
     {DEVICE, .usage = "serverAuth"},
     .alert = SSL_AD_UNSUPPORTED_CERTIFICATE,
     .reason = "unsuitable certificate purpose"},
    {"a name that is none", {.name = "../client-0009"}, .alert = ALERT_CLOSED, .reason = "name"},
    {"no name", {.name = ""}, .alert = ALERT_CLOSED, .reason = "name"},
};

static void reload(struct scene *s)
{
    size_t before = count_audited(&s->d, "reloaded");
    kill(s->d.server, SIGHUP);
    await_audited(&s->d, "reloaded", before + 1);
    free(get(s->page, "/healthz")); /* answered when it is done with that */
}

static void revoke_paper(struct scene *s, const struct paper *p)
{
    struct store *store;
    struct err e = {0};
    struct store_certificate c = {.client = "client-0009",
                                  .given = (int64_t)time(NULL),
                                  .expires = (int64_t)time(NULL) + 3600};
    BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(p->cert), NULL);
    char *hex = BN_bn2hex(serial);
    snprintf(c.serial, sizeof c.serial, "%s", hex);
    OPENSSL_free(hex);
    BN_free(serial);
    cr_assert_eq(
        store_open(&store, folder_file(&s->d.folder, "state/" SERVER_DATABASE), STORE_WRITE, &e), 0,
        "%s", e.text);
    cr_assert_eq(store_certificate(store, &c, &e), 0, "%s", e.text);
    cr_assert_eq(store_revoke_serial(store, c.serial, c.given, &e), 0, "%s", e.text);
    store_close(store);
    reload(s);
}

static void check_entered(struct scene *s, const struct stranger *x)
{
    await_audited(&s->d, "refused", ++s->refused);
    json_t *lines = audited(&s->d, "refused");
    const json_t *last = json_array_get(lines, s->refused - 1);
    const char *reason = json_string_value(json_object_get(last, "reason"));
    cr_assert_eq(json_array_size(lines), s->refused, "%s", x->kind);
    cr_assert_not_null(strstr(reason, x->reason), "%s: %s", x->kind, reason);
    json_decref(lines);
}

static void meet(struct scene *s, const struct stranger *x)
{
    double failed = counted(s, "failed"), completed = counted(s, "completed");
    struct paper p = sign(&x->craft, x->signer, &s->ca);
    if (x->revoked)
        revoke_paper(s, &p);
    int alert = knock(s, x->no_certificate ? NULL : &p, x->version, NULL);
    cr_assert_eq(alert, x->alert, "%s: alert %d instead of %d", x->kind, alert, x->alert);
    if (x->reason)
        check_entered(s, x);
    cr_assert_eq(counted(s, "failed"), failed + (x->reason ? 1 : 0), "%s", x->kind);
    cr_assert_eq(counted(s, "completed"), completed + (x->reason ? 0 : 1), "%s", x->kind);
    paper_release(&p);
    uv_run(&s->loop, UV_RUN_NOWAIT);
    cr_assert(!s->r[1].down && !s->r[2].down, "%s: somebody else noticed", x->kind);
}

Test(tls_matrix, strangers_in_the_middle_of_a_round_are_told_counted_and_noticed_by_nobody)
{
    struct scene s;
    scene_open(&s);
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
        meet(&s, &strangers[i]);
    scene_close(&s);
}

/* --- certificates that change in the middle of a round --- */

Test(tls_matrix, certificates_change_in_the_middle_of_a_round_and_nobody_notices)
{
    struct scene s;
    struct err e = {0};
    struct hash first, second, third;
    scene_open(&s);
    struct paper old = craft_make(&(struct craft){DEVICE}, &s.ca);
    cr_assert_eq(knock(&s, &old, 0, &first), ALERT_NONE);
    cr_assert_eq(papers_renew(s.d.config, (int64_t)time(NULL), &e), 0, "%s", e.text);
    reload(&s);
    cr_assert_eq(knock(&s, &old, 0, &second), ALERT_NONE);
    cr_assert_not(hash_same(&first, &second), "the server shows its new certificate");

    /* Another CA beside the old one: both are good, and the server still shows the old one's. */
    cr_assert_eq(papers_roll(s.d.config, (int64_t)time(NULL), &e), 0, "%s", e.text);
    reload(&s);
    struct paper next = our_ca(&s.d), young = craft_make(&(struct craft){DEVICE}, &next);
    cr_assert_eq(knock(&s, &old, 0, &third), ALERT_NONE);
    cr_assert(hash_same(&second, &third));
    cr_assert_eq(knock(&s, &young, 0, NULL), ALERT_NONE);
    cr_assert_eq(counted(&s, "failed"), 0);
    cr_assert_eq(count_audited(&s.d, "refused"), 0);
    paper_release(&old);
    paper_release(&next);
    paper_release(&young);
    scene_close(&s);
}

/* --- the other way round: what a client accepts --- */

struct impostor {
    const char *kind;
    struct craft craft;
    enum signer signer;
    int version;
    int alert;          /* that the client sends */
    const char *reason; /* that it sees */
};

#define SERVER .name = "srv", .usage = "serverAuth", .hosts = "IP:127.0.0.1"
static const struct impostor impostors[] = {
    {"good", {SERVER}, .alert = ALERT_NONE},
    {"good, RSA", {SERVER, .rsa_bits = 3072}, .alert = ALERT_NONE},
    {"good, whatever its name",
     {.name = "../srv", .usage = "serverAuth", .hosts = "IP:127.0.0.1"},
     .alert = ALERT_NONE},
    {"expired",
     {SERVER, .from_day = -30, .to_day = -1},
     .alert = SSL_AD_CERTIFICATE_EXPIRED,
     .reason = "certificate has expired"},
    {"not yet valid",
     {SERVER, .from_day = 1, .to_day = 30},
     .alert = SSL_AD_BAD_CERTIFICATE,
     .reason = "certificate is not yet valid"},
    {"of another CA",
     {SERVER},
     .signer = ANOTHER,
     .alert = SSL_AD_UNKNOWN_CA,
     .reason = "unable to get local issuer certificate"},
    {"signed by itself",
     {SERVER},
     .signer = ITSELF,
     .alert = SSL_AD_UNKNOWN_CA,
     .reason = "self-signed certificate"},
    {"another host's",
     {.name = "srv", .usage = "serverAuth", .hosts = "DNS:localhost"},
     .alert = SSL_AD_BAD_CERTIFICATE,
     .reason = "IP address mismatch"},
    {"without hosts",
     {.name = "127.0.0.1", .usage = "serverAuth"},
     .alert = SSL_AD_BAD_CERTIFICATE,
     .reason = "IP address mismatch"},
    {"TLS 1.2",
     {SERVER},
     .version = TLS1_2_VERSION,
     .alert = ALERT_CLOSED, /* it is the server that sends one */
     .reason = "alert protocol version"},
    {"RSA of 1024 bits",
     {SERVER, .rsa_bits = 1024},
     .alert = SSL_AD_BAD_CERTIFICATE,
     .reason = "EE certificate key too weak"},
    {"signature by SHA-1",
     {SERVER, .sha1 = true},
     .alert = SSL_AD_BAD_CERTIFICATE,
     .reason = "CA signature digest algorithm too weak"},
    {"a device's certificate",
     {.name = "srv", .hosts = "IP:127.0.0.1"},
     .alert = SSL_AD_UNSUPPORTED_CERTIFICATE,
     .reason = "unsuitable certificate purpose"},
};

struct caller {
    struct link *link;
    bool up, down;
    struct err why;
};

static void caller_up(struct link *l, const char *peer, void *ctx)
{
    struct caller *c = ctx;
    (void)peer;
    c->up = true;
    link_close(l);
}

static int caller_frame(struct link *l, const struct frame *f, void *ctx, struct err *e)
{
    (void)l, (void)f, (void)ctx;
    return err_set(e, ERR_PROTO, "nobody asked");
}

static size_t caller_limit(void *ctx, uint8_t type)
{
    (void)ctx, (void)type;
    return 0;
}

static void caller_down(struct link *l, const struct err *e, void *ctx)
{
    struct caller *c = ctx;
    (void)l;
    c->down = true;
    c->why = *e;
}

static const struct link_events caller_events = {caller_up, caller_frame, caller_limit,
                                                 caller_down};

/* A process that serves one connection; its exit status tells the alert. */
static pid_t serve(int listening, const struct paper *p, int version)
{
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid > 0)
        return pid;
    char byte;
    size_t done;
    int fd = accept(listening, NULL, NULL), alert = ALERT_NONE;
    SSL_CTX *c = bare_context(TLS_server_method(), p, version);
    SSL *ssl = SSL_new(c);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) != 1)
        alert = bare_alert();
    else if (!SSL_read_ex(ssl, &byte, 1, &done) && SSL_get_error(ssl, 0) != SSL_ERROR_ZERO_RETURN)
        alert = bare_alert();
    SSL_free(ssl);
    SSL_CTX_free(c);
    _exit(alert & 0xff);
}

static int listen_somewhere(uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(bind(fd, (const struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 1) == 0 &&
              getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static void call(const struct impostor *x, struct tls_context *tls, const struct paper *ca)
{
    uint16_t port;
    uv_loop_t loop;
    int how, listening = listen_somewhere(&port);
    struct err e = {0};
    struct caller c = {0};
    struct paper p = sign(&x->craft, x->signer, ca);
    pid_t pid = serve(listening, &p, x->version);
    uv_loop_init(&loop);
    cr_assert_eq(link_connect(&c.link, &loop, "127.0.0.1", port, tls, &caller_events, &c, &e), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_assert(c.down);
    cr_assert_eq(c.up, x->reason == NULL, "%s", x->kind);
    cr_assert_eq(c.why.code, x->reason ? ERR_TLS : 0, "%s: %s", x->kind, c.why.text);
    if (x->reason)
        cr_assert_not_null(strstr(c.why.text, x->reason), "%s: %s", x->kind, c.why.text);
    cr_assert_eq(waitpid(pid, &how, 0), pid);
    cr_assert(WIFEXITED(how) && WEXITSTATUS(how) == (x->alert & 0xff), "%s: alert %d", x->kind,
              WEXITSTATUS(how));
    uv_loop_close(&loop);
    close(listening);
    paper_release(&p);
}

Test(tls_matrix, clients_refuse_every_impostor_and_say_which_it_was)
{
    struct deployment d;
    deployment_make(&d, NULL, 0);
    struct tls_context *tls = certify(&d, "client-0001");
    struct paper ca = our_ca(&d);
    for (size_t i = 0; i < sizeof impostors / sizeof *impostors; i++)
        call(&impostors[i], tls, &ca);
    paper_release(&ca);
    tls_context_close(tls);
    deployment_remove(&d);
}

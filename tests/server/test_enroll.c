#include "base/file.h"
#include "folder.h"
#include "net/token.h"
#include "server/enroll.h"
#include <time.h>

/* A CA on disk, a store, and the office that joins them. */
struct office {
    struct folder folder;
    struct identity ca, own;
    struct server_config config;
    struct store *store;
    struct enroll enroll;
    struct arena mem;
    int64_t now;
};

static void office_open(struct office *o)
{
    struct err e = {0};
    log_setup("test", stderr, LOG_ERROR, false);
    *o = (struct office){.folder = folder_make(), .now = (int64_t)time(NULL)};
    arena_init(&o->mem, 1 << 20);
    cr_assert_eq(identity_make_ca(&o->ca, "ca", o->now, 100, &e), 0, "%s", e.text);
    o->config.identity.ca = strdup(folder_file(&o->folder, "ca.pem"));
    o->config.identity.ca_key = strdup(folder_file(&o->folder, "ca.key"));
    cr_assert_eq(file_write(o->config.identity.ca, o->ca.cert, strlen(o->ca.cert), 0644, NULL), 0);
    cr_assert_eq(file_write(o->config.identity.ca_key, o->ca.key, strlen(o->ca.key), 0600, NULL),
                 0);
    cr_assert_eq(
        identity_make_server(&o->own, &o->ca, (const char *const[]){"localhost"}, 1, o->now, 9, &e),
        0);
    o->config.identity.cert = strdup(folder_file(&o->folder, "server.pem"));
    cr_assert_eq(file_write(o->config.identity.cert, o->own.cert, strlen(o->own.cert), 0644, NULL),
                 0);
    cr_assert_eq(store_open(&o->store, folder_file(&o->folder, "db"), STORE_WRITE, &e), 0, "%s",
                 e.text);
    cr_assert_eq(enroll_open(&o->enroll, &o->config, o->store, &e), 0, "%s", e.text);
}

static void office_close(struct office *o)
{
    enroll_close(&o->enroll);
    store_close(o->store);
    identity_release(&o->ca);
    identity_release(&o->own);
    free(o->config.identity.cert);
    arena_release(&o->mem);
    free(o->config.identity.ca);
    free(o->config.identity.ca_key);
    folder_remove(&o->folder);
}

static void issue(struct office *o, const char *name, char text[TOKEN_TEXT])
{
    struct token t;
    cr_assert_eq(token_make(&t, &o->enroll.fingerprint, NULL), 0);
    struct hash digest = token_digest(&t);
    cr_assert_eq(store_token(o->store, &digest, name, o->now, o->now + 60, NULL), 0);
    token_format(&t, text);
}

static struct msg ask(struct office *o, const char *token, const char *csr)
{
    struct msg answer;
    enroll_answer(&o->enroll, &(struct msg_enroll){token, csr}, o->now, &o->mem, &answer);
    return answer;
}

static void expect_no(const struct msg *answer, enum msg_reason reason, const char *word)
{
    cr_assert_eq(answer->type, MSG_GOODBYE);
    cr_assert_eq(answer->goodbye.reason, reason);
    cr_assert_eq(answer->goodbye.retry_after_s, 0);
    cr_assert_not_null(strstr(answer->goodbye.text, word), "%s", answer->goodbye.text);
}

Test(enroll, a_token_and_a_request_give_a_certificate)
{
    struct office o;
    struct identity device;
    char token[TOKEN_TEXT], name[IDENTITY_MAX_NAME + 1];
    office_open(&o);
    issue(&o, NULL, token);
    cr_assert_eq(identity_make_csr(&device, "phone-7", NULL), 0);
    struct msg answer = ask(&o, token, device.cert);
    cr_assert_eq(answer.type, MSG_IDENTITY);
    cr_assert_str_eq(answer.identity.name, "phone-7");
    cr_assert_str_eq(answer.identity.ca_pem, o.ca.cert);
    cr_assert_eq(identity_common_name(answer.identity.cert_pem, name, NULL), 0);
    cr_assert_str_eq(name, "phone-7");
    answer = ask(&o, token, device.cert);
    expect_no(&answer, REASON_TOKEN, "used");
    identity_release(&device);
    office_close(&o);
}

Test(enroll, a_token_for_a_name_decides_the_name)
{
    struct office o;
    struct identity device;
    char token[TOKEN_TEXT];
    office_open(&o);
    issue(&o, "client-0042", token);
    cr_assert_eq(identity_make_csr(&device, "somebody-else", NULL), 0);
    struct msg answer = ask(&o, token, device.cert);
    cr_assert_eq(answer.type, MSG_IDENTITY);
    cr_assert_str_eq(answer.identity.name, "client-0042");
    identity_release(&device);
    office_close(&o);
}

Test(enroll, a_taken_name_is_refused_and_the_token_stays_good)
{
    struct office o;
    struct identity device, other;
    char first[TOKEN_TEXT], second[TOKEN_TEXT];
    office_open(&o);
    issue(&o, NULL, first);
    issue(&o, NULL, second);
    cr_assert_eq(identity_make_csr(&device, "phone-7", NULL), 0);
    cr_assert_eq(identity_make_csr(&other, "phone-8", NULL), 0);
    cr_assert_eq(ask(&o, first, device.cert).type, MSG_IDENTITY);
    struct msg answer = ask(&o, second, device.cert);
    expect_no(&answer, REASON_TOKEN, "taken");
    cr_assert_eq(ask(&o, second, other.cert).type, MSG_IDENTITY);
    identity_release(&device);
    identity_release(&other);
    office_close(&o);
}

Test(enroll, tokens_that_are_not_ours_are_refused)
{
    struct office o;
    struct identity device;
    struct token foreign;
    struct hash elsewhere = hash_of("another ca", 10);
    char text[TOKEN_TEXT];
    office_open(&o);
    cr_assert_eq(identity_make_csr(&device, "phone-7", NULL), 0);
    struct msg answer = ask(&o, "nonsense", device.cert);
    expect_no(&answer, REASON_TOKEN, "not a token");
    cr_assert_eq(token_make(&foreign, &elsewhere, NULL), 0);
    token_format(&foreign, text);
    answer = ask(&o, text, device.cert);
    expect_no(&answer, REASON_TOKEN, "another server");
    cr_assert_eq(token_make(&foreign, &o.enroll.fingerprint, NULL), 0);
    token_format(&foreign, text);
    answer = ask(&o, text, device.cert);
    expect_no(&answer, REASON_TOKEN, "does not know");
    issue(&o, NULL, text);
    o.now += 60;
    answer = ask(&o, text, device.cert);
    expect_no(&answer, REASON_TOKEN, "expired");
    identity_release(&device);
    office_close(&o);
}

Test(enroll, a_broken_request_is_refused_and_the_token_stays_good)
{
    struct office o;
    struct identity device;
    char token[TOKEN_TEXT];
    office_open(&o);
    issue(&o, NULL, token);
    struct msg answer =
        ask(&o, token,
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n");
    cr_assert_eq(answer.goodbye.reason, REASON_IDENTITY);
    answer = ask(&o, token, o.ca.cert);
    cr_assert_eq(answer.goodbye.reason, REASON_IDENTITY);
    cr_assert_eq(identity_make_csr(&device, "phone-7", NULL), 0);
    cr_assert_eq(ask(&o, token, device.cert).type, MSG_IDENTITY);
    identity_release(&device);
    office_close(&o);
}

Test(enroll, a_missing_ca_key_names_the_file)
{
    struct office o;
    struct enroll again;
    struct err e = {0};
    office_open(&o);
    cr_assert_eq(remove(o.config.identity.ca_key), 0);
    cr_assert_eq(enroll_open(&again, &o.config, o.store, &e), ERR_IO);
    cr_assert_not_null(strstr(e.text, "ca.key"), "%s", e.text);
    office_close(&o);
}

Test(enroll, only_listed_names_may_come)
{
    static char phones[] = "phone-*", kiosks[] = "kiosk-[0-9]";
    char *pattern[] = {phones, kiosks};
    const struct name_list all = {0}, some = {pattern, 2};
    struct office o;
    struct identity device;
    char token[TOKEN_TEXT];
    cr_assert(enroll_allows(&all, "anybody"));
    cr_assert(enroll_allows(&some, "phone-7"));
    cr_assert(enroll_allows(&some, "kiosk-3"));
    cr_assert_not(enroll_allows(&some, "kiosk-33"));
    cr_assert_not(enroll_allows(&some, "my-phone-7"));
    office_open(&o);
    o.enroll.allow = &some;
    issue(&o, NULL, token);
    cr_assert_eq(identity_make_csr(&device, "tablet-1", NULL), 0);
    struct msg answer = ask(&o, token, device.cert);
    expect_no(&answer, REASON_TOKEN, "list");
    identity_release(&device);
    cr_assert_eq(identity_make_csr(&device, "phone-1", NULL), 0);
    cr_assert_eq(ask(&o, token, device.cert).type, MSG_IDENTITY, "the token is still good");
    identity_release(&device);
    office_close(&o);
}

struct books {
    unsigned good, revoked;
};

static int count(void *ctx, const struct store_certificate *c)
{
    struct books *b = ctx;
    cr_assert_str_eq(c->client, "phone-7");
    (*(c->revoked != 0 ? &b->revoked : &b->good))++;
    return 0;
}

static struct books audit(struct office *o)
{
    struct books b = {0};
    cr_assert_eq(store_certificates(o->store, o->now, count, &b, NULL), 0);
    return b;
}

Test(enroll, renewal_keeps_the_old_certificate_and_enrolling_anew_does_not)
{
    struct office o;
    struct identity device, fresh;
    struct msg answer;
    struct err e = {0};
    char token[TOKEN_TEXT], name[IDENTITY_MAX_NAME + 1];
    office_open(&o);
    issue(&o, "phone-7", token);
    cr_assert_eq(identity_make_csr(&device, "phone-7", NULL), 0);
    cr_assert_eq(ask(&o, token, device.cert).type, MSG_IDENTITY);
    cr_assert_not(o.enroll.replaced);
    /* Whatever name the request has, the connection's counts. */
    cr_assert_eq(identity_make_csr(&fresh, "somebody-else", NULL), 0);
    cr_assert_eq(enroll_renew(&o.enroll, &(struct msg_renew){fresh.cert}, "phone-7", o.now, &o.mem,
                              &answer, &e),
                 0, "%s", e.text);
    cr_assert_eq(answer.type, MSG_IDENTITY);
    cr_assert_eq(identity_common_name(answer.identity.cert_pem, name, NULL), 0);
    cr_assert_str_eq(name, "phone-7");
    struct books b = audit(&o);
    cr_assert(b.good == 2 && b.revoked == 0);
    issue(&o, "phone-7", token);
    cr_assert_eq(ask(&o, token, device.cert).type, MSG_IDENTITY);
    cr_assert(o.enroll.replaced);
    b = audit(&o);
    cr_assert(b.good == 1 && b.revoked == 2);
    cr_assert_eq(enroll_renew(&o.enroll, &(struct msg_renew){"nonsense"}, "phone-7", o.now, &o.mem,
                              &answer, &e),
                 ERR_TLS);
    identity_release(&fresh);
    identity_release(&device);
    office_close(&o);
}

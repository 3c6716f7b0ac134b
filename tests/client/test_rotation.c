/* The device's side of a renewal, against a CA of the test's own: what is on disk at every point.
 */
#include "base/file.h"
#include "client/rotation.h"
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { KILLS = 40 };

struct device {
    char dir[32];
    struct identity ca;
    struct rotation files;
    char *cert; /* the last one signed */
};

static struct msg_identity sign(struct device *d, const char *csr, const char *name, int64_t now)
{
    struct err e = {0};
    free(d->cert);
    d->cert = NULL;
    cr_assert_eq(identity_sign_csr(&d->cert, &d->ca, csr, name, now, 90, &e), 0, "%s", e.text);
    return (struct msg_identity){.name = name, .cert_pem = d->cert, .ca_pem = d->ca.cert};
}

/* Enrolled so many days ago, for 90. */
static void device_init(struct device *d, unsigned days_ago)
{
    struct identity first = {0};
    struct err e = {0};
    int64_t then = (int64_t)time(NULL) - days_ago * 86400;
    *d = (struct device){.dir = "/tmp/fedpet-device-XXXXXX"};
    cr_assert(mkdtemp(d->dir));
    cr_assert_eq(identity_make_ca(&d->ca, "ca", then, 200, &e), 0);
    cr_assert_eq(identity_make_csr(&first, "phone", &e), 0);
    struct msg_identity m = sign(d, first.cert, "phone", then);
    cr_assert_eq(rotation_init(&d->files, d->dir, &e), 0, "%s", e.text);
    cr_assert_eq(rotation_install(&d->files, first.key, &m, &e), 0, "%s", e.text);
    identity_release(&first);
}

static void device_release(struct device *d)
{
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", d->dir);
    cr_assert_eq(system(command), 0);
    rotation_release(&d->files);
    identity_release(&d->ca);
    free(d->cert);
}

static char *present_key(const struct device *d)
{
    char *key = NULL;
    cr_assert_eq(file_read(d->files.path[ROTATION_KEY], 1 << 16, &key, NULL, NULL), 0);
    return key;
}

/* What the daemon does when it starts. */
static void expect_usable(const struct device *d)
{
    struct rotation r;
    struct tls_context *tls = NULL;
    struct err e = {0};
    cr_assert_eq(rotation_init(&r, d->dir, &e), 0, "%s", e.text);
    cr_assert_eq(rotation_read(&r, &e), 0, "%s", e.text);
    cr_assert_str_eq(r.name, "phone");
    cr_assert_eq(rotation_tls(&r, &tls, &e), 0, "%s", e.text);
    tls_context_close(tls);
    rotation_release(&r);
}

Test(rotation, a_renewal_brings_a_new_key_and_more_time)
{
    struct device d;
    struct msg m;
    struct err e = {0};
    struct stat st;
    int64_t now = time(NULL);
    device_init(&d, 70);
    char *old = present_key(&d);
    int64_t ended = d.files.ends;
    cr_assert_eq(rotation_request(&d.files, &m, &e), 0, "%s", e.text);
    cr_assert_eq(m.type, MSG_RENEW);
    cr_assert_eq(rotation_request(&d.files, &m, &e), ERR_STATE, "one at a time");
    struct msg_identity answer = sign(&d, d.files.pending.cert, "phone", now);
    cr_assert_eq(rotation_accept(&d.files, &answer, &e), 0, "%s", e.text);
    cr_assert_gt(d.files.ends, ended);
    cr_assert_not(rotation_due(&d.files, now));
    char *fresh = present_key(&d);
    cr_assert_str_neq(fresh, old);
    cr_assert(stat(d.files.path[ROTATION_KEY], &st) == 0 && (st.st_mode & 0777) == 0600);
    expect_usable(&d);
    cr_assert_eq(rotation_accept(&d.files, &answer, &e), ERR_STATE, "nobody asked");
    free(fresh);
    free(old);
    device_release(&d);
}

Test(rotation, is_due_when_two_thirds_of_the_time_are_over)
{
    const struct rotation r = {.begins = 1000, .ends = 1900};
    cr_assert_not(rotation_due(&r, 1000));
    cr_assert_not(rotation_due(&r, 1600));
    cr_assert(rotation_due(&r, 1601));
    cr_assert(rotation_due(&r, 1899));
    cr_assert_not(rotation_due(&r, 1900), "the server would not let it in any more");
}

Test(rotation, answers_that_do_not_fit_leave_the_old_identity)
{
    struct device d;
    struct identity other = {0}, foreign = {0};
    struct msg m;
    struct err e = {0};
    int64_t now = time(NULL);
    device_init(&d, 70);
    char *old = present_key(&d);
    cr_assert_eq(identity_make_csr(&other, "phone", &e), 0);
    cr_assert_eq(identity_make_ca(&foreign, "ca", now, 10, &e), 0);
    for (int fault = 0; fault < 4; fault++) {
        cr_assert_eq(rotation_request(&d.files, &m, &e), 0, "%s", e.text);
        struct msg_identity a = sign(&d, fault == 1 ? other.cert : m.renew.csr_pem,
                                     fault == 0 ? "tablet" : "phone", now);
        if (fault == 2)
            a.ca_pem = foreign.cert;
        if (fault == 3)
            a.cert_pem = "nonsense";
        cr_assert_eq(rotation_accept(&d.files, &a, &e), ERR_TLS, "fault %d", fault);
        char *key = present_key(&d);
        cr_assert_str_eq(key, old);
        expect_usable(&d);
        free(key);
    }
    free(old);
    identity_release(&other);
    identity_release(&foreign);
    device_release(&d);
}

static void renew_without_end(struct device *d)
{
    struct msg m;
    for (;;) {
        if (rotation_request(&d->files, &m, NULL))
            _exit(1);
        struct msg_identity a = sign(d, m.renew.csr_pem, "phone", time(NULL));
        if (rotation_accept(&d->files, &a, NULL))
            _exit(1);
    }
}

Test(rotation, killed_anywhere_the_device_has_a_usable_identity, .timeout = 120)
{
    struct device d;
    device_init(&d, 70);
    for (useconds_t k = 0; k < KILLS; k++) {
        int how;
        pid_t child = fork();
        cr_assert_geq(child, 0);
        if (child == 0)
            renew_without_end(&d);
        usleep(2000 + 331 * k);
        cr_assert_eq(kill(child, SIGKILL), 0);
        cr_assert_eq(waitpid(child, &how, 0), child);
        cr_assert(WIFSIGNALED(how));
        expect_usable(&d);
    }
    device_release(&d);
}

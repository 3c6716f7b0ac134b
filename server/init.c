#include "server/init.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/node.h"
#include "server/papers.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What `init` leaves behind, in the order in which it is written. */
enum made { CA_CERT, CA_KEY, SERVER_CERT, SERVER_KEY, CONFIG, MADE };
static const struct {
    const char *name;
    mode_t mode;
} made[MADE] = {
    [CA_CERT] = {"ca.pem", 0644},         [CA_KEY] = {"ca.key", 0600},
    [SERVER_CERT] = {"server.pem", 0644}, [SERVER_KEY] = {"server.key", 0600},
    [CONFIG] = {"server.yaml", 0644},
};

/* KEY: DIR/NAME, as YAML. */
static int put_path(struct buf *b, const char *key, const char *dir, const char *name)
{
    char path[PATH_MAX];
    int rc = file_join(path, sizeof path, dir, name, NULL);
    if (rc == 0)
        rc = buf_printf(b, "%s: ", key);
    if (rc == 0)
        rc = node_write_text(path, true, b);
    return rc == 0 ? buf_printf(b, "\n") : rc;
}

static int describe(struct buf *b, const char *dir)
{
    int rc = buf_printf(
        b, "# Configuration of fedpet-server. Every key that is left out has a default:\n"
           "#   fedpet-server config show --config FILE\n"
           "# prints them all, with their values and where each came from.\n\n"
           "listen: 0.0.0.0:8443  # clients, by mutual TLS\n"
           "enroll: 0.0.0.0:8444  # devices that bring a token\n"
           "identity:\n");
    if (rc == 0)
        rc = put_path(b, "  ca", dir, made[CA_CERT].name);
    if (rc == 0)
        rc = put_path(b, "  ca_key", dir, made[CA_KEY].name);
    if (rc == 0)
        rc = put_path(b, "  cert", dir, made[SERVER_CERT].name);
    if (rc == 0)
        rc = put_path(b, "  key", dir, made[SERVER_KEY].name);
    if (rc == 0)
        rc = put_path(b, "state", dir, "state");
    if (rc != 0)
        return rc;
    return buf_printf(b, "\n# To be filled in: the base model, a Hugging Face folder, the same on "
                         "server and clients ...\n"
                         "#model: /srv/models/all-MiniLM-L6-v2\n"
                         "# ... and the task. Its data stay on the clients.\n"
                         "#task: {name: sst2}\n\n"
                         "peft: {method: lora, r: 8, alpha: 8, targets: [query, value]}\n"
                         "federation: {clients: 10, per_round: 5, rounds: 20, deadline_s: 600}\n"
                         "local: {epochs: 1, batch_size: 32, lr: 0.001}\n");
}

static int check_absent(const char *dir, struct err *e)
{
    char path[PATH_MAX];
    for (int i = 0; i < MADE; i++) {
        int rc = file_join(path, sizeof path, dir, made[i].name, e);
        if (rc != 0)
            return rc;
        if (file_exists(path))
            return err_set(
                e, ERR_IO,
                "%s exists: give another folder; a new CA would lock out every enrolled client",
                path);
    }
    return 0;
}

/* All files, or none. */
static int write_all(const char *dir, const void *const bytes[MADE], const size_t len[MADE],
                     struct err *e)
{
    char path[PATH_MAX];
    int rc = 0, written = 0;
    for (; rc == 0 && written < MADE; written++) {
        rc = file_join(path, sizeof path, dir, made[written].name, e);
        if (rc == 0)
            rc = file_write(path, bytes[written], len[written], made[written].mode, e);
    }
    for (int i = 0; rc != 0 && i < written; i++)
        if (file_join(path, sizeof path, dir, made[i].name, NULL) == 0)
            unlink(path);
    return rc;
}

static int make(const char *dir, const char *const *host, size_t n, struct err *e)
{
    char real[PATH_MAX];
    struct identity ca = {0}, server = {0};
    struct buf config;
    int64_t now = (int64_t)time(NULL);
    buf_init(&config, 1 << 16);
    int rc = realpath(dir, real) == NULL ? err_sys(e, ERR_IO, errno, "%s", dir) : 0;
    if (rc == 0)
        rc = identity_make_ca(&ca, "fedpet-ca", now, PAPERS_CA_DAYS, e);
    if (rc == 0)
        rc = identity_make_server(&server, &ca, host, n, now, PAPERS_SERVER_DAYS, e);
    if (rc == 0 && (rc = describe(&config, real)) != 0)
        err_set(e, rc, "%s: path too long", real);
    if (rc == 0) {
        const void *const bytes[MADE] = {ca.cert, ca.key, server.cert, server.key,
                                         buf_bytes(&config)};
        const size_t len[MADE] = {strlen(ca.cert), strlen(ca.key), strlen(server.cert),
                                  strlen(server.key), buf_size(&config)};
        rc = write_all(real, bytes, len, e);
    }
    buf_release(&config);
    identity_release(&server);
    identity_release(&ca);
    return rc;
}

int init_folder(const char *dir, const char *const *host, size_t n, struct err *e)
{
    int rc = file_mkdirs(dir, 0700, e);
    if (rc == 0)
        rc = check_absent(dir, e);
    return rc == 0 ? make(dir, host, n, e) : rc;
}

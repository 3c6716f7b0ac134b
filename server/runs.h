/* The runs of a server, as they lie in its state folder: what commands and the server itself know
 * of them without a core.
 *
 *     STATE/fedpet.db            the server's: certificates, tokens
 *     STATE/runs/NAME/run.yaml   the specification, every key of it
 *     STATE/runs/NAME/run.db     rounds, journal, and what the operator wants (server/store.h)
 *
 * A run appears and is whole at once: its folder is made under another name. The run that the
 * server's configuration describes is called RUNS_DEFAULT; it has no run.yaml, and no folder before
 * the server has served it. */
#ifndef SERVER_RUNS_H
#define SERVER_RUNS_H

#include "proto/msg.h"
#include "server/config.h"
#include "server/store.h"

#define RUNS_DEFAULT "default"
#define RUNS_SPEC "run.yaml"
#define RUNS_DATABASE "run.db"

/* Ascending. */
struct runs_names {
    char name[MSG_MAX_RUNS][SPEC_MAX_NAME + 1];
    size_t n;
};
/* All runs of a server. ERR_IO; ERR_STATE: more than MSG_MAX_RUNS. */
int runs_list(struct runs_names *out, const struct server_config *c, struct err *e) MUST_CHECK;
bool runs_has(const struct runs_names *names, const char *name);
/* The run that a command is about: `name`, or, when that is NULL, the only one. ERR_USAGE: there is
 * no such run, or several; ERR_IO. */
int runs_pick(char out[SPEC_MAX_NAME + 1], const struct server_config *c, const char *name,
              struct err *e) MUST_CHECK;

/* STATE/runs/NAME/FILE; file NULL: the folder. ERR_IO: the path is too long. */
int runs_path(char *out, size_t size, const char *state, const char *name, const char *file,
              struct err *e) MUST_CHECK;

/* The specification of a run. *conf owns it: for conf_free; NULL: the server's configuration does.
 * Errors of conf_load and run_config_check. */
int runs_spec(struct conf **conf, const struct run_config **out, const struct server_config *c,
              const char *name, struct err *e) MUST_CHECK;

/* Both, for a command that reads. */
struct runs_reader {
    char name[SPEC_MAX_NAME + 1];
    struct conf *conf;
    const struct run_config *config;
    struct store *store;
};
/* name as in runs_pick. Errors of it, runs_spec and store_open. */
int runs_read(struct runs_reader *r, const struct server_config *c, const char *name,
              struct err *e) MUST_CHECK;
void runs_close(struct runs_reader *r);
/* ERR_STATE: the store is of another run than the specification. */
int runs_differ(const struct runs_reader *r, struct err *e);

enum runs_state { RUN_CREATED, RUN_RUNNING, RUN_PAUSED, RUN_STOPPED, RUN_FINISHED };
const char *runs_state_name(enum runs_state s);
/* What the store says of a run with this federation. *run: as store_run, zero when there is none
 * yet. */
int runs_state(enum runs_state *out, struct store_run *run, struct store *s,
               const struct federation_spec *f, struct err *e) MUST_CHECK;

/* Makes the folder of a new run, with its specification and, so that all of it is known to be good,
 * its run_id and identity; `paused`: it waits for `run resume`. On disk when this returns.
 * ERR_CONFIG and others: of conf_load, run_config_check, run_open; ERR_USAGE: no name, or one that
 * exists; ERR_STATE: there are MSG_MAX_RUNS; ERR_IO. */
int runs_create(const struct server_config *c, const char *name, const char *from,
                const struct cli_list *set, bool paused, char run_id[17], struct err *e) MUST_CHECK;

/* Goes on with the run in `store`, or enters it: run and rounds are filled in. Errors of
 * store_begin. */
struct run;
int runs_begin(struct store *store, const struct run *run, struct store_run *stored,
               struct err *e) MUST_CHECK;

#endif

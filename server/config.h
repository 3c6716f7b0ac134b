/* The server's configuration: where it listens, who it is, where it keeps its state; and the run
 * itself: model, task, method, local training, federation. Relative paths are relative to the
 * working directory. */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include "base/cli.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/spec.h"
#include <stdbool.h>
#include <stdint.h>

/* Patterns of names, as fnmatch(3) has them. */
struct name_list {
    char **name;
    uint32_t n;
};

/* Top-level YAML keys are the members' names, with task, peft, local and federation beside them. */
struct server_config {
    char *listen, *enroll; /* "host:port", "[v6]:port"; port 0: any that is free */
    struct {
        char *ca, *ca_key, *cert, *key; /* PEM files, as `init` makes them */
    } identity;
    char *state;             /* folder of the database, made if need be */
    uint32_t journal_rounds; /* committed rounds whose updates are kept, to be replayed */
    uint32_t keep_rounds;    /* committed rounds whose parameters are kept; 0: all */
    char *model;             /* a Hugging Face directory */
    char *adapter; /* an adapter directory to begin with; NULL: the method's own initial values */
    struct log_settings log;
    uint32_t max_clients;       /* connections at a time */
    uint32_t max_per_address;   /* of these, from one address (IPv6: one /64) */
    struct name_list allow;     /* who may enrol and connect; none: everybody */
    struct name_list observers; /* of these, who gets the result and has no part in it */
    bool allow_root;            /* run with all of the machine's rights */
    bool exit_when_done;        /* end after the last round; else stay and hand out the result */
    char *metrics;    /* "host:port" of /metrics and /healthz; NULL: they are not served */
    uint32_t drain_s; /* SIGTERM's patience */
    struct run_spec spec;

    /* Where all this came from, to be read again: no keys. The strings are server_config_load's
     * caller's. */
    const struct conf *conf;
    const char *path;
    struct cli_list set;
};
extern const struct conf_type server_conf;

/* What a command asks of the configuration: the rest may be missing. */
enum server_need {
    NEED_STATE = 1,    /* state */
    NEED_IDENTITY = 2, /* identity.* */
    NEED_RUN = 4,      /* model, task.name, a federation that makes sense */
};

/* Loads `path` with overrides; *out is conf_data(*conf). ERR_USAGE: no path; ERR_CONFIG: as
 * conf_load, or a key that is needed is missing, or numbers that contradict each other. */
int server_config_load(struct conf **conf, struct server_config **out, const char *path,
                       const struct cli_list *set, unsigned needs, struct err *e) MUST_CHECK;

#endif

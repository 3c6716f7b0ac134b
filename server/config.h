/* The server's configuration: where it listens, who it is, where it keeps its state; and the run
 * that it may describe itself. Relative paths are relative to the working directory. */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include "base/cli.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/log.h"
#include "server/run_config.h"
#include <stdbool.h>
#include <stdint.h>

/* Patterns of names, as fnmatch(3) has them. */
struct name_list {
    char **name;
    uint32_t n;
};

/* Top-level YAML keys are the members' names, and those of a run_config beside them. */
struct server_config {
    char *listen, *enroll; /* "host:port", "[v6]:port"; port 0: any that is free */
    struct {
        char *ca, *ca_key, *cert, *key; /* PEM files, as `init` makes them */
    } identity;
    char *state;             /* folder of the database, made if need be */
    uint32_t journal_rounds; /* of each run: rounds whose updates are kept, to be replayed */
    uint32_t keep_rounds;    /* of each run: rounds whose parameters are kept; 0: all */
    struct log_settings log;
    uint32_t max_clients;       /* connections at a time */
    uint32_t max_per_address;   /* of these, from one address (IPv6: one /64) */
    struct name_list allow;     /* who may enrol and connect; none: everybody */
    struct name_list observers; /* of these, who gets the result and has no part in it */
    bool allow_root;            /* run with all of the machine's rights */
    bool exit_when_done;        /* end when all runs are over; else stay and hand out results */
    char *metrics;         /* "host:port" of /metrics and /healthz; NULL: they are not served */
    uint32_t drain_s;      /* SIGTERM's patience */
    struct run_config run; /* RUNS_DEFAULT (server/runs.h), if run_config_any */

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
    NEED_PORTS = 4,    /* listen, enroll; and a whole run, if it describes one at all */
};

/* Loads `path` with overrides; *out is conf_data(*conf). ERR_USAGE: no path; ERR_CONFIG: as
 * conf_load, or a key that is needed is missing, or numbers that contradict each other. */
int server_config_load(struct conf **conf, struct server_config **out, const char *path,
                       const struct cli_list *set, unsigned needs, struct err *e) MUST_CHECK;

#endif

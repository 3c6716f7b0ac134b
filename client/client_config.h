/* The daemon's configuration: where its server, identity, model and data are. What is trained, and
 * how, comes from the server. */
#ifndef CLIENT_CLIENT_CONFIG_H
#define CLIENT_CLIENT_CONFIG_H

#include "base/conf.h"
#include "base/err.h"
#include "base/log.h"
#include "client/gates.h"
#include "client/train.h"
#include <stdbool.h>
#include <stdint.h>

/* Names of runs. */
struct run_list {
    char **name;
    uint32_t n;
};

/* Top-level YAML keys are the members' names. */
struct client_config {
    char *server;   /* "host:port", "[v6]:port" */
    char *identity; /* folder with key.pem, cert.pem and ca.pem, as `enroll` leaves it */
    char *model;    /* a Hugging Face directory */
    char *data;  /* a folder in the task's layout, or one file (JSONL, CSV, TSV) with columns text,
                    text_pair (for pairs) and label */
    char *state; /* holds a folder a run, NAME/: adapter/, the values of the finished run, and what
                    is kept between rounds */
    struct run_list runs;  /* which runs of the server it takes part in; none: all */
    uint32_t threads;      /* 0: as many as there are cores */
    uint32_t checkpoint_s; /* from one savepoint of a training to the next at least; 0: none */
    uint32_t rest_after_s; /* without work until data and method are closed; 0: never */
    enum memory_mode memory;
    uint64_t memory_limit; /* bytes of activations; 0: none */
    double cpu_share; /* of the training threads' time that they may work, on average; 1: all */
    struct gate_settings gates;
    double validation; /* share of the data, 0 to 0.5, that is held out of training; the received
                          parameters are scored on it */
    struct log_settings log;
};
extern const struct conf_type client_conf;

/* Loads `path` with `n` overrides; the struct is conf_data(*conf). ERR_CONFIG: as conf_load, or a
 * key that has no default is missing, or server is no address. */
int client_config_load(struct conf **conf, const char *path, char *const *set, size_t n,
                       struct err *e) MUST_CHECK;

/* `threads` when not 0, else the number of cores. */
unsigned client_threads(uint64_t threads);

/* The value of an option --memory: ERR_USAGE; and back again. */
int client_memory(const char *word, enum memory_mode *out, struct err *e) MUST_CHECK;
const char *client_memory_word(enum memory_mode mode);

#endif

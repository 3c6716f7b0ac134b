#include "client/client_config.h"
#include "net/link.h"
#include "proto/msg.h"
#include <string.h>
#include <unistd.h>

typedef struct client_config config;

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define TEXT(member)                                                                               \
    CYAML_FIELD_STRING_PTR(#member, CYAML_FLAG_POINTER | OPTIONAL, config, member, 0,              \
                           CYAML_UNLIMITED)

#define GATE(kind, member) CYAML_FIELD_##kind(#member, OPTIONAL, struct gate_settings, member)
#define GATE_TEXT(member)                                                                          \
    CYAML_FIELD_STRING_PTR(#member, CYAML_FLAG_POINTER | OPTIONAL, struct gate_settings, member,   \
                           0, CYAML_UNLIMITED)

static const cyaml_schema_field_t gate_fields[] = {
    GATE_TEXT(hours),     GATE(BOOL, ac_power), GATE(FLOAT, max_load), GATE(UINT, min_free),
    GATE(UINT, settle_s), GATE_TEXT(root),      CYAML_FIELD_END,
};
static const cyaml_schema_value_t name_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, SPEC_MAX_NAME)};
static const cyaml_strval_t memory_words[] = {
    [MEMORY_AUTO] = {"auto", MEMORY_AUTO},
    [MEMORY_MIN] = {"min", MEMORY_MIN},
    [MEMORY_FAST] = {"fast", MEMORY_FAST},
    [MEMORY_HALF] = {"half", MEMORY_HALF},
};
static const cyaml_schema_field_t fields[] = {
    TEXT(server),
    TEXT(identity),
    TEXT(model),
    TEXT(data),
    TEXT(state),
    CYAML_FIELD_SEQUENCE_COUNT("runs", CYAML_FLAG_POINTER | OPTIONAL, config, runs.name, runs.n,
                               &name_schema, 0, MSG_MAX_RUNS),
    CYAML_FIELD_UINT("threads", OPTIONAL, config, threads),
    CYAML_FIELD_UINT("checkpoint_s", OPTIONAL, config, checkpoint_s),
    CYAML_FIELD_UINT("rest_after_s", OPTIONAL, config, rest_after_s),
    CYAML_FIELD_ENUM("memory", OPTIONAL | CYAML_FLAG_STRICT, config, memory, memory_words,
                     CYAML_ARRAY_LEN(memory_words)),
    CYAML_FIELD_UINT("memory_limit", OPTIONAL, config, memory_limit),
    CYAML_FIELD_FLOAT("cpu_share", OPTIONAL, config, cpu_share),
    CYAML_FIELD_MAPPING("gates", OPTIONAL, config, gates, gate_fields),
    CYAML_FIELD_FLOAT("validation", OPTIONAL, config, validation),
    CYAML_FIELD_MAPPING("log", OPTIONAL, config, log, conf_log_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, config, fields)};
static const struct conf_range ranges[] = {
    {"threads", 0, 1024},       {"checkpoint_s", 0, 86400},
    {"rest_after_s", 0, 86400}, {"cpu_share", 0.01, 1},
    {"gates.max_load", 0, 1},   {"gates.settle_s", 0, 86400},
    {"validation", 0, 0.5},     {0},
};
static const char *const sizes[] = {"memory_limit", "gates.min_free", NULL};
const struct conf_type client_conf = {
    .schema = &schema,
    .defaults = "threads: 0\n"
                "checkpoint_s: 30\n"
                "rest_after_s: 30\n"
                "memory: auto\n"
                "memory_limit: 0\n"
                "cpu_share: 1\n"
                "gates: {ac_power: false, max_load: 0, min_free: 0, settle_s: 30, root: /}\n"
                "validation: 0\n" CONF_LOG_DEFAULTS,
    .range = ranges,
    .sizes = sizes,
};

unsigned client_threads(uint64_t threads)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (threads)
        return threads > 1024 ? 1024 : (unsigned)threads;
    return cores > 0 ? (unsigned)cores : 1;
}

int client_memory(const char *word, enum memory_mode *out, struct err *e)
{
    for (size_t i = 0; i < CYAML_ARRAY_LEN(memory_words); i++)
        if (strcmp(word, memory_words[i].str) == 0) {
            *out = (enum memory_mode)memory_words[i].val;
            return 0;
        }
    return err_set(e, ERR_USAGE, "--memory %s is unknown; use auto, min, fast or half", word);
}

const char *client_memory_word(enum memory_mode mode)
{
    return memory_words[mode].str;
}

static int check_gates(const config *c, const char *path, struct err *e)
{
    struct gates g;
    int rc = gates_open(&g, &c->gates, e);
    if (rc)
        return err_wrap(e, "%s", path);
    if (gates_any(&g) && c->checkpoint_s == 0)
        return err_set(e, ERR_CONFIG,
                       "%s: checkpoint_s: 0 keeps no savepoint to go on from when a gate has put "
                       "training off: give 1 at least",
                       path);
    return 0;
}

static int check(const config *c, const char *path, struct err *e)
{
    const struct {
        const char *key, *value, *what;
    } needed[] = {
        {"server", c->server, "HOST:PORT of the aggregation server"},
        {"identity", c->identity, "the folder that `fedpet-client enroll` made"},
        {"model", c->model, "the folder of a Hugging Face model"},
        {"data", c->data, "a folder in the task's layout, or a file"},
        {"state", c->state, "a folder for the trained adapter"},
    };
    char host[LINK_MAX_HOST];
    uint16_t port;
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        if (!needed[i].value || !*needed[i].value)
            return err_set(e, ERR_CONFIG, "%s: %s is missing: give %s", path, needed[i].key,
                           needed[i].what);
    }
    for (uint32_t i = 0; i < c->runs.n; i++)
        if (!spec_name_ok(c->runs.name[i]))
            return err_set(e, ERR_CONFIG, "%s: runs: %s is no name of a run: 1 to %d of a-z 0-9 -",
                           path, c->runs.name[i], SPEC_MAX_NAME);
    if (link_parse_address(c->server, host, &port, e)) {
        e->code = ERR_CONFIG;
        return err_wrap(e, "%s: server", path);
    }
    if (port == 0)
        return err_set(e, ERR_CONFIG, "%s: server: %s: the port must be 1 to 65535", path,
                       c->server);
    return check_gates(c, path, e);
}

int client_config_load(struct conf **conf, const char *path, char *const *set, size_t n,
                       struct err *e)
{
    struct conf *c;
    int rc = conf_load(&c, &client_conf, path, set, n, e);
    if (rc)
        return rc;
    rc = check(conf_data(c), path ? path : "--set", e);
    if (rc) {
        conf_free(c);
        return rc;
    }
    *conf = c;
    return 0;
}

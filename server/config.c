#include "server/config.h"
#include "net/identity.h"

typedef struct server_config config;

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define TEXT(key, member)                                                                          \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | OPTIONAL, config, member, 0, CYAML_UNLIMITED)
/* A member of a nested anonymous struct: its offset inside it. */
#define INSIDE(outer, member) (offsetof(config, outer.member) - offsetof(config, outer))
#define PEM(member)                                                                                \
    {                                                                                              \
        .key = #member, .data_offset = INSIDE(identity, member), .value = {                        \
            CYAML_VALUE_STRING(CYAML_FLAG_POINTER | OPTIONAL, char *, 0, CYAML_UNLIMITED)          \
        }                                                                                          \
    }

static const cyaml_schema_field_t identity_fields[] = {
    PEM(ca), PEM(ca_key), PEM(cert), PEM(key), CYAML_FIELD_END,
};
static const cyaml_schema_value_t name_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, IDENTITY_MAX_NAME)};
#define NAMES(member)                                                                              \
    CYAML_FIELD_SEQUENCE_COUNT(#member, CYAML_FLAG_POINTER | OPTIONAL, config, member.name,        \
                               member.n, &name_schema, 0, 4096)
static const cyaml_schema_field_t fields[] = {
    TEXT("listen", listen),
    TEXT("enroll", enroll),
    CYAML_FIELD_MAPPING("identity", OPTIONAL, config, identity, identity_fields),
    TEXT("state", state),
    CYAML_FIELD_UINT("journal_rounds", OPTIONAL, config, journal_rounds),
    CYAML_FIELD_UINT("keep_rounds", OPTIONAL, config, keep_rounds),
    TEXT("model", run.model),
    TEXT("adapter", run.adapter),
    CYAML_FIELD_MAPPING("log", OPTIONAL, config, log, conf_log_fields),
    CYAML_FIELD_UINT("max_clients", OPTIONAL, config, max_clients),
    CYAML_FIELD_UINT("max_per_address", OPTIONAL, config, max_per_address),
    NAMES(allow),
    NAMES(observers),
    CYAML_FIELD_BOOL("allow_root", OPTIONAL, config, allow_root),
    CYAML_FIELD_BOOL("exit_when_done", OPTIONAL, config, exit_when_done),
    TEXT("metrics", metrics),
    CYAML_FIELD_UINT("drain_s", OPTIONAL, config, drain_s),
    CYAML_FIELD_MAPPING("task", OPTIONAL, config, run.spec.task, conf_task_fields),
    CYAML_FIELD_MAPPING("peft", OPTIONAL, config, run.spec.peft, conf_peft_fields),
    CYAML_FIELD_MAPPING("local", OPTIONAL, config, run.spec.local, conf_local_fields),
    CYAML_FIELD_MAPPING("federation", OPTIONAL, config, run.spec.federation,
                        conf_federation_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, config, fields)};
static const struct conf_range ranges[] = {CONF_RUN_RANGES{"max_clients", 1, 1000000},
                                           {"max_per_address", 1, 1000000},
                                           {"journal_rounds", 0, 1e6},
                                           {"keep_rounds", 0, 1e6},
                                           {"drain_s", 1, 86400},
                                           {0}};

const struct conf_type server_conf = {
    .schema = &schema,
    .defaults = "listen: 0.0.0.0:8443\n"
                "enroll: 0.0.0.0:8444\n" CONF_LOG_DEFAULTS "max_clients: 10000\n"
                "max_per_address: 1024\n"
                "allow_root: false\n"
                "journal_rounds: 2\n"
                "keep_rounds: 0\n"
                "exit_when_done: false\n"
                "drain_s: 30\n" CONF_RUN_DEFAULTS,
    .range = ranges,
};

struct need {
    unsigned set;
    const char *key, *value, *what;
};

static int check(const config *c, const char *path, unsigned needs, struct err *e)
{
    const struct need need[] = {
        {NEED_STATE, "state", c->state, "a folder for the server's database"},
        {NEED_IDENTITY, "identity.ca", c->identity.ca, "the CA's certificate, ca.pem"},
        {NEED_IDENTITY, "identity.ca_key", c->identity.ca_key, "the CA's key, ca.key"},
        {NEED_IDENTITY, "identity.cert", c->identity.cert, "the server's certificate, server.pem"},
        {NEED_IDENTITY, "identity.key", c->identity.key, "the server's key, server.key"},
        {NEED_PORTS, "listen", c->listen, "HOST:PORT for clients"},
        {NEED_PORTS, "enroll", c->enroll, "HOST:PORT for devices that enrol"},
    };
    for (size_t i = 0; i < sizeof need / sizeof *need; i++)
        if ((needs & need[i].set) != 0 && (need[i].value == NULL || need[i].value[0] == '\0'))
            return err_set(e, ERR_CONFIG, "%s: %s is missing: give %s", path, need[i].key,
                           need[i].what);
    return (needs & NEED_PORTS) != 0 && run_config_any(&c->run) ? run_config_check(&c->run, path, e)
                                                                : 0;
}

int server_config_load(struct conf **conf, struct server_config **out, const char *path,
                       const struct cli_list *set, unsigned needs, struct err *e)
{
    struct conf *c;
    if (path == NULL)
        return err_set(
            e, ERR_USAGE,
            "--config FILE is missing: give the server.yaml that `fedpet-server init` made");
    int rc = conf_load(&c, &server_conf, path, set->item, set->n, e);
    if (rc != 0)
        return rc;
    rc = check(conf_data(c), path, needs, e);
    if (rc != 0) {
        conf_free(c);
        return rc;
    }
    *conf = c;
    *out = conf_data(c);
    (*out)->conf = c;
    (*out)->path = path;
    (*out)->set = *set;
    return 0;
}

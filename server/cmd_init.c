#include "server/cmd.h"
#include "server/init.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The given hosts, or those by which this machine is known to itself. */
static size_t choose_hosts(const struct cli_list *given, char *own, size_t size,
                           const char *host[CLI_MAX_REPETITIONS])
{
    size_t n = 0;
    for (; n < given->n; n++)
        host[n] = given->item[n];
    if (n > 0)
        return n;
    if (gethostname(own, size) == 0 && own[0] != '\0' && strcmp(own, "localhost") != 0)
        host[n++] = own;
    host[n++] = "localhost";
    host[n++] = "127.0.0.1";
    host[n++] = "::1";
    return n;
}

int cmd_init(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char own[HOST_NAME_MAX + 1] = "";
    const char *host[CLI_MAX_REPETITIONS];
    struct cli_list hosts = {0};
    const struct cli_option options[] = {
        {"host", 0, CLI_LIST, "NAME",
         "name or address by which clients reach this server; may be repeated", &hosts},
        {0},
    };
    struct cli_args args;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc != 0 || args.help)
        return rc;
    if (args.n != 1)
        return err_set(e, ERR_USAGE, "init needs one folder to write to");
    const char *dir = args.word[0];
    size_t n = choose_hosts(&hosts, own, sizeof own, host);
    rc = init_folder(dir, host, n, e);
    if (rc == 0)
        printf("CA, server certificate and server.yaml are in %s\n"
               "Next: fill in `model` and `task` in %s/server.yaml, then\n"
               "  fedpet-server serve --config %s/server.yaml\n"
               "  fedpet-server token --config %s/server.yaml\n",
               dir, dir, dir, dir);
    return rc;
}

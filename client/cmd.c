#include "client/cmd.h"
#include "model/jsonfile.h"

int cmd_print_json(json_t *json, bool indent, struct err *e)
{
    int rc = jsonfile_print(json, CMD_JSON_DIGITS | (indent ? JSON_INDENT(2) : 0), e);
    json_decref(json);
    return rc;
}

#include "model/jsontext.h"
#include <stdlib.h>
#include <string.h>

char *jsontext(const json_t *json, size_t flags)
{
    size_t len = json != NULL ? json_dumpb(json, NULL, 0, flags) : 0;
    char *text = len > 0 ? malloc(len + 1) : NULL;
    if (text == NULL)
        return NULL;
    /* Without memory for its own sake it ends early. */
    if (json_dumpb(json, text, len, flags) != len) {
        free(text);
        return NULL;
    }
    text[len] = '\0';
    return text;
}

int jsontext_line(const json_t *json, size_t flags, struct buf *out)
{
    char *text = jsontext(json, flags);
    int rc = text != NULL ? buf_append(out, text, strlen(text)) : ERR_NOMEM;
    if (rc == 0)
        rc = buf_append(out, "\n", 1);
    free(text);
    return rc;
}

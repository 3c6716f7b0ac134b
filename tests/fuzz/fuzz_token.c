/* Enrolment tokens out of any text: what is accepted has that one form. */
#include "net/token.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct token t;
    char back[TOKEN_TEXT], *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    if (token_parse(text, &t, NULL) == 0) {
        token_format(&t, back);
        if (strcmp(text, back) != 0)
            abort();
    }
    free(text);
    return 0;
}

/* A vocabulary: token strings and their ids. Ids may have gaps. */
#ifndef TEXT_VOCAB_H
#define TEXT_VOCAB_H

#include "base/arena.h"
#include "base/err.h"
#include "text/strmap.h"
#include <stddef.h>
#include <stdint.h>

enum { VOCAB_MAX_IDS = 1 << 22, VOCAB_MAX_TOKEN = 4096 };

struct vocab {
    const char **token; /* by id; NULL where there is none */
    size_t n;           /* largest id + 1 */
    size_t room;        /* of token[] */
    struct strmap ids;
};

/* Room for ids [0, room), room <= VOCAB_MAX_IDS. ERR_NOMEM. */
int vocab_init(struct vocab *v, size_t room, struct arena *mem, struct err *e) MUST_CHECK;

/* Adds a token; copies it. A token given twice keeps the last id, an id given twice the last token,
 * as in Hugging Face's maps. ERR_MODEL: id out of [0, room), token of more than VOCAB_MAX_TOKEN
 * bytes; ERR_NOMEM. */
int vocab_add(struct vocab *v, const char *token, size_t len, int64_t id, struct arena *mem,
              struct err *e) MUST_CHECK;

/* The id, or -1. */
int32_t vocab_find(const struct vocab *v, const char *token, size_t len);

#endif

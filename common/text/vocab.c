#include "text/vocab.h"

#include <assert.h>

int vocab_init(struct vocab *v, size_t room, struct arena *mem, struct err *e)
{
    assert(room <= VOCAB_MAX_IDS);
    v->token = arena_calloc(mem, room ? room : 1, sizeof *v->token);
    if (!v->token)
        return err_set(e, ERR_NOMEM, "no memory for a vocabulary of %zu tokens", room);
    v->n = 0;
    v->room = room;
    return strmap_init(&v->ids, room, mem, e);
}

int vocab_add(struct vocab *v, const char *token, size_t len, int64_t id, struct arena *mem,
              struct err *e)
{
    if (id < 0 || (uint64_t)id >= v->room)
        return err_set(e, ERR_MODEL, "token id %lld is not in 0..%zu", (long long)id, v->room - 1);
    if (len > VOCAB_MAX_TOKEN)
        return err_set(e, ERR_MODEL, "token %lld has %zu bytes: at most %d are allowed",
                       (long long)id, len, VOCAB_MAX_TOKEN);
    char *copy = arena_strndup(mem, token, len);
    if (!copy)
        return err_set(e, ERR_NOMEM, "no memory for token %lld", (long long)id);
    strmap_put(&v->ids, copy, len, (int32_t)id);
    v->token[id] = copy;
    if ((size_t)id >= v->n)
        v->n = (size_t)id + 1;
    return 0;
}

int32_t vocab_find(const struct vocab *v, const char *token, size_t len)
{
    return strmap_find(&v->ids, token, len);
}

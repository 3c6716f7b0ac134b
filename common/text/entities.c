#include "text/entities.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The mark of a tag, and its type. */
static char parse(const char *tag, const char **type)
{
    static const char marks[] = "BIESLUM", meaning[] = "BIESESI";
    const char *at = tag[0] ? strchr(marks, tag[0]) : NULL;

    *type = tag;
    if (strcmp(tag, "O") == 0)
        return 'O';
    if (!at || (tag[1] && tag[1] != '-') || (!tag[1] && at - marks >= 4))
        return 'I';
    *type = tag[1] && tag[2] ? tag + 2 : "_";
    return meaning[at - marks];
}

int entities_open(struct entities *s, const char *const *tag, uint32_t n, struct err *e)
{
    struct entities found = {
        .type = calloc(n, sizeof *found.type),
        .type_of = calloc(n, sizeof *found.type_of),
        .mark = calloc(n, sizeof *found.mark),
    };

    if (!found.type || !found.type_of || !found.mark) {
        entities_close(&found);
        return err_set(e, ERR_NOMEM, "no memory for %u tags", n);
    }
    for (uint32_t i = 0; i < n; i++) {
        const char *type;
        uint32_t k = 0;
        found.mark[i] = parse(tag[i], &type);
        if (found.mark[i] == 'O')
            continue;
        while (k < found.n_types && strcmp(type, found.type[k]) != 0)
            k++;
        if (k == found.n_types)
            found.type[found.n_types++] = type;
        found.type_of[i] = k;
    }
    for (uint32_t i = 0; i < n; i++)
        if (found.mark[i] == 'O')
            found.type_of[i] = found.n_types;
    *s = found;
    return 0;
}

void entities_close(struct entities *s)
{
    free(s->type);
    free(s->type_of);
    free(s->mark);
    *s = (struct entities){0};
}

/* Whether the word after one with tag `before` goes on with its entity. */
static bool goes_on(const struct entities *s, int32_t before, int32_t tag)
{
    char from = s->mark[before], to = s->mark[tag];

    return (from == 'B' || from == 'I') && (to == 'I' || to == 'E') &&
           s->type_of[before] == s->type_of[tag];
}

void entities_score(const struct entities *s, const int32_t *truth, const int32_t *guess, size_t n,
                    struct score *score)
{
    size_t truth_begin = 0, guess_begin = 0;

    /* A run of words that go on with one another, an entity or a word outside, ends before i. */
    for (size_t i = 1; i <= n; i++) {
        bool truth_ends = i == n || !goes_on(s, truth[i - 1], truth[i]);
        bool guess_ends = i == n || !goes_on(s, guess[i - 1], guess[i]);
        uint32_t true_type = s->type_of[truth[i - 1]], type = s->type_of[guess[i - 1]];
        if (truth_ends && true_type < s->n_types)
            score->entity[true_type].truth++;
        if (guess_ends && type < s->n_types)
            score->entity[type].guess++;
        if (truth_ends && guess_ends && truth_begin == guess_begin && true_type == type &&
            type < s->n_types)
            score->entity[type].both++;
        if (truth_ends)
            truth_begin = i;
        if (guess_ends)
            guess_begin = i;
    }
}

#include "model/names.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

const char *linear_site_name(enum family f, enum linear_site site)
{
    return family_names[f].lin[site];
}

void linear_site_path(enum family f, int layer, enum linear_site site, char out[LINEAR_PATH_MAX])
{
    const struct family_names *names = &family_names[f];
    snprintf(out, LINEAR_PATH_MAX, "%s%s%d.%s", names->prefix, names->layer, layer,
             names->lin[site]);
}

/* The rest of s after `beginning`; NULL when s begins otherwise (or is NULL). */
static const char *after(const char *s, const char *beginning)
{
    size_t n = strlen(beginning);
    return s != NULL && strncmp(s, beginning, n) == 0 ? s + n : NULL;
}

bool linear_site_of(const char *tensor, enum linear_site *site)
{
    for (int f = 0; f < FAMILIES; f++) {
        const char *p = after(after(tensor, family_names[f].prefix), family_names[f].layer);
        if (p == NULL || !isdigit((unsigned char)*p))
            continue;
        while (isdigit((unsigned char)*p))
            p++;
        p = after(p, ".");
        for (int s = 0; s < LIN_SITES; s++) {
            const char *end = after(p, family_names[f].lin[s]);
            if (end != NULL && *end == '.') {
                *site = (enum linear_site)s;
                return true;
            }
        }
    }
    return false;
}

void linear_site_dims(const struct model_config *c, enum linear_site site, int *out, int *in)
{
    *out = site == LIN_INTERMEDIATE ? c->ffn : c->hidden;
    *in = site == LIN_OUTPUT ? c->ffn : c->hidden;
}

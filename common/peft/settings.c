/* A method's settings as JSON, by the schema that YAML configurations have. */
#include "base/conf.h"
#include "model/jsonfile.h"
#include "peft/method.h"
#include <string.h>

static json_t *words_of(const cyaml_schema_value_t *v, uint64_t flags)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < v->enumeration.count; i++)
        if ((flags & (uint64_t)v->enumeration.strings[i].val) != 0)
            json_array_append_new(list, json_string(v->enumeration.strings[i].str));
    return list;
}

static json_t *word_of(const cyaml_schema_value_t *v, uint64_t value)
{
    for (uint32_t i = 0; i < v->enumeration.count; i++)
        if ((uint64_t)v->enumeration.strings[i].val == value)
            return json_string(v->enumeration.strings[i].str);
    return NULL;
}

/* An unsigned integer of the size that the schema says. */
static uint64_t integer_at(const cyaml_schema_value_t *v, const void *at)
{
    uint8_t byte;
    uint32_t word;
    uint64_t wide;
    switch (v->data_size) {
    case sizeof byte:
        memcpy(&byte, at, sizeof byte);
        return byte;
    case sizeof word:
        memcpy(&word, at, sizeof word);
        return word;
    default:
        memcpy(&wide, at, sizeof wide);
        return wide;
    }
}

static json_t *value_of(const cyaml_schema_value_t *v, const void *at)
{
    double number;
    switch ((int)v->type) {
    case CYAML_BOOL:
        return json_boolean(integer_at(v, at) != 0);
    case CYAML_FLOAT:
        memcpy(&number, at, sizeof number);
        return json_real(number);
    case CYAML_ENUM:
        return word_of(v, integer_at(v, at));
    case CYAML_FLAGS:
        return words_of(v, integer_at(v, at));
    default:
        return json_integer((json_int_t)integer_at(v, at));
    }
}

/* Is `key` a word of the list? */
static bool listed(const char *list, const char *key)
{
    size_t len = strlen(key);
    for (const char *at = strstr(list, key); at != NULL; at = strstr(at + 1, key))
        if ((at == list || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
            return true;
    return false;
}

/* With what takes effect where the configuration leaves it open. */
static struct peft_spec effective(const struct peft_method *m, const struct peft_spec *spec)
{
    static const struct base_tensor norm = {.role = ROLE_NORM_GAIN, .layer = -1, .site = -1};
    struct peft_spec s = *spec;
    if (m->trains != NULL && m->trains(spec, &norm))
        s.norms = false; /* the method's own */
    s.activation = adapter_activation(spec);
    if (s.placement != PLACEMENT_PARALLEL)
        s.scaling = 1;
    return s;
}

json_t *peft_settings(const struct peft_method *m, const struct peft_spec *spec)
{
    struct peft_spec s = effective(m, spec);
    json_t *json = json_pack("{s:s, s:b}", "method", m->name, "norms", (int)s.norms);
    for (const cyaml_schema_field_t *f = conf_peft_fields; f->key != NULL; f++)
        if (m->settings != NULL && listed(m->settings, f->key))
            json_object_set_new(json, f->key,
                                value_of(&f->value, (const char *)&s + f->data_offset));
    return json;
}

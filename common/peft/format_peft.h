/* The two halves of the Hugging Face PEFT format: names and values (format_peft.c), and
 * adapter_config.json (format_peft_config.c). */
#ifndef PEFT_FORMAT_PEFT_H
#define PEFT_FORMAT_PEFT_H

#include "peft/format.h"

/* One of PEFT's types as the form of one of our methods. */
struct peft_kind {
    const char *type;   /* peft_type */
    const char *method; /* ours */
    bool all_biases;    /* LORA with bias "all" */
    bool rows;          /* prompt learning: the base model is not wrapped, so keys have its names */
    /* The type's own fields of adapter_config.json, a new object; NULL without memory. */
    json_t *(*write)(const struct peft *p);
    int (*read)(const struct adapter_dir *a, struct peft_spec *spec, struct err *e);
};

/* NULL: PEFT has no such method. */
const struct peft_kind *peft_kind_of(const struct peft *p);
/* The kind that a configuration asks for; NULL: none of ours. */
const struct peft_kind *peft_kind_read(const json_t *config);
/* Writes adapter_config.json. */
int peft_config_write(const struct peft *p, const struct peft_kind *kind, const char *dir,
                      struct err *e) MUST_CHECK;
/* format.read. */
int peft_config_read(const struct adapter_dir *a, struct peft_spec *spec, enum head_kind *head,
                     struct err *e) MUST_CHECK;

/* target_modules that select exactly these linear sites. NULL without memory. */
json_t *peft_target_modules(enum family f, uint32_t targets);

#endif

/* The two halves of AdapterHub's format: keys and values (format_adapterhub.c), and what its
 * configurations say (format_adapterhub_config.c). */
#ifndef PEFT_FORMAT_ADAPTERHUB_H
#define PEFT_FORMAT_ADAPTERHUB_H

#include "peft/format.h"

/* The method's configuration: the field "config" of adapter_config.json. NULL without memory. */
json_t *adapterhub_config(const struct peft *p);
/* format.read. */
int adapterhub_read(const struct adapter_dir *a, struct peft_spec *spec, enum head_kind *head,
                    struct err *e) MUST_CHECK;

/* A flexible head: numbers of its linear layers in a torch Sequential, and which modules of the
 * Hugging Face class compute the same. */
struct adapterhub_head {
    int dense, classifier; /* dense -1: none */
    char dense_module[64], classifier_module[64];
};
/* false: the directory has none, or one that is no Hugging Face head of the model's family. */
bool adapterhub_head_of(const struct adapter_dir *a, struct adapterhub_head *out);

#endif

#include "peft/method.h"
#include <string.h>

#define ENTRY(name) &peft_##name,
const struct peft_method *const peft_methods[] = {PEFT_METHODS(ENTRY) NULL};

const struct peft_method *peft_method_find(const char *name)
{
    for (const struct peft_method *const *m = peft_methods; *m != NULL; m++)
        if (strcmp((*m)->name, name) == 0)
            return *m;
    return NULL;
}

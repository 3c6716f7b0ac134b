#include "peft/method.h"
#include <string.h>

const struct peft_method *const peft_methods[] = {&peft_lora, NULL};

const struct peft_method *peft_method_find(const char *name)
{
    for (const struct peft_method *const *m = peft_methods; *m != NULL; m++)
        if (strcmp((*m)->name, name) == 0)
            return *m;
    return NULL;
}

/* The files of an adapter directory, as export.c writes and import.c reads them. */
#ifndef PEFT_ADAPTER_H
#define PEFT_ADAPTER_H

#include "peft/method.h"

#define ADAPTER_CONFIG "adapter_config.json"
#define ADAPTER_WEIGHTS "adapter_model.safetensors"
#define ADAPTER_INFO "fedpet.json"

#define ADAPTER_PREFIX "base_model.model."
#define ADAPTER_TASK_TYPE "SEQ_CLS"
enum { ADAPTER_INFO_FORMAT = 1 };

#endif

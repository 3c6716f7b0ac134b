/* SIGINT and SIGTERM end a run at its next step boundary. */
#ifndef SIM_INTERRUPT_H
#define SIM_INTERRUPT_H

#include <stdatomic.h>

/* Set by the first signal; a second one ends the program at once. */
extern atomic_bool interrupted;
void interrupt_catch(void);

#endif

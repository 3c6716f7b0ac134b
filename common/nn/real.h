/* The engine's number type. The same sources compile in float for use and in double (FEDPET_DOUBLE)
 * for gradient checks at 1e-8. */
#ifndef NN_REAL_H
#define NN_REAL_H

#ifdef FEDPET_DOUBLE
typedef double real;
#else
typedef float real;
#endif

#endif

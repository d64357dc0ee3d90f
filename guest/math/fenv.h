// Replaces the system's fenv.h for CORE-MATH: wasm rounds to nearest, and has no floating-point flags.

#ifndef MOTU_CORE_MATH_FENV_H
#define MOTU_CORE_MATH_FENV_H

#define FE_TONEAREST 0
#define FE_DOWNWARD 1
#define FE_UPWARD 2
#define FE_TOWARDZERO 3

#define FE_DIVBYZERO 0
#define FE_INEXACT 0
#define FE_INVALID 0
#define FE_OVERFLOW 0
#define FE_UNDERFLOW 0

typedef int fenv_t;
typedef int fexcept_t;

static inline int fegetround(void) { return FE_TONEAREST; }
static inline int feraiseexcept(int flags) { return flags; }
static inline int feclearexcept(int flags) { return flags; }
static inline int fetestexcept(int flags) { return flags; }
static inline int feholdexcept(fenv_t *env) { return *env = 0; }
static inline int feupdateenv(const fenv_t *env) { return *env; }
static inline int fegetexceptflag(fexcept_t *flag, int flags) { return *flag = flags; }
static inline int fesetexceptflag(const fexcept_t *flag, int flags) { return *flag & flags; }

#endif

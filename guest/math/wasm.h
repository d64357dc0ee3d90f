// What CORE-MATH takes for granted of a compiler and a system, in wasm. Included before each of its files.

#ifndef MOTU_CORE_MATH_WASM_H
#define MOTU_CORE_MATH_WASM_H

#include <stdio.h>
#include <stdlib.h>
#include <wasm_simd128.h>

/// Computes `a * b + c` with one rounding. wasm has this only as an instruction of relaxed SIMD, for vectors. The
/// host's engine fixes its meaning (`relaxed_simd_deterministic`), so the result is the same on every machine.
static inline double motu_fma(double a, double b, double c) {
    return wasm_f64x2_extract_lane(
        wasm_f64x2_relaxed_madd(wasm_f64x2_splat(a), wasm_f64x2_splat(b), wasm_f64x2_splat(c)), 0);
}

#define __builtin_fma motu_fma
#define __builtin_roundeven(x) __builtin_rint(x)

// pow and atan2 end the program if even their longest computation can't tell how to round. No such argument is known.
#define printf(...) ((void)0)
#define exit(code) __builtin_trap()

#endif

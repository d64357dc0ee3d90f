// sin, cos and tan. CORE-MATH's own take three times as long as zig's. So a result is computed here first, as the sum
// of two doubles with a known error bound. If both ends of the bound round to one double, that is the correctly rounded
// result. Fewer than one argument in 100 fail this test and go to CORE-MATH, as do large ones, zeros and infinities.

#include "trig.h"
#include "wasm.h"

#include <math.h>
#include <stdint.h>

double cr_sin(double x);
double cr_cos(double x);
double cr_tan(double x);

/// Only smaller arguments are reduced here.
#define SMALL 0x1p24
/// Bounds the error of a reduced argument: 2^29.4 steps, each wrong by 2^-115, and one rounding.
#define REDUCTION 0x1p-84

/// An argument as `step * pi / 128 + high + low`, where the rest is at most pi / 256.
struct angle {
    double high, low;
    /// `sin(high) / high - 1`, and `cos(high) - 1`.
    double sine, cosine;
    int step;
};

/// Adds two numbers, without error if `large` is 0 or the larger one.
static inline struct pair sum(double large, double small) {
    double high = large + small;
    return (struct pair){high, small - (high - large)};
}

static inline struct angle reduce(double x) {
    // pi / 128 in two parts; a third would be 2^-115. Subtracting the first is exact: the difference is below 2^-6, and
    // has no bits below 2^-59. Subtracting the second leaves a sum of two doubles.
    const double part1 = 0x1.921fb54442d18p-6, part2 = 0x1.1a62633145c07p-60;
    double step = __builtin_rint(x * 0x1.45f306dc9c883p5);
    double rest = motu_fma(-step, part1, x);
    double more = step * part2, more_low = motu_fma(step, part2, -more);
    double high = rest - more, back = high - rest;
    double low = (rest - (high - back)) - (more + back);

    // Both series at once. Cut after the 7th and the 6th power, they are wrong by 2^-75 and 2^-69; the last coefficient
    // of the cosine makes up for most of the next term.
    v128_t square = wasm_f64x2_splat(high * high);
    v128_t series = wasm_f64x2_make(-0x1.a01a01a01a01ap-13, -0x1.6c1687abc287bp-10);
    series = wasm_f64x2_relaxed_madd(series, square, wasm_f64x2_make(0x1.1111111111111p-7, 0x1.5555555555555p-5));
    series = wasm_f64x2_relaxed_madd(series, square, wasm_f64x2_make(-0x1.5555555555555p-3, -0.5));
    series = wasm_f64x2_mul(series, square);
    return (struct angle){high, low - more_low, wasm_f64x2_extract_lane(series, 0), wasm_f64x2_extract_lane(series, 1),
                          (int)step};
}

/// Returns the sine of an angle plus `quarters` quarter turns, by sin(a + b) = sin a cos b + cos a sin b, where `a` is
/// the step's angle. `low` may be as large as 2^-12 times `high`.
static inline struct pair sine_of(struct angle angle, int quarters) {
    int step = angle.step + quarters * 64;
    struct pair sine = sines[step & 255], cosine = sines[(step + 64) & 255];
    double product = cosine.high * angle.high, product_low = motu_fma(cosine.high, angle.high, -product);
    struct pair first = sum(sine.high, product); // the step's sine is the larger one, or 0
    double tiny = first.low + (product_low + (sine.low + cosine.low * angle.high));
    double small = cosine.high * (angle.high * angle.sine + angle.low) + tiny;
    return (struct pair){first.high, sine.high * angle.cosine + small};
}

/// Bounds the error of `sine_of`. Roundings of `low` add up to less than 2^-64 of the step's sine, which is at most
/// twice the result; the bound is twice that.
static inline double error_of(struct pair sine) { return __builtin_fabs(sine.high) * 0x1p-62 + REDUCTION; }

double sin(double x) {
    if (__builtin_fabs(x) < SMALL) {
        struct pair sine = sine_of(reduce(x), 0);
        double error = error_of(sine);
        double from = sine.high + (sine.low - error), to = sine.high + (sine.low + error);
        if (__builtin_expect(from == to, 1))
            return to;
    }
    return cr_sin(x);
}

double cos(double x) {
    if (__builtin_fabs(x) < SMALL) {
        struct pair sine = sine_of(reduce(x), 1);
        double error = error_of(sine);
        double from = sine.high + (sine.low - error), to = sine.high + (sine.low + error);
        if (__builtin_expect(from == to, 1))
            return to;
    }
    return cr_cos(x);
}

double tan(double x) {
    if (__builtin_fabs(x) < SMALL) {
        struct angle angle = reduce(x);
        struct pair sine = sine_of(angle, 0), cosine = sine_of(angle, 1);
        sine = sum(sine.high, sine.low);
        cosine = sum(cosine.high, cosine.low);
        // A quotient, and its remainder. Each of the two is wrong by 2^-63 at most.
        double inverse = 1 / cosine.high;
        double high = sine.high * inverse;
        double low = (motu_fma(-high, cosine.high, sine.high) + (sine.low - high * cosine.low)) * inverse;
        double error = __builtin_fabs(high) * 0x1p-61 + (1 + high * high) * REDUCTION;
        double from = high + (low - error), to = high + (low + error);
        if (__builtin_expect(from == to, 1))
            return to;
    }
    return cr_tan(x);
}

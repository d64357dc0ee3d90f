// Numbers from text, as C has them. zig's integers stop at the digit that overflows, and leave the rest to be read as
// something else. Its hexadecimal floats are rounded twice if they are subnormal.

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/// What a text starts with: blanks, a sign, a prefix, and digits.
struct integer {
    unsigned long long value;
    bool negative;
    bool over;
    /// After the last digit; at the start if there is none.
    const char *end;
};

static int digit_of(char c) {
    if (isdigit((unsigned char)c))
        return c - '0';
    return isalpha((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10 : INT_MAX;
}

static struct integer read(const char *text, int base) {
    struct integer read = {.end = text};
    while (isspace((unsigned char)*text))
        text++;
    read.negative = *text == '-';
    if (*text == '-' || *text == '+')
        text++;
    bool is_hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X') && isxdigit((unsigned char)text[2]);
    if (is_hex && (base == 0 || base == 16)) {
        text += 2;
        base = 16;
    } else if (base == 0) {
        base = *text == '0' ? 8 : 10;
    }
    for (; digit_of(*text) < base; read.end = ++text) {
        unsigned long long tens, next;
        bool over = __builtin_mul_overflow(read.value, (unsigned long long)base, &tens);
        over = __builtin_add_overflow(tens, (unsigned long long)digit_of(*text), &next) || over;
        read.over = read.over || over;
        read.value = next;
    }
    return read;
}

unsigned long long strtoull(const char *restrict text, char **restrict end, int base) {
    struct integer integer = read(text, base);
    if (end)
        *end = (char *)integer.end;
    if (integer.over) {
        errno = ERANGE;
        return ULLONG_MAX;
    }
    return integer.negative ? -integer.value : integer.value;
}

long long strtoll(const char *restrict text, char **restrict end, int base) {
    struct integer integer = read(text, base);
    if (end)
        *end = (char *)integer.end;
    unsigned long long most = (unsigned long long)LLONG_MAX + integer.negative;
    if (integer.over || integer.value > most) {
        errno = ERANGE;
        return integer.negative ? LLONG_MIN : LLONG_MAX;
    }
    return (long long)(integer.negative ? -integer.value : integer.value);
}

/// Reads the exponent at `*end` and moves `*end` behind it. Without a complete exponent, returns 0 and leaves `*end`.
static int64_t read_exponent(const char **end) {
    const char *text = *end;
    if (*text != 'p' && *text != 'P')
        return 0;
    text++;
    bool negative = *text == '-';
    if (*text == '-' || *text == '+')
        text++;
    if (!isdigit((unsigned char)*text))
        return 0;
    int64_t exponent = 0;
    for (; isdigit((unsigned char)*text); text++)
        if (exponent < 1000000000000000) // beyond what any number of digits makes up for
            exponent = exponent * 10 + (*text - '0');
    *end = text;
    return negative ? -exponent : exponent;
}

/// Returns `digits * 2^exponent`, rounded once. `more` says that the number is larger by less than one unit of
/// `digits`.
static double round_to_double(uint64_t digits, bool more, int64_t exponent) {
    if (digits == 0)
        return 0;
    int blank = __builtin_clzll(digits);
    digits <<= blank;
    exponent += 63 - blank; // that of the first bit
    if (exponent > 1023)
        return HUGE_VAL;
    // A subnormal double has fewer bits. With none left, the number may still round up to the smallest one.
    int64_t dropped = exponent >= -1022 ? 11 : 11 - 1022 - exponent;
    if (dropped > 64)
        return 0;
    uint64_t kept = dropped == 64 ? 0 : digits >> dropped;
    uint64_t rest = digits << (64 - dropped), half = (uint64_t)1 << 63;
    kept += rest > half || (rest == half && (more || kept & 1));
    // The first bit of a normal number adds 1 to the exponent, and so does a carry: to infinity, if need be.
    uint64_t bits = exponent >= -1022 ? ((uint64_t)(exponent + 1022) << 52) + kept : kept;
    double number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

/// Reads the hexadecimal float whose digits start at `text`. Leaves `end` if there is no digit.
static double read_hexadecimal(const char *text, const char **end) {
    uint64_t digits = 0;
    bool some = false, more = false, point = false;
    int64_t exponent = 0;
    for (;; text++) {
        if (*text == '.' && !point) {
            point = true;
            continue;
        }
        int digit = digit_of(*text);
        if (digit >= 16)
            break;
        some = true;
        if (digits >> 60) {
            more = more || digit;
            exponent += point ? 0 : 4;
        } else {
            digits = digits << 4 | (unsigned)digit;
            exponent -= point ? 4 : 0;
        }
    }
    if (!some)
        return 0;
    exponent += read_exponent(&text);
    *end = text;
    return round_to_double(digits, more, exponent);
}

double __real_strtod(const char *restrict text, char **restrict end);

/// Replaces `strtod` in the whole guest (`--wrap` in build/recipe.rs); libc's is then `__real_strtod`.
double __wrap_strtod(const char *restrict text, char **restrict end) {
    const char *start = text;
    while (isspace((unsigned char)*start))
        start++;
    bool negative = *start == '-';
    if (*start == '-' || *start == '+')
        start++;
    if (start[0] != '0' || (start[1] != 'x' && start[1] != 'X'))
        return __real_strtod(text, end);
    const char *after = start + 1; // the 0 alone, if no digit follows
    double number = read_hexadecimal(start + 2, &after);
    if (end)
        *end = (char *)after;
    if (isinf(number))
        errno = ERANGE;
    return negative ? -number : number;
}

// Integers from text, as C has them. zig's stop at the digit that overflows, and leave the rest to be read as something else.

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>

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

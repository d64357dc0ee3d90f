// What Luau calls of C for each character, in the "C" locale, which is the only one here. zig's come compiled, and are never
// inlined: with them patterns and new strings take a quarter more time.

#include <stdbool.h>
#include <stddef.h>

static bool within(int c, int first, int last) { return (unsigned)c - (unsigned)first <= (unsigned)(last - first); }

int isdigit(int c) { return within(c, '0', '9'); }
int islower(int c) { return within(c, 'a', 'z'); }
int isupper(int c) { return within(c, 'A', 'Z'); }
int isalpha(int c) { return within(c | 32, 'a', 'z'); }
int isalnum(int c) { return isdigit(c) || isalpha(c); }
int isblank(int c) { return c == ' ' || c == '\t'; }
int iscntrl(int c) { return within(c, 0, 31) || c == 127; }
int isprint(int c) { return within(c, ' ', '~'); }
int isgraph(int c) { return within(c, '!', '~'); }
int ispunct(int c) { return isgraph(c) && !isalnum(c); }
int isspace(int c) { return c == ' ' || within(c, '\t', '\r'); }
int isxdigit(int c) { return isdigit(c) || within(c | 32, 'a', 'f'); }
int tolower(int c) { return isupper(c) ? c | 32 : c; }
int toupper(int c) { return islower(c) ? c & ~32 : c; }

int memcmp(const void *left, const void *right, size_t count) {
    const unsigned char *l = left, *r = right;
    for (; count && *l == *r; count--, l++, r++)
        ;
    return count ? *l - *r : 0;
}

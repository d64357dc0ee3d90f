// A provider in C: gives back what it is given, and tries what a provider may not.
#include "kinds.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern char** environ;

// ---- echo ----

bool exports_acme_kinds_echo_bools(bool a) { return a; }

void exports_acme_kinds_echo_unsigned(
    uint8_t a, uint16_t b, uint32_t c, uint64_t d, kinds_tuple4_u8_u16_u32_u64_t* ret)
{
    *ret = (kinds_tuple4_u8_u16_u32_u64_t) { a, b, c, d };
}

void exports_acme_kinds_echo_signed(int8_t a, int16_t b, int32_t c, int64_t d, kinds_tuple4_s8_s16_s32_s64_t* ret)
{
    *ret = (kinds_tuple4_s8_s16_s32_s64_t) { a, b, c, d };
}

void exports_acme_kinds_echo_floats(float a, double b, kinds_tuple2_f32_f64_t* ret)
{
    *ret = (kinds_tuple2_f32_f64_t) { a, b };
}

void exports_acme_kinds_echo_texts(uint32_t a, kinds_string_t* b, kinds_tuple2_char32_string_t* ret)
{
    *ret = (kinds_tuple2_char32_string_t) { a, *b };
}

void exports_acme_kinds_echo_bytes(kinds_list_u8_t* a, kinds_list_u8_t* ret) { *ret = *a; }

void exports_acme_kinds_echo_points(exports_acme_kinds_echo_list_point_t* a, exports_acme_kinds_echo_list_point_t* ret)
{
    *ret = *a;
}

void exports_acme_kinds_echo_paint(exports_acme_kinds_echo_color_t a, exports_acme_kinds_echo_access_t b,
    exports_acme_kinds_echo_tuple2_color_access_t* ret)
{
    *ret = (exports_acme_kinds_echo_tuple2_color_access_t) { a, b };
}

void exports_acme_kinds_echo_reshape(exports_acme_kinds_echo_shape_t* a, exports_acme_kinds_echo_shape_t* ret)
{
    *ret = *a;
}

bool exports_acme_kinds_echo_maybe(uint32_t* maybe_a, uint32_t* ret)
{
    if (maybe_a)
        *ret = *maybe_a;
    return maybe_a != NULL;
}

void exports_acme_kinds_echo_either(exports_acme_kinds_echo_result_u8_string_t* a, exports_acme_kinds_echo_tuple1_result_u8_string_t* ret)
{
    ret->f0 = *a;
}

bool exports_acme_kinds_echo_divide(int32_t a, int32_t b, int32_t* ret, kinds_string_t* err)
{
    if (b == 0) {
        kinds_string_dup(err, "by zero");
        return false;
    }
    *ret = a / b;
    return true;
}

void exports_acme_kinds_echo_nothing(void) { }

// ---- tries ----

static uint32_t calls;

uint32_t exports_acme_kinds_tries_count(void) { return calls++; }

void exports_acme_kinds_tries_spin(void)
{
    for (volatile uint32_t n = 0;; n++) { }
}

uint64_t exports_acme_kinds_tries_work(uint64_t rounds)
{
    volatile uint64_t sum = 0;
    for (uint64_t n = 0; n < rounds; n++)
        sum += n;
    return sum;
}

void exports_acme_kinds_tries_trap(void) { __builtin_trap(); }

__attribute__((noinline)) static uint32_t down(uint32_t depth, volatile uint32_t* above)
{
    volatile uint32_t here = depth + *above;
    return depth == 0 ? here : down(depth - 1, &here) + here;
}

uint32_t exports_acme_kinds_tries_recurse(uint32_t depth)
{
    volatile uint32_t start = 0;
    return down(depth, &start);
}

/// Seen by nobody: else the compiler sees that no memory is needed.
static char* volatile hoarded;

uint32_t exports_acme_kinds_tries_hoard(uint32_t kib)
{
    for (uint32_t got = 0; got < kib; got++) {
        char* block = malloc(1024);
        if (!block)
            return got;
        memset(block, 1, 1024);
        hoarded = block;
    }
    return kib;
}

void exports_acme_kinds_tries_flood(uint32_t bytes, kinds_list_u8_t* ret)
{
    ret->ptr = malloc(bytes);
    ret->len = bytes;
    memset(ret->ptr, 7, bytes);
}

void exports_acme_kinds_tries_churn(uint32_t bytes, uint32_t times)
{
    char* block = malloc(bytes + 1);
    for (uint32_t n = 0; n < times; n++)
        memmove(block + (n & 1), block + !(n & 1), bytes);
    free(block);
}

static void said(int failed, kinds_string_t* ret) { kinds_string_dup(ret, failed ? strerror(errno) : "done"); }

static char* terminated(kinds_string_t* text)
{
    char* copy = malloc(text->len + 1);
    memcpy(copy, text->ptr, text->len);
    copy[text->len] = 0;
    return copy;
}

void exports_acme_kinds_tries_open_file(kinds_string_t* path, kinds_string_t* ret)
{
    said(fopen(terminated(path), "r") == NULL, ret);
}

void exports_acme_kinds_tries_write_file(kinds_string_t* path, kinds_string_t* ret)
{
    said(fopen(terminated(path), "w") == NULL, ret);
}

uint32_t exports_acme_kinds_tries_variables(void)
{
    uint32_t count = 0;
    for (char** at = environ; at && *at; at++)
        count++;
    return count;
}

bool exports_acme_kinds_tries_variable(kinds_string_t* name, kinds_string_t* ret)
{
    const char* value = getenv(terminated(name));
    if (value)
        kinds_string_dup(ret, value);
    return value != NULL;
}

// The C library of a reactor has no arguments of its own: the system is asked.
__attribute__((import_module("wasi_snapshot_preview1"), import_name("args_sizes_get"))) int args_sizes_get(
    uint32_t* count, uint32_t* bytes);

uint32_t exports_acme_kinds_tries_arguments(void)
{
    uint32_t count = 99, bytes = 99;
    args_sizes_get(&count, &bytes);
    return count;
}

int32_t exports_acme_kinds_tries_read_input(void)
{
    char byte;
    return (int32_t)read(0, &byte, 1);
}

void exports_acme_kinds_tries_print(uint32_t bytes, uint32_t times)
{
    char* block = malloc(bytes);
    memset(block, 'x', bytes);
    for (uint32_t n = 0; n < times; n++)
        write(1, block, bytes);
    free(block);
}

void exports_acme_kinds_tries_socket(kinds_string_t* ret)
{
    wasi_sockets_tcp_create_socket_own_tcp_socket_t socket;
    wasi_sockets_tcp_create_socket_error_code_t error;
    if (wasi_sockets_tcp_create_socket_create_tcp_socket(
            WASI_SOCKETS_NETWORK_IP_ADDRESS_FAMILY_IPV4, &socket, &error))
        kinds_string_dup(ret, "a socket");
    else if (error == WASI_SOCKETS_NETWORK_ERROR_CODE_ACCESS_DENIED)
        kinds_string_dup(ret, "access denied");
    else
        kinds_string_dup(ret, "another error");
}

void exports_acme_kinds_tries_sleep_ms(uint32_t ms)
{
    struct timespec time = { ms / 1000, (ms % 1000) * 1000000L };
    nanosleep(&time, NULL);
}

void exports_acme_kinds_tries_wait_and_spin(void)
{
    exports_acme_kinds_tries_sleep_ms(1);
    exports_acme_kinds_tries_spin();
}

void exports_acme_kinds_tries_leave(int32_t status) { exit(status); }

uint64_t exports_acme_kinds_tries_clock(void) { return (uint64_t)time(NULL); }

void exports_acme_kinds_tries_dice(uint32_t bytes, kinds_list_u8_t* ret)
{
    ret->ptr = malloc(bytes);
    ret->len = bytes;
    for (uint32_t at = 0; at < bytes; at += 256)
        getentropy(ret->ptr + at, bytes - at < 256 ? bytes - at : 256);
}

// ---- sessions ----

struct exports_acme_kinds_sessions_counter_t {
    uint32_t now;
};

static uint32_t live;

static exports_acme_kinds_sessions_own_counter_t counter(uint32_t start)
{
    exports_acme_kinds_sessions_counter_t* made = malloc(sizeof *made);
    made->now = start;
    live++;
    return exports_acme_kinds_sessions_counter_new(made);
}

void exports_acme_kinds_sessions_counter_destructor(exports_acme_kinds_sessions_counter_t* counter)
{
    live--;
    free(counter);
}

exports_acme_kinds_sessions_own_counter_t exports_acme_kinds_sessions_constructor_counter(uint32_t start)
{
    return counter(start);
}

uint32_t exports_acme_kinds_sessions_method_counter_add(
    exports_acme_kinds_sessions_borrow_counter_t self, uint32_t by)
{
    return self->now += by;
}

uint32_t exports_acme_kinds_sessions_method_counter_add_later(
    exports_acme_kinds_sessions_borrow_counter_t self, uint32_t by)
{
    exports_acme_kinds_tries_sleep_ms(20);
    return self->now += by;
}

uint32_t exports_acme_kinds_sessions_static_counter_live(void) { return live; }

uint32_t exports_acme_kinds_sessions_sum(
    exports_acme_kinds_sessions_borrow_counter_t a, exports_acme_kinds_sessions_borrow_counter_t b)
{
    return a->now + b->now;
}

uint32_t exports_acme_kinds_sessions_end(exports_acme_kinds_sessions_own_counter_t given)
{
    uint32_t last = exports_acme_kinds_sessions_counter_rep(given)->now;
    exports_acme_kinds_sessions_counter_drop_own(given);
    return last;
}

void exports_acme_kinds_sessions_some(uint32_t count, exports_acme_kinds_sessions_list_place_t* ret)
{
    ret->ptr = calloc(count, sizeof *ret->ptr);
    ret->len = count;
    for (uint32_t n = 0; n < count; n++) {
        ret->ptr[n].number = n;
        ret->ptr[n].of.is_some = n % 2 == 0;
        if (n % 2 == 0)
            ret->ptr[n].of.val = counter(n);
    }
}

void exports_acme_kinds_sessions_end_both(
    exports_acme_kinds_sessions_own_counter_t a, exports_acme_kinds_sessions_own_counter_t b)
{
    exports_acme_kinds_sessions_counter_drop_own(a);
    exports_acme_kinds_sessions_counter_drop_own(b);
}

void exports_acme_kinds_sessions_trap_with(exports_acme_kinds_sessions_borrow_counter_t given)
{
    if (given)
        __builtin_trap();
}

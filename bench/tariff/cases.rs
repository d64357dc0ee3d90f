//! What is measured: ordinary calls, the dearest arguments of each function, and the errors of each function.
//!
//! Every function of every module of Motu's has a case here (`tariff::missing`), and beside it the cases of [`generic`].

/// Something that costs fuel, repeated as often as takes some milliseconds.
pub(super) struct Case {
    pub(super) name: String,
    /// An expression, made once: `made`.
    pub(super) make: String,
    /// Statements, repeated. Between them lie no others, so an error has to be caught.
    pub(super) call: String,
    pub(super) how: How,
    pub(super) by: By,
    /// Whether the case must stay within [`super::RATIO_MAX`]. Events, and functions of the guest, need not: the tenant's share counts
    /// their time, however little fuel they burn.
    pub(super) is_held: bool,
}

/// How it is repeated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// One after the other, in one event.
    InTurn,
    /// In 64 coroutines of one event: for calls that wait, where a worker without work would be most of what is measured.
    AtOnce,
    /// Each in an event of its own, which may fail. What was made is gone after one that loses its VM.
    Event,
}

/// The tenant that calls.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum By {
    /// May call everything, as often as it likes.
    Granted,
    /// Has the memory that tenants have by default.
    Small,
    /// May call nothing.
    Denied,
    /// May call each module once in a second.
    OverRate,
    /// May do one operation of `motu:kv` in a second.
    OverOperations,
    /// Has twenty narrowed grants for each function that can be narrowed, and none that fits.
    Narrowed,
}

use By::{Granted, Narrowed, OverOperations, Small};
use How::{AtOnce, Event, InTurn};

type Row = (&'static str, &'static str, &'static str);

/// Ordinary calls and dear arguments.
const CALLS: &[Row] = &[
    ("a call of nothing", "nil", "fns.nothing()"),
    ("100,000 numbers in", "table.create(100000, 1.5)", "fns.numbers(made)"),
    ("10,000 records in and out", "table.create(10000, { x = 1, y = 2, name = 'a' })", "fns.points(made)"),
    // json
    ("json.decode, empty lists", "'[' .. string.rep('[],', 60000) .. '[]]'", "pcall(json.decode, made)"),
    ("json.decode, integers", "'[' .. string.rep('1,', 60000) .. '1]'", "pcall(json.decode, made)"),
    (
        "json.decode, fractions",
        "'[' .. string.rep('0.1234567890123456789e-7,', 40000) .. '1]'",
        "pcall(json.decode, made)",
    ),
    ("json.decode, short strings", "'[' .. string.rep('\"a\",', 60000) .. '1]'", "pcall(json.decode, made)"),
    ("json.decode, one string", "'\"' .. string.rep('a', 900000) .. '\"'", "pcall(json.decode, made)"),
    ("json.decode, escapes", "'\"' .. string.rep('\\\\u00e9', 100000) .. '\"'", "pcall(json.decode, made)"),
    (
        "json.decode, keys",
        "(function() local t = {} for i = 1, 40000 do t[i] = '\"' .. (i * 7919) % 40009 .. '\":1' end \
         return '{' .. table.concat(t, ',') .. '}' end)()",
        "pcall(json.decode, made)",
    ),
    ("json.decode, white space", "string.rep(' ', 900000) .. '1'", "pcall(json.decode, made)"),
    ("json.decode, 60 deep", "string.rep(string.rep('[', 60) .. string.rep(']', 60), 1)", "pcall(json.decode, made)"),
    ("json.encode, nothing", "nil", "json.encode()"),
    ("json.encode, integers", "table.create(100000, 7)", "json.encode(made)"),
    ("json.encode, long integers", "table.create(50000, -1234567890123456)", "json.encode(made)"),
    ("json.encode, true", "table.create(200000, true)", "json.encode(made)"),
    ("json.encode, fractions", "table.create(40000, 0.1234567890123)", "json.encode(made)"),
    ("json.encode, large fractions", "table.create(40000, 1.2345678901234567e300)", "json.encode(made)"),
    ("json.encode, short strings", "table.create(100000, 'a')", "json.encode(made)"),
    ("json.encode, one string", "string.rep('a', 900000)", "json.encode(made)"),
    ("json.encode, escapes", "string.rep('\\1', 170000)", "json.encode(made)"),
    ("json.encode, texts of escapes", "table.create(10000, string.rep('\\1', 16))", "json.encode(made)"),
    (
        "json.encode, 60 deep",
        "(function() local t = {} for i = 1, 60 do t = { t } end return t end)()",
        "json.encode(made)",
    ),
    ("json.encode, empty tables", "table.create(60000, {})", "json.encode(made)"),
    ("json.encode, indented", "table.create(1000, { 1 })", "json.encode(made, { null = nil, indent = 255 })"),
    (
        "json.encode, keys",
        "(function() local t = {} for i = 1, 40000 do t['k' .. (i * 7919) % 40009] = 1 end return t end)()",
        "json.encode(made)",
    ),
    (
        "json.encode, keys with a long start",
        "(function() local t, p = {}, string.rep('k', 2000) for i = 1, 400 do t[p .. (i * 79) % 401] = 1 end return t end)()",
        "json.encode(made)",
    ),
    // kv
    ("kv.get, small", "kv.set('s', 'a', 1)", "kv.get('s', 'a')"),
    ("kv.get, a text of 900 KB", "kv.set('s', 'b', string.rep('a', 900000))", "kv.get('s', 'b')"),
    ("kv.get, 100,000 numbers", "kv.set('s', 'c', table.create(100000, 1.5))", "kv.get('s', 'c')"),
    ("kv.get, 900,000 values", "kv.set('s', 'd', table.create(900000, true))", "kv.get('s', 'd')"),
    ("kv.lookup, small", "kv.set('s', 'a', 1)", "kv.lookup('s', 'a')"),
    ("kv.lookup, 100,000 numbers", "kv.set('s', 'c', table.create(100000, 1.5))", "kv.lookup('s', 'c')"),
    (
        "kv.list, 1,000 entries",
        "(function() for l = 0, 9 do local ops = {} for i = 1, 100 do \
         ops[i] = { tag = 'set', value = { key = 'k' .. l * 100 + i, value = i } } end kv.apply('l', ops) end end)()",
        "kv.list('l', { limit = 1000 })",
    ),
    (
        "kv.list, large values, not wanted",
        "(function() for i = 1, 50 do kv.set('big', 'k' .. i, string.rep('a', 900000)) end end)()",
        "kv.list('big', { values = false })",
    ),
    (
        "kv.list, one of the large values",
        "(function() for i = 1, 50 do kv.set('big', 'k' .. i, string.rep('a', 900000)) end end)()",
        "kv.list('big', { limit = 1 })",
    ),
    ("kv.list, nothing after", "kv.set('s', 'a', 1)", "kv.list('s', { after = string.rep('z', 1000) })"),
    ("kv.usage", "nil", "kv.usage()"),
    // log
    ("log.info", "nil", "log.info('a line', { n = i })"),
    ("log.debug, 900 KB", "string.rep('a', 900000)", "log.debug(made, nil)"),
    ("log.warn, control characters", "string.rep('\\27', 170000)", "log.warn(made, nil)"),
    ("log.error, bytes that aren't UTF-8", "string.rep('\\255', 300000)", "log.error(made, nil)"),
    ("log.info, 60,000 fields", "table.create(60000, 7)", "log.info('', made)"),
    // random
    ("random.bytes, 64 KiB", "nil", "random.bytes(65536)"),
    ("random.uuid", "nil", "random.uuid()"),
    ("random.number", "nil", "random.number()"),
    ("random.integer", "nil", "random.integer(-9007199254740991, 9007199254740991)"),
    // codec
    ("codec.encode_base64, 500 KB", "string.rep('ab', 250000)", "codec.encode_base64(made)"),
    ("codec.decode_base64, 900 KB", "string.rep('abcd', 225000)", "codec.decode_base64(made)"),
    ("codec.encode_hex, 450 KB", "string.rep('ab', 225000)", "codec.encode_hex(made)"),
    ("codec.decode_hex, 900 KB", "string.rep('abcd', 225000)", "codec.decode_hex(made)"),
    ("codec.encode_url, 300 KB of %", "string.rep('%', 300000)", "codec.encode_url(made)"),
    ("codec.decode_url, 300,000 of %20", "string.rep('%20', 300000)", "codec.decode_url(made)"),
    ("codec.hash, 900 KB", "string.rep('ab', 450000)", "codec.hash('sha512', made)"),
    ("codec.hash, 900 KB, sha256", "string.rep('ab', 450000)", "codec.hash('sha256', made)"),
    ("codec.hash, 900 KB, md5", "string.rep('ab', 450000)", "codec.hash('md5', made)"),
    ("codec.hash, nothing", "nil", "codec.hash('sha256', '')"),
    ("codec.hmac, nothing", "string.rep('k', 4096)", "codec.hmac('sha512', made, '')"),
    ("codec.hmac, 900 KB", "string.rep('ab', 450000)", "codec.hmac('sha384', 'key', made)"),
    ("codec.equal, 450 KB", "string.rep('ab', 225000)", "codec.equal(made, made)"),
    ("codec.crc32, 900 KB", "string.rep('ab', 450000)", "codec.crc32(made)"),
    ("codec.compress, a text at 6", TEXT, "codec.compress('gzip', made)"),
    ("codec.compress, a text at 9", TEXT, "codec.compress('gzip', made, 9)"),
    ("codec.compress, one byte at 9", "string.rep('a', 900000)", "codec.compress('deflate', made, 9)"),
    ("codec.compress, nothing", "nil", "codec.compress('gzip', '')"),
    ("codec.compress, randomness at 9", "random.bytes(65536)", "codec.compress('zlib', made, 9)"),
    (
        "codec.decompress",
        "codec.compress('zlib', string.rep('the quick brown fox ' .. tostring(math.random()), 4000))",
        "codec.decompress('zlib', made)",
    ),
    (
        "codec.decompress, many members",
        "string.rep(codec.compress('gzip', ''), 20000)",
        "pcall(codec.decompress, 'gzip', made)",
    ),
    // time
    ("time.now", "nil", "time.now()"),
    ("time.monotonic", "nil", "time.monotonic()"),
    ("time.format", "nil", "time.format(i, 'Europe/Berlin', '%Y-%m-%d %H:%M:%S %Z')"),
    ("time.format, without a pattern", "nil", "time.format(i + 0.5, 'Pacific/Apia')"),
    ("time.format, the longest pattern", "string.rep('%20A', 64)", "time.format(9e10, 'America/New_York', made)"),
    ("time.format, weeks and zones", "string.rep('%G%V%Q', 42)", "time.format(9e10, 'America/New_York', made)"),
    ("time.in_zone", "nil", "time.in_zone(i * 1e5, 'America/New_York')"),
    ("time.in_zone, far ahead", "nil", "time.in_zone(2.5e11, 'America/New_York')"),
    (
        "time.from_parts",
        "{ year = 2026, month = 3, day = 29, hour = 2, minute = 30 }",
        "time.from_parts(made, 'Europe/Berlin')",
    ),
    (
        "time.from_parts, far ahead",
        "{ year = 9999, month = 3, day = 29 }",
        "time.from_parts(made, 'Europe/Berlin', 'later')",
    ),
    ("time.with", "{ month = 3, day = 29, hour = 2, minute = 30 }", "time.with(1.77e9, made, 'Europe/Berlin')"),
    ("time.add, all units", ALL_UNITS, "time.add(0, made, 'Europe/Berlin')"),
    (
        "time.add, as far as it goes",
        "{ years = 7000, months = 11, days = 900000 }",
        "time.add(-6e10, made, 'Europe/Berlin')",
    ),
    ("time.difference, 9,000 years", "nil", "time.difference(-6e10, 2.2e11, 'year', 'Europe/Berlin')"),
    ("time.difference, in milliseconds", "nil", "time.difference(-6e10, 2.2e11, 'millisecond', 'Europe/Berlin')"),
    ("time.start_of", "nil", "time.start_of(1.77e9, 'week', 'Europe/Berlin')"),
    ("time.start_of, far back", "nil", "time.start_of(-6e10, 'year', 'Africa/Casablanca')"),
    ("time.parse", "nil", "time.parse('2026-03-29T02:30:00', 'Europe/Berlin')"),
    (
        "time.parse, a zone in it",
        "nil",
        "time.parse('2026-03-29T02:30:00.123456789[America/Argentina/ComodRivadavia]')",
    ),
    ("time.parse_rfc2822", "nil", "time.parse_rfc2822('Sun, 29 Mar 2026 10:00:00 +0200')"),
    ("time.parse_pattern", "nil", "time.parse_pattern('29.3.2026 10:00', '%d.%m.%Y %H:%M', 'Europe/Berlin')"),
    ("time.parse_duration", "nil", "time.parse_duration('1 week 2 days 3 hours 4 minutes 5 seconds 6 ms')"),
    ("time.format_duration", "nil", "time.format_duration(-123456789.123)"),
    ("time.zone_exists", "nil", "time.zone_exists('Europe/Berlin')"),
    ("time.zones", "nil", "time.zones()"),
    // blob, what doesn't wait
    ("blob.get, 900 KB", "blob.put('s', 'large', string.rep('a', 900000))", "blob.get('s', 'large')"),
    (
        "blob.get, a byte of 900 KB",
        "blob.put('s', 'large', string.rep('a', 900000))",
        "blob.get('s', 'large', { offset = 600000, length = 1 })",
    ),
    ("blob.stat", "blob.put('s', 'large', string.rep('a', 900000))", "blob.stat('s', 'large')"),
    (
        "blob.list, 1,000 blobs",
        "(function() for i = 1, 1000 do blob.put('many', 'name ' .. i, '') end end)()",
        "blob.list('many', { limit = 1000 })",
    ),
    ("blob.link", "blob.put('s', 'small', '')", "blob.link('s', 'small', { seconds = 600 })"),
    ("blob.usage", "nil", "blob.usage()"),
    // cron, what doesn't wait
    (
        "cron.get",
        "cron.set('a', { expression = '*/15 9-17 * * MON-FRI', zone = 'Europe/Berlin', event = 'e', payload = 1 })",
        "cron.get('a')",
    ),
    (
        "cron.list, 90 schedules",
        "(function() for i = 1, 90 do cron.set('s' .. i, { expression = '0 0 29 2 *', event = 'e', payload = 1 }) end end)()",
        "cron.list()",
    ),
    ("cron.next, 100 runs", "nil", "cron.next('* * * * * *', nil, i, 100)"),
    ("cron.next, leap days, 100 runs", "nil", "cron.next('0 0 29 2 *', 'Europe/Berlin', i, 100)"),
    ("cron.next, rare days, 100 runs", "nil", "cron.next('59 59 23 29 2 +MON#5', 'America/New_York', i, 100)"),
    ("cron.next, a Friday the 13th", "nil", "cron.next('0 0 13 * +FRI', 'Europe/Berlin', i, 100)"),
    ("cron.next, a long list", "string.rep('0,', 119) .. '59 * * * *'", "cron.next(made, 'Europe/Berlin', i, 100)"),
    // a provider
    ("a provider: nothing", "nil", "provider.nothing()"),
    ("a provider: spins", "nil", "provider.spin(1000000)"),
    ("a provider: 25,000 numbers in", "table.create(25000, 1.5)", "provider.numbers(made)"),
    ("a provider: 250 KB there and back", "string.rep('a', 250000)", "provider.bytes(made)"),
    ("a provider: 40,000 texts there and back", "table.create(40000, 'abc')", "provider.texts(made)"),
    ("a provider: asks for the time", "nil", "provider.clock(10000)"),
    ("a provider: 1 KiB of randomness", "nil", "provider.dice(10000)"),
];

const TEXT: &str = "string.rep('the quick brown fox ' .. tostring(math.random()), 4000)";
const ALL_UNITS: &str =
    "{ years = 1, months = 13, weeks = 5, days = 40, hours = 99, minutes = 99, seconds = 99, milliseconds = 9999 }";

/// Calls that wait, for the store or the network.
const WAITING: &[Row] = &[
    ("kv.set, small", "nil", "kv.set('s', 'a', i)"),
    ("kv.set, a text of 300 KB", "string.rep('a', 300000)", "kv.set('s', 'large', made)"),
    ("kv.set, 60,000 values", "table.create(60000, true)", "kv.set('s', 'many', made)"),
    ("kv.delete, no such key", "nil", "kv.delete('s', 'none')"),
    ("kv.compare_and_set, not as expected", "nil", "kv.compare_and_set('s', 'none', { tag = 'value', value = 1 }, 2)"),
    (
        "kv.compare_and_set, 300 KB, not as expected",
        "(function() local text = string.rep('a', 300000) kv.set('s', 'large', text) return text .. 'b' end)()",
        "kv.compare_and_set('s', 'large', { tag = 'value', value = made }, 2)",
    ),
    ("kv.increment", "nil", "pcall(kv.increment, 's', 'count ' .. lane)"),
    ("kv.increment, no number", "kv.set('s', 'text', 'x')", "pcall(kv.increment, 's', 'text')"),
    (
        "kv.apply, 100 sets",
        "(function() local ops = {} for i = 1, 100 do ops[i] = { tag = 'set', value = { key = 'k' .. i, value = i } } end \
         return ops end)()",
        "kv.apply('l', made)",
    ),
    (
        "kv.apply, the 100th check fails",
        "(function() local ops = {} for i = 1, 99 do ops[i] = { tag = 'check', value = { key = 'k' .. i, \
         expected = { tag = 'absent' } } } end ops[100] = { tag = 'check', value = { key = 'k', expected = { tag = 'value', \
         value = 1 } } } return ops end)()",
        "pcall(kv.apply, 'none', made)",
    ),
    (
        "kv.apply, 50 checks on 900 KB",
        "(function() local ops = {} for i = 1, 50 do local revision = kv.set('big', 'k' .. i, string.rep('a', 900000)) \
         ops[i] = { tag = 'check', value = { key = 'k' .. i, expected = { tag = 'revision', value = revision } } } end \
         return ops end)()",
        "kv.apply('big', made)",
    ),
    ("blob.put, nothing", "nil", "blob.put('s', 'small ' .. lane, '')"),
    ("blob.put, 300 KB", "string.rep('a', 300000)", "blob.put('s', 'put ' .. lane, made)"),
    ("blob.put, memory", "nil", "blob.put('s', 'memory ' .. lane, 'x', { memory = true, ttl = 60 })"),
    (
        "blob.append, nothing, to 60 KB",
        "blob.put('s', 'a', string.rep('a', 60000))",
        "blob.append('s', 'a', '', 60000)",
    ),
    ("blob.append, another size", "blob.put('s', 'a', string.rep('a', 60000))", "pcall(blob.append, 's', 'a', 'x', 1)"),
    (
        "blob.append, a byte",
        "(function() for i = 1, 64 do blob.put('s', 'a' .. i, string.rep('a', 30000)) end return {} end)()",
        "made[lane] = blob.append('s', 'a' .. lane, 'x', made[lane] or 30000)",
    ),
    ("blob.delete, no such blob", "nil", "blob.delete('s', 'none')"),
    ("blob.rename, no such blob", "nil", "blob.rename('s', 'none', 'other')"),
    (
        "cron.set, another time",
        "nil",
        "cron.set('s' .. lane, { expression = i % 60 .. ' * * * *', event = 'e', payload = 1 })",
    ),
    (
        "cron.set, the same",
        "nil",
        "cron.set('s' .. lane, { expression = '0 0 29 2 *', zone = 'Europe/Berlin', event = 'e', payload = 1 })",
    ),
    ("cron.delete, none", "nil", "cron.delete('none')"),
    ("http.fetch, nothing answers", "nil", "pcall(http.fetch, 'http://127.0.0.1:1/')"),
    (
        "http.fetch, 300 KB, nothing answers",
        "{ method = 'POST', body = string.rep('a', 300000) }",
        "pcall(http.fetch, 'http://127.0.0.1:1/', made)",
    ),
    (
        "http.fetch, 100 headers, nothing answers",
        "(function() local all = {} for i = 1, 100 do all['x-' .. i] = string.rep('v', 500) end return { headers = all } end)()",
        "pcall(http.fetch, 'http://127.0.0.1:1/', made)",
    ),
    ("http.fetch, an address that isn't allowed", "nil", "pcall(http.fetch, 'http://10.0.0.1/')"),
];

/// Calls that fail by what they are given, each caught.
const FAILING: &[Row] = &[
    ("json.decode, {", "nil", "json.decode, '{'"),
    ("json.decode, wrong at the end", "'[' .. string.rep('[],', 60000) .. 'x'", "json.decode, made"),
    ("json.decode, a line that is wrong", "string.rep('\\n', 900000) .. 'x'", "json.decode, made"),
    ("json.decode, 900,000 digits", "string.rep('1', 900000)", "json.decode, made"),
    ("json.decode, 900,000 deep", "string.rep('[', 900000)", "json.decode, made"),
    ("json.decode, no UTF-8 at the end", "'\"' .. string.rep('a', 900000) .. '\\255\"'", "json.decode, made"),
    (
        "json.decode, a key twice",
        "(function() local t = {} for i = 1, 40000 do t[i] = '\"' .. i .. '\":1' end \
         return '{' .. table.concat(t, ',') .. ',\"40000\":1}' end)()",
        "json.decode, made",
    ),
    ("json.encode, NaN", "nil", "json.encode, 0 / 0"),
    (
        "json.encode, NaN at the end",
        "(function() local t = table.create(60000, 1) t[60000] = 0 / 0 return t end)()",
        "json.encode, made",
    ),
    ("json.encode, no UTF-8 at the end", "string.rep('a', 900000) .. '\\255'", "json.encode, made"),
    ("json.encode, a function", "nil", "json.encode, print"),
    ("json.encode, 1,000,000 values, too large", "table.create(1000000, true)", "json.encode, made"),
    ("json.encode, too large", "string.rep('\\1', 900000)", "json.encode, made"),
    ("kv.get, an empty scope", "nil", "kv.get, '', 'k'"),
    ("kv.get, a scope of 900 KB", "string.rep('a', 900000)", "kv.get, made, 'k'"),
    ("kv.get, a key of 900 KB", "string.rep('a', 900000)", "kv.get, 's', made"),
    ("kv.get, no such key", "nil", "kv.get, 's', 'none'"),
    ("kv.lookup, a key of 900 KB", "string.rep('a', 900000)", "kv.lookup, 's', made"),
    ("kv.set, nil", "nil", "kv.set, 's', 'k', nil"),
    ("kv.set, a key of 900 KB", "string.rep('a', 900000)", "kv.set, 's', made, 1"),
    ("kv.set, two ends", "nil", "kv.set, 's', 'k', 1, { ttl = 1, expires = 1 }"),
    ("kv.set, a ttl of NaN", "nil", "kv.set, 's', 'k', 1, { ttl = 0 / 0 }"),
    ("kv.delete, a key of 900 KB", "string.rep('a', 900000)", "kv.delete, 's', made"),
    ("kv.compare_and_set, no expectation", "nil", "kv.compare_and_set, 's', 'k', { tag = 'x' }, 1"),
    ("kv.increment, a key of 900 KB", "string.rep('a', 900000)", "kv.increment, 's', made"),
    ("kv.list, 1,001 entries", "nil", "kv.list, 's', { limit = 1001 }"),
    ("kv.list, a prefix of 900 KB", "string.rep('a', 900000)", "kv.list, 's', { prefix = made }"),
    ("kv.apply, no operation", "nil", "kv.apply, 's', { { tag = 'x' } }"),
    ("kv.apply, 10,000 operations", "table.create(10000, { tag = 'delete', value = 'k' })", "kv.apply, 's', made"),
    (
        "kv.apply, the last is wrong",
        "(function() local t = table.create(10000, { tag = 'delete', value = 'k' }) t[10000] = 1 return t end)()",
        "kv.apply, 's', made",
    ),
    ("log.info, a function", "nil", "log.info, 'x', print"),
    ("random.bytes, too many", "nil", "random.bytes, 65537"),
    ("random.integer, the wrong way round", "nil", "random.integer, 2, 1"),
    ("codec.decode_base64, !", "nil", "codec.decode_base64, '!'"),
    ("codec.decode_base64, wrong at the end", "string.rep('abcd', 225000) .. '!'", "codec.decode_base64, made"),
    ("codec.encode_base64, too large", "string.rep('a', 1000000)", "codec.encode_base64, made"),
    ("codec.encode_hex, too large", "string.rep('a', 1000000)", "codec.encode_hex, made"),
    ("codec.decode_hex, !", "nil", "codec.decode_hex, '!'"),
    ("codec.decode_hex, wrong at the end", "string.rep('ab', 450000) .. 'x'", "codec.decode_hex, made"),
    ("codec.encode_url, too large", "string.rep('%', 900000)", "codec.encode_url, made"),
    ("codec.decode_url, %", "nil", "codec.decode_url, '%'"),
    ("codec.decode_url, wrong at the end", "string.rep('%20', 300000) .. '%'", "codec.decode_url, made"),
    ("codec.hash, no algorithm", "nil", "codec.hash, 'sha3', ''"),
    ("codec.hash, an algorithm of 900 KB", "string.rep('a', 900000)", "codec.hash, made, ''"),
    ("codec.hmac, a long key", "string.rep('a', 900000)", "codec.hmac, 'sha256', made, ''"),
    ("codec.compress, no level", "nil", "codec.compress, 'gzip', '', 10"),
    ("codec.compress, no level, 900 KB", "string.rep('a', 900000)", "codec.compress, 'gzip', made, 10"),
    ("codec.decompress, garbage", "nil", "codec.decompress, 'gzip', 'x'"),
    ("codec.decompress, 900 KB of garbage", "string.rep('a', 900000)", "codec.decompress, 'zlib', made"),
    (
        "codec.decompress, over its limit",
        "codec.compress('gzip', string.rep('a', 900000))",
        "codec.decompress, 'gzip', made, 800000",
    ),
    (
        "codec.decompress, cut off",
        "string.sub(codec.compress('gzip', random.bytes(65536)), 1, -9)",
        "codec.decompress, 'gzip', made",
    ),
    ("time.in_zone, no zone", "nil", "time.in_zone, 0, 'Nowhere/Nothing'"),
    ("time.in_zone, out of range", "nil", "time.in_zone, 1e300, 'UTC'"),
    ("time.in_zone, a zone of 900 KB", "string.rep('a', 900000)", "time.in_zone, 0, made"),
    ("time.from_parts, no zone", "{ year = 2026, month = 1, day = 1 }", "time.from_parts, made, 'Nowhere/Nothing'"),
    ("time.from_parts, no date", "{ year = 2026, month = 2, day = 30 }", "time.from_parts, made, 'UTC'"),
    ("time.with, no zone", "nil", "time.with, 0, {}, 'Nowhere/Nothing'"),
    ("time.with, no date", "nil", "time.with, 0, { month = 13 }, 'UTC'"),
    ("time.add, no zone", "nil", "time.add, 0, {}, 'Nowhere/Nothing'"),
    ("time.add, out of range", "nil", "time.add, 0, { years = 1e14 }, 'UTC'"),
    ("time.difference, no zone", "nil", "time.difference, 0, 1, 'year', 'Nowhere/Nothing'"),
    ("time.difference, no unit", "nil", "time.difference, 0, 1, 'fortnight', 'UTC'"),
    ("time.start_of, no zone", "nil", "time.start_of, 0, 'day', 'Nowhere/Nothing'"),
    ("time.start_of, NaN", "nil", "time.start_of, 0 / 0, 'day', 'UTC'"),
    ("time.parse, x", "nil", "time.parse, 'x'"),
    ("time.parse, 256 bytes", "string.rep('2026-', 51)", "time.parse, made"),
    ("time.parse, 900 KB", "string.rep('2', 900000)", "time.parse, made"),
    ("time.parse, no zone", "nil", "time.parse, '2026-01-01', 'Nowhere/Nothing'"),
    ("time.parse, no zone in it", "nil", "time.parse, '2026-01-01T00:00[Nowhere/Nothing]'"),
    ("time.parse_rfc2822, x", "nil", "time.parse_rfc2822, 'x'"),
    ("time.parse_rfc2822, comments", "string.rep('(', 128) .. string.rep(')', 128)", "time.parse_rfc2822, made"),
    ("time.parse_pattern, x", "nil", "time.parse_pattern, 'x', '%Y'"),
    ("time.parse_pattern, the longest", "string.rep(' ', 256)", "time.parse_pattern, made, made .. '%'"),
    ("time.parse_pattern, no zone", "nil", "time.parse_pattern, '2026-1-1', '%Y-%m-%d', 'Nowhere/Nothing'"),
    ("time.format, no zone", "nil", "time.format, 0, 'Nowhere/Nothing'"),
    ("time.format, no zone, nor a pattern", "nil", "time.format, 0, 'x', 'Nowhere/Nothing'"),
    ("time.format, almost a zone", "nil", "time.format, 0, 'America/Argentina/ComodRivadavi'"),
    ("time.format, no directive", "nil", "time.format, 0, 'UTC', '%!'"),
    (
        "time.format, no directive at the end",
        "string.rep('%Q', 127) .. '%!'",
        "time.format, 0, 'America/New_York', made",
    ),
    ("time.format, a pattern of 900 KB", "string.rep('%A', 450000)", "time.format, 0, 'UTC', made"),
    ("time.parse_duration, x", "nil", "time.parse_duration, 'x'"),
    ("time.parse_duration, 256 bytes", "string.rep('1h ', 85) .. 'x'", "time.parse_duration, made"),
    ("time.format_duration, NaN", "nil", "time.format_duration, 0 / 0"),
    ("time.zone_exists, none", "nil", "time.zone_exists, 'Nowhere/Nothing'"),
    ("time.zone_exists, 900 KB", "string.rep('a', 900000)", "time.zone_exists, made"),
    ("blob.put, no name", "nil", "blob.put, 's', '', ''"),
    ("blob.put, a name of 900 KB", "string.rep('a', 900000)", "blob.put, 's', made, ''"),
    ("blob.put, 900 KB, no type", "string.rep('a', 900000)", "blob.put, 's', 'n', made, { content_type = '\\1' }"),
    ("blob.put, memory without an end", "nil", "blob.put, 's', 'n', '', { memory = true }"),
    ("blob.append, a name of 900 KB", "string.rep('a', 900000)", "blob.append, 's', made, '', 0"),
    ("blob.get, none", "nil", "blob.get, 's', 'none'"),
    ("blob.get, a name of 900 KB", "string.rep('a', 900000)", "blob.get, 's', made"),
    ("blob.stat, none", "nil", "blob.stat, 's', 'none'"),
    ("blob.stat, a scope of 900 KB", "string.rep('a', 900000)", "blob.stat, made, 'n'"),
    ("blob.delete, a name of 900 KB", "string.rep('a', 900000)", "blob.delete, 's', made"),
    ("blob.rename, a name of 900 KB", "string.rep('a', 900000)", "blob.rename, 's', 'n', made"),
    ("blob.list, 1,001 blobs", "nil", "blob.list, 's', { limit = 1001 }"),
    ("blob.list, a prefix of 900 KB", "string.rep('a', 900000)", "blob.list, 's', { prefix = made }"),
    ("blob.link, none", "nil", "blob.link, 's', 'none', { seconds = 60 }"),
    ("blob.link, too long", "nil", "blob.link, 's', 'none', { seconds = 1e9 }"),
    ("cron.set, no expression", "nil", "cron.set, 'n', { expression = 'x', event = 'e', payload = 1 }"),
    ("cron.set, never", "nil", "cron.set, 'n', { expression = '0 0 30 2 *', event = 'e', payload = 1 }"),
    (
        "cron.set, almost never",
        "nil",
        "cron.set, 'n', { expression = '0 0 0 31 2,4,6,9,11 +MON#5', event = 'e', payload = 1 }",
    ),
    (
        "cron.set, no zone",
        "nil",
        "cron.set, 'n', { expression = '* * * * *', zone = 'Nowhere/Nothing', event = 'e', payload = 1 }",
    ),
    ("cron.set, 900 KB", "{ expression = string.rep('1', 900000), event = 'e', payload = 1 }", "cron.set, 'n', made"),
    ("cron.delete, a name of 900 KB", "string.rep('a', 900000)", "cron.delete, made"),
    ("cron.get, none", "nil", "cron.get, 'none'"),
    ("cron.get, a name of 900 KB", "string.rep('a', 900000)", "cron.get, made"),
    ("cron.list, after 900 KB", "string.rep('a', 900000)", "cron.list, made"),
    ("cron.next, x", "nil", "cron.next, 'x', nil, 0"),
    ("cron.next, never", "nil", "cron.next, '0 0 30 2 *', nil, 0"),
    ("cron.next, no zone", "nil", "cron.next, '* * * * *', 'Nowhere/Nothing', 0"),
    ("cron.next, out of range", "nil", "cron.next, '* * * * *', nil, 1e300"),
    ("cron.next, 256 bytes that are wrong", "string.rep('1-5/2,', 40) .. 'x * * * *'", "cron.next, made, nil, 0"),
    ("http.fetch, no URL", "nil", "http.fetch, 'nonsense'"),
    ("http.fetch, CJK", CJK, "http.fetch, made"),
    ("http.fetch, a URL of 900 KB", "'http://example.com/' .. string.rep('é', 400000)", "http.fetch, made"),
    ("http.fetch, a host of 8,000 bytes", "'http://' .. string.rep('a.', 4000) .. 'com/'", "http.fetch, made"),
    ("http.fetch, no method", "nil", "http.fetch, 'http://127.0.0.1/', { method = 'TRACE' }"),
    ("http.fetch, a method of 900 KB", "{ method = string.rep('a', 900000) }", "http.fetch, 'http://127.0.0.1/', made"),
    (
        "http.fetch, 10,000 headers",
        "(function() local all = {} for i = 1, 10000 do all['x-' .. i] = 'v' end return { headers = all } end)()",
        "http.fetch, 'http://127.0.0.1/', made",
    ),
    (
        "http.fetch, a header that isn't allowed",
        "{ headers = { host = 'x' } }",
        "http.fetch, 'http://127.0.0.1/', made",
    ),
    ("http.fetch, a GET with a body", "{ body = string.rep('a', 900000) }", "http.fetch, 'http://127.0.0.1/', made"),
    ("http.fetch, a timeout of NaN", "nil", "http.fetch, 'http://127.0.0.1/', { timeout = 0 / 0 }"),
];

const CJK: &str = "(function() local labels = {} for l = 1, 3 do local all = {} for i = 1, 900 do \
     all[i] = utf8.char(0x4e00 + (l * 900 + i * 7919) % 20000) end labels[l] = table.concat(all) end \
     return 'http://' .. table.concat(labels, '.') .. '/' end)()";

/// Calls by a tenant with narrowed grants, none of which fits.
const NARROWED: &[Row] = &[
    ("kv.get, twenty grants", "nil", "kv.get, 'scope', 'k'"),
    ("kv.get, twenty grants, a scope of 900 KB", "string.rep('a', 900000)", "kv.get, made, 'k'"),
    ("kv.set, twenty grants, a value of 900 KB", "string.rep('a', 900000)", "kv.set, 'scope', 'k', made"),
    ("blob.put, twenty grants, a scope of 900 KB", "string.rep('a', 900000)", "blob.put, made, 'n', ''"),
    ("http.fetch, twenty grants", "nil", "http.fetch, 'http://example.com/'"),
    ("http.fetch, twenty grants, CJK", CJK, "http.fetch, made"),
    ("http.fetch, twenty grants, 900 KB", "string.rep('a', 900000)", "http.fetch, made"),
    (
        "http.fetch, twenty grants, a host of 8,000 bytes",
        "'http://' .. string.rep('a.', 4000) .. 'com/'",
        "http.fetch, made",
    ),
];

/// What the guest does by itself, with no call of a module's.
const GUEST: &[Row] = &[
    ("task.wait(0)", "nil", "task.wait(0)"),
    ("os.clock()", "nil", "os.clock()"),
    ("os.time and os.date", "nil", "os.date('!%c', os.time())"),
    ("errors that are caught", "nil", "pcall(error, 'no')"),
    (
        "errors through 150 frames",
        "(function() local function deep(n) if n == 0 then error('no') end deep(n - 1) return 0 end return deep end)()",
        "pcall(made, 150)",
    ),
    ("task.delay and task.cancel", "function() end", "task.cancel(task.delay(1000, made))"),
    ("task.defer", "function() end", "task.defer(made)"),
    ("task.spawn", "function() end", "task.spawn(made)"),
    ("coroutines", "function() end", "coroutine.resume(coroutine.create(made))"),
    ("print, an empty line", "nil", "print('')"),
    ("print, bytes that aren't UTF-8", "string.rep('\\255', 300000)", "print(made)"),
    ("print, 900 bytes", "string.rep('a', 900)", "print(made)"),
    ("buffer.fill, 60 MB", "buffer.create(60000000)", "buffer.fill(made, 0, 1)"),
    ("buffer.copy, 60 MB", "buffer.create(60000000)", "buffer.copy(made, 0, made, 1, 59000000)"),
    ("buffer.create, 20 MB", "nil", "buffer.create(20000000)"),
    ("string.rep, 20 MB", "nil", "string.rep('x', 20000000)"),
    ("strings of 1 MB joined", "string.rep('x', 1000000)", "local _ = made .. i"),
    ("table.create, 1,000,000", "nil", "table.create(1000000, 1)"),
    ("table.move, 1,000,000", "table.create(1000001, 1)", "table.move(made, 1, 1000000, 2)"),
    ("table.clone, 1,000,000", "table.create(1000000, 1)", "table.clone(made)"),
    ("table.insert in front of 100,000", "table.create(100000, 1)", "table.insert(made, 1, 1) table.remove(made)"),
    ("string.find, a pattern", "string.rep('a', 20000)", "string.find(made, '.-b')"),
    ("string.format, 900 KB", "string.rep('\\1', 900000)", "string.format('%q', made)"),
];

/// Events that fail, or end with much.
const EVENTS: &[Row] = &[
    ("an event that does nothing", "nil", ""),
    ("an event that fails", "nil", "error('no')"),
    ("an event that fails with 1,040,000 values", "table.create(1040000, true)", "error(made)"),
    ("an event that fails with 1 MB", "string.rep('x', 1000000)", "error(made)"),
    ("an event that fails with what can't cross", "table.create(60000, print)", "error(made)"),
    ("an event that returns 1,040,000 values", "table.create(1040000, true)", "return made"),
    ("an event that returns 1 MB", "string.rep('x', 1000000)", "return made"),
    ("an event over the limit on results", "nil", "return string.rep('x', 50000000)"),
    (
        "an event that ends by its memory",
        "nil",
        "local kept = {} while true do table.insert(kept, buffer.create(1000000)) end",
    ),
    ("an event that leaves a task", "nil", "task.spawn(function() task.wait(0) end)"),
];

/// All cases but the generic ones.
pub(super) fn written() -> Vec<Case> {
    let case = |row: &Row, how, by| Case {
        name: row.0.to_owned(),
        make: row.1.to_owned(),
        call: row.2.to_owned(),
        how,
        by,
        is_held: true,
    };
    let free = |row: &Row, how, by| Case { is_held: false, ..case(row, how, by) };
    let caught = |row: &Row, by| Case { call: format!("pcall({})", row.2), ..case(row, InTurn, by) };
    let calls = CALLS.iter().map(|row| case(row, InTurn, Granted));
    let waiting = WAITING.iter().map(|row| case(row, AtOnce, Granted));
    let failing = FAILING.iter().map(|row| caught(row, Granted));
    let narrowed = NARROWED.iter().map(|row| caught(row, Narrowed));
    let guest = GUEST.iter().map(|row| free(row, InTurn, Granted));
    let events = EVENTS.iter().map(|row| free(row, Event, Small));
    calls.chain(waiting).chain(failing).chain(narrowed).chain(guest).chain(events).collect()
}

/// The errors that every function has, of a function as Luau writes it: `kv.get`.
pub(super) fn generic(function: &str) -> Vec<Case> {
    let case = |what: &str, make: &str, arguments: &str, by| Case {
        name: format!("{function}, {what}"),
        make: make.to_owned(),
        call: format!("pcall({function}{arguments})"),
        how: InTurn,
        by,
        is_held: true,
    };
    let integers = "table.create(60000, 123456789)";
    let mut cases = vec![
        case("denied", "nil", ", 's', 'k'", By::Denied),
        case("denied, 900 KB", "string.rep('a', 900000)", ", made", By::Denied),
        case("over the rate", "nil", ", 's', 'k'", By::OverRate),
        case("over the rate, 60,000 integers", integers, ", made", By::OverRate),
        case("no arguments", "nil", "", Granted),
        case("60,000 integers", integers, ", made, made", Granted),
    ];
    if function.starts_with("kv.") {
        cases.push(case("over the operations", "nil", ", 's', 'k'", OverOperations));
    }
    cases
}

//! Texts that are not JSON, each with the byte, the line, the character and the words of its error.

use super::wrong;

type Row = (&'static [u8], (u32, u32, u32), &'static str);

fn check(rows: &[Row]) {
    for (text, place, message) in rows {
        let error = wrong(text);
        let found = (error.offset, error.line, error.column);
        assert_eq!((found, error.message.as_str()), (*place, *message), "{}", text.escape_ascii());
        assert!(error.offset as usize <= text.len());
    }
}

#[test]
fn what_is_no_value() {
    let rows: &[Row] = &[
        (b"", (0, 1, 1), "expected a value, found the end of the text"),
        (b" \n\t ", (4, 2, 3), "expected a value, found the end of the text"),
        (b"\0", (0, 1, 1), "expected a value, found the character U+0000"),
        (b"{}\0", (2, 1, 3), "expected the end of the text after the value, found the character U+0000"),
        (b"\xef\xbb\xbf{}", (0, 1, 1), "expected a value, found a byte order mark (U+FEFF); remove it"),
        (b"\xef\xbb\xbf", (0, 1, 1), "expected a value, found a byte order mark (U+FEFF); remove it"),
        (
            b"[\xef\xbb\xbf]",
            (1, 1, 2),
            "expected a value or `]` after `[`, found a byte order mark (U+FEFF); remove it",
        ),
        (b"\xfe\xff\0[", (0, 1, 1), "expected a value, found the byte 0xFE, which is not UTF-8"),
        (b"\xff", (0, 1, 1), "expected a value, found the byte 0xFF, which is not UTF-8"),
        (b"\xc3\xa9", (0, 1, 1), "expected a value, found the character U+00E9"),
        (b"\xc2\xa01", (0, 1, 1), "expected a value, found the character U+00A0"),
        (b"nul", (0, 1, 1), "`nul` is no value; the words of JSON are `true`, `false` and `null`"),
        (b"NULL", (0, 1, 1), "`NULL` is no value; the words of JSON are `true`, `false` and `null`"),
        (b"True", (0, 1, 1), "`True` is no value; the words of JSON are `true`, `false` and `null`"),
        (b"nan", (0, 1, 1), "`nan` is no value; the words of JSON are `true`, `false` and `null`"),
        (b"NaN", (0, 1, 1), "`NaN` is no value; the words of JSON are `true`, `false` and `null`"),
        (b"Infinity", (0, 1, 1), "`Infinity` is no value; the words of JSON are `true`, `false` and `null`"),
        (b"-Infinity", (1, 1, 2), "expected a digit after `-`, found `Infinity`"),
        (b"undefined", (0, 1, 1), "`undefined` is no value; the words of JSON are `true`, `false` and `null`"),
        (b"truefalse", (0, 1, 1), "`truefalse` is no value; the words of JSON are `true`, `false` and `null`"),
        (b"true1", (0, 1, 1), "`true1` is no value; the words of JSON are `true`, `false` and `null`"),
        (b"true false", (5, 1, 6), "expected the end of the text after the value, found `false`"),
        (
            b"aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd",
            (0, 1, 1),
            "`aaaaaaaaaabbbbbbbbbbcccc...` is no value; the words of JSON are `true`, `false` and `null`",
        ),
    ];
    check(rows);
}

#[test]
fn arrays() {
    let rows: &[Row] = &[
        (b"[", (1, 1, 2), "expected a value or `]` after `[`, found the end of the text"),
        (b"[1", (2, 1, 3), "expected `,` or `]` after an item, found the end of the text"),
        (b"[1,", (3, 1, 4), "expected a value after `,`, found the end of the text"),
        (b"[1,]", (3, 1, 4), "expected a value after `,`, found `]`"),
        (b"[,1]", (1, 1, 2), "expected a value or `]` after `[`, found `,`"),
        (b"[1 2]", (3, 1, 4), "expected `,` or `]` after an item, found `2`"),
        (b"[1}", (2, 1, 3), "expected `,` or `]` after an item, found `}`"),
        (b"[1]]", (3, 1, 4), "expected the end of the text after the value, found `]`"),
        (b"[1],", (3, 1, 4), "expected the end of the text after the value, found `,`"),
        (b"]", (0, 1, 1), "expected a value, found `]`"),
        (b"[\n  1,\n  2\n  3]", (13, 4, 3), "expected `,` or `]` after an item, found `3`"),
        (b"[1,,2]", (3, 1, 4), "expected a value after `,`, found `,`"),
    ];
    check(rows);
}

#[test]
fn objects() {
    let rows: &[Row] = &[
        (b"{", (1, 1, 2), "expected a key in double quotes or `}` after `{`, found the end of the text"),
        (br#"{"a""#, (4, 1, 5), "expected `:` after a key, found the end of the text"),
        (br#"{"a":"#, (5, 1, 6), "expected a value after `:`, found the end of the text"),
        (br#"{"a":1"#, (6, 1, 7), "expected `,` or `}` after a value, found the end of the text"),
        (br#"{"a":1,"#, (7, 1, 8), "expected a key in double quotes after `,`, found the end of the text"),
        (br#"{"a":1,}"#, (7, 1, 8), "expected a key in double quotes after `,`, found `}`"),
        (b"{,}", (1, 1, 2), "expected a key in double quotes or `}` after `{`, found `,`"),
        (b"{a:1}", (1, 1, 2), "expected a key in double quotes or `}` after `{`, found `a`"),
        (
            b"{'a':1}",
            (1, 1, 2),
            "expected a key in double quotes or `}` after `{`, found `'`; strings are in double quotes",
        ),
        (br#"{"a" 1}"#, (5, 1, 6), "expected `:` after a key, found `1`"),
        (br#"{"a":}"#, (5, 1, 6), "expected a value after `:`, found `}`"),
        (br#"{"a":1 "b":2}"#, (7, 1, 8), r#"expected `,` or `}` after a value, found `"`"#),
        (br#"{"a":1]"#, (6, 1, 7), "expected `,` or `}` after a value, found `]`"),
        (b"{1:2}", (1, 1, 2), "expected a key in double quotes or `}` after `{`, found `1`"),
        (b"{null:1}", (1, 1, 2), "expected a key in double quotes or `}` after `{`, found `null`"),
        (br#"{"a"::1}"#, (5, 1, 6), "expected a value after `:`, found `:`"),
        (br#"{"a":1,"a":2}"#, (7, 1, 8), r#"the key "a" is there twice in an object"#),
        (br#"{"a":1,"\u0061":2}"#, (7, 1, 8), r#"the key "a" is there twice in an object"#),
        (br#"{"a":null,"b":1,"a":2}"#, (16, 1, 17), r#"the key "a" is there twice in an object"#),
        (b"[{\"x\":{\"k\\n\":1,\n\"k\\n\":2}}]", (16, 2, 1), r#"the key "k\n" is there twice in an object"#),
    ];
    check(rows);
}

#[test]
fn numbers() {
    let rows: &[Row] = &[
        (b"-", (1, 1, 2), "expected a digit after `-`, found the end of the text"),
        (b"-a", (1, 1, 2), "expected a digit after `-`, found `a`"),
        (b"+1", (0, 1, 1), "expected a value, found `+`; a number has no sign but `-`"),
        (b".5", (0, 1, 1), "expected a value, found `.`; a number begins with a digit"),
        (b"-.5", (1, 1, 2), "expected a digit after `-`, found `.`"),
        (b"1.", (2, 1, 3), "expected a digit after `.`, found the end of the text"),
        (b"1.e5", (2, 1, 3), "expected a digit after `.`, found `e5`"),
        (b"1e", (2, 1, 3), "expected a digit in the exponent, found the end of the text"),
        (b"1e+", (3, 1, 4), "expected a digit in the exponent, found the end of the text"),
        (b"1E-x", (3, 1, 4), "expected a digit in the exponent, found `x`"),
        (b"01", (0, 1, 1), "a number has no zeros in front"),
        (b"-01", (1, 1, 2), "a number has no zeros in front"),
        (b"00", (0, 1, 1), "a number has no zeros in front"),
        (b"0x10", (1, 1, 2), "expected the end of the text after the value, found `x10`"),
        (b"1_000", (1, 1, 2), "expected the end of the text after the value, found `_`"),
        (b"1a", (1, 1, 2), "expected the end of the text after the value, found `a`"),
        (b"--1", (1, 1, 2), "expected a digit after `-`, found `-`"),
        (b"1..2", (2, 1, 3), "expected a digit after `.`, found `.`"),
        (b"[1.5.2]", (4, 1, 5), "expected `,` or `]` after an item, found `.`"),
        (b"1e309", (0, 1, 1), "1e309 is too large for a number"),
        (b"-1e309", (0, 1, 1), "-1e309 is too large for a number"),
        (b"[0, 1e999999999999]", (4, 1, 5), "1e999999999999 is too large for a number"),
        (
            b"9223372036854775809",
            (0, 1, 1),
            "9223372036854775809 is neither a double nor a 64-bit integer, and would be rounded; have it sent as a string",
        ),
        (
            b"18446744073709551615",
            (0, 1, 1),
            "18446744073709551615 is neither a double nor a 64-bit integer, and would be rounded; have it sent as a string",
        ),
        (
            b"-9223372036854775809",
            (0, 1, 1),
            "-9223372036854775809 is neither a double nor a 64-bit integer, and would be rounded; have it sent as a string",
        ),
        (
            b"[\n18446744073709551615]",
            (2, 2, 1),
            "18446744073709551615 is neither a double nor a 64-bit integer, and would be rounded; have it sent as a string",
        ),
    ];
    check(rows);
}

#[test]
fn strings() {
    let rows: &[Row] = &[
        (br#"""#, (1, 1, 2), "expected the closing quote of a string, found the end of the text"),
        (br#""abc"#, (4, 1, 5), "expected the closing quote of a string, found the end of the text"),
        (
            br#""abc\"#,
            (5, 1, 6),
            r#"expected one of `"`, `\`, `/`, `b`, `f`, `n`, `r`, `t`, `u` after `\`, found the end of the text"#,
        ),
        (br#""\x""#, (2, 1, 3), r#"expected one of `"`, `\`, `/`, `b`, `f`, `n`, `r`, `t`, `u` after `\`, found `x`"#),
        (b"\"\\'\"", (2, 1, 3), r#"expected one of `"`, `\`, `/`, `b`, `f`, `n`, `r`, `t`, `u` after `\`, found `'`"#),
        (br#""\u""#, (3, 1, 4), r#"expected four hexadecimal digits after `\u`, found `"`"#),
        (br#""\u12""#, (5, 1, 6), r#"expected four hexadecimal digits after `\u`, found `"`"#),
        (br#""\u12"#, (5, 1, 6), r#"expected four hexadecimal digits after `\u`, found the end of the text"#),
        (br#""\u00g0""#, (5, 1, 6), r#"expected four hexadecimal digits after `\u`, found `g0`"#),
        (
            br#""\U0041""#,
            (2, 1, 3),
            r#"expected one of `"`, `\`, `/`, `b`, `f`, `n`, `r`, `t`, `u` after `\`, found `U0041`"#,
        ),
        (
            b"\"\\\n\"",
            (2, 1, 3),
            r#"expected one of `"`, `\`, `/`, `b`, `f`, `n`, `r`, `t`, `u` after `\`, found the character U+000A"#,
        ),
        (br#""\ud800""#, (1, 1, 2), r#"`\ud800` is half of a surrogate pair, without its other half"#),
        (br#""\udc00""#, (1, 1, 2), r#"`\udc00` is half of a surrogate pair, without its other half"#),
        (br#""a\ud800b""#, (2, 1, 3), r#"`\ud800` is half of a surrogate pair, without its other half"#),
        (br#""\ud800\n""#, (1, 1, 2), r#"`\ud800` is half of a surrogate pair, without its other half"#),
        (br#""\ud800\u0041""#, (1, 1, 2), r#"`\ud800` is half of a surrogate pair, without its other half"#),
        (br#""\ud800\ud800""#, (1, 1, 2), r#"`\ud800` is half of a surrogate pair, without its other half"#),
        (br#""\ud83d\ude0"#, (12, 1, 13), r#"expected four hexadecimal digits after `\u`, found the end of the text"#),
        (br#""\ud800"#, (1, 1, 2), r#"`\ud800` is half of a surrogate pair, without its other half"#),
        (br#""\udfff\ud800""#, (1, 1, 2), r#"`\udfff` is half of a surrogate pair, without its other half"#),
        (b"\"a\nb\"", (2, 1, 3), r#"the control character U+000A in a string; write it `\n`"#),
        (b"\"a\tb\"", (2, 1, 3), r#"the control character U+0009 in a string; write it `\t`"#),
        (b"\"\r\"", (1, 1, 2), r#"the control character U+000D in a string; write it `\r`"#),
        (b"\"\0\"", (1, 1, 2), r#"the control character U+0000 in a string; write it `\u0000`"#),
        (b"\"\x1f\"", (1, 1, 2), r#"the control character U+001F in a string; write it `\u001f`"#),
        (b"\"\xff\"", (1, 1, 2), "the byte 0xFF in a string is not UTF-8"),
        (b"\"ab\xc3\"", (3, 1, 4), "the byte 0xC3 in a string is not UTF-8"),
        (b"\"\xc3\xa9\xed\xa0\x80\"", (3, 1, 3), "the byte 0xED in a string is not UTF-8"),
        (b"\"\xf4\x90\x80\x80\"", (1, 1, 2), "the byte 0xF4 in a string is not UTF-8"),
        (b"\"\xc0\xaf\"", (1, 1, 2), "the byte 0xC0 in a string is not UTF-8"),
        (b"\"\xe2\x82", (1, 1, 2), "the byte 0xE2 in a string is not UTF-8"),
        (b"[\"\xc3\xa9\", x]", (7, 1, 7), "`x` is no value; the words of JSON are `true`, `false` and `null`"),
        (b"\"\xff\\x\"", (1, 1, 2), "the byte 0xFF in a string is not UTF-8"),
        (
            b"\"\\x\xff\"",
            (2, 1, 3),
            r#"expected one of `"`, `\`, `/`, `b`, `f`, `n`, `r`, `t`, `u` after `\`, found `x`"#,
        ),
    ];
    check(rows);
}

#[test]
fn what_stands_around() {
    let rows: &[Row] = &[
        (b"'a'", (0, 1, 1), "expected a value, found `'`; strings are in double quotes"),
        (b"[1, // one\n2]", (4, 1, 5), "expected a value after `,`, found a comment; JSON has none"),
        (b"/* */ 1", (0, 1, 1), "expected a value, found a comment; JSON has none"),
        (b"# 1", (0, 1, 1), "expected a value, found a comment; JSON has none"),
        (b"[1] // end", (4, 1, 5), "expected the end of the text after the value, found a comment; JSON has none"),
        (b"\x0b1", (0, 1, 1), "expected a value, found the character U+000B"),
        (b"\x0c1", (0, 1, 1), "expected a value, found the character U+000C"),
        (b"1\x7f", (1, 1, 2), "expected the end of the text after the value, found the character U+007F"),
        (b"[1\xe2\x80\xa8]", (2, 1, 3), "expected `,` or `]` after an item, found the character U+2028"),
        (b"*", (0, 1, 1), "expected a value, found `*`"),
        (br#"\u0031"#, (0, 1, 1), r#"expected a value, found `\`"#),
        (br#"{"a":1}}"#, (7, 1, 8), "expected the end of the text after the value, found `}`"),
        (b"1 2", (2, 1, 3), "expected the end of the text after the value, found `2`"),
        (br#""a" "b""#, (4, 1, 5), r#"expected the end of the text after the value, found `"`"#),
    ];
    check(rows);
}

#[test]
fn meaning_and_place() {
    let rows: &[Row] = &[
        (b"[null]", (1, 1, 2), "a list can't hold nil; give the option `null`, a value that stands for `null`"),
        (
            br#"{"a":[1, null]}"#,
            (9, 1, 10),
            "a list can't hold nil; give the option `null`, a value that stands for `null`",
        ),
        (b"[[[[[1]]]]]", (4, 1, 5), "arrays and objects lie more than 4 deep in each other"),
        (b"[[[[{}]]]]", (4, 1, 5), "arrays and objects lie more than 4 deep in each other"),
        (br#"{"a":{"b":{"c":{"d":[]}}}}"#, (20, 1, 21), "arrays and objects lie more than 4 deep in each other"),
        (b"[1,\r\n2,\r\n\r\nx]", (11, 4, 1), "`x` is no value; the words of JSON are `true`, `false` and `null`"),
        (b"[1,\rx]", (4, 1, 5), "`x` is no value; the words of JSON are `true`, `false` and `null`"),
        (b"[\"\xc3\xa9\xf0\x9f\x98\x80\",\t?]", (11, 1, 8), "expected a value after `,`, found `?`"),
        (b"[(1)]", (1, 1, 2), "expected a value or `]` after `[`, found `(`"),
        (b"[0\xff]", (2, 1, 3), "expected `,` or `]` after an item, found the byte 0xFF, which is not UTF-8"),
        (br#"{"a":tru}"#, (5, 1, 6), "`tru` is no value; the words of JSON are `true`, `false` and `null`"),
        (br#"["a":1]"#, (4, 1, 5), "expected `,` or `]` after an item, found `:`"),
        (b"{[]:1}", (1, 1, 2), "expected a key in double quotes or `}` after `{`, found `[`"),
        (b"[-]", (2, 1, 3), "expected a digit after `-`, found `]`"),
        (b"[1e1.5]", (4, 1, 5), "expected `,` or `]` after an item, found `.`"),
        (br#"{"a",1}"#, (4, 1, 5), "expected `:` after a key, found `,`"),
    ];
    check(rows);
}

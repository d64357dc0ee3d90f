//! What people get wrong, and what they are told: every message word for word.

use crate::grant::{Grant, GrantError};

/// A text, and what the message says after it.
const BAD: &[(&str, &str)] = &[
    ("", r#"ends at column 1 where a namespace or "*" was expected"#),
    (" ", r#"has a space at column 1 where a namespace or "*" was expected: write it without white space"#),
    (
        "motu",
        r#"ends at column 5 where ":" was expected: a grant is namespace:package/interface.function, or * alone for everything"#,
    ),
    (
        "motu/kv",
        r#"has "/" at column 5 where ":" was expected: a grant is namespace:package/interface.function, or * alone for everything"#,
    ),
    ("motu:", r#"ends at column 6 where a package or "*" was expected"#),
    ("motu:kv", r#"ends at column 8 where "/" was expected: write motu:kv/* for all of its functions"#),
    ("motu:kv/", r#"ends at column 9 where an interface or "*" was expected"#),
    ("motu:kv/store", r#"ends at column 14 where "." was expected: write motu:kv/store.* for all of its functions"#),
    ("motu:kv/store.", r#"ends at column 15 where a function or "*" was expected"#),
    ("motu:kv[scope=a]", r#"has "[" at column 8 where "/" was expected: write motu:kv/* for all of its functions"#),
    (
        "motu:kv/store[scope=a]",
        r#"has "[" at column 14 where "." was expected: write motu:kv/store.* for all of its functions"#,
    ),
    ("motu:kv/store.get.", r#"ends at column 19 where a method or "*" was expected"#),
    (
        "motu:kv/store.get.x.y",
        r#"has "." at column 20 where "[" or the end was expected: a function is at most a resource and its method"#,
    ),
    (
        "motu:kv/store/get",
        r#"has "/" at column 14 where "." was expected: a grant is namespace:package/interface.function, or * alone for everything"#,
    ),
    (
        "motu:kv/store.*.get",
        r#"has "." at column 16 where "[" or the end was expected: * is all functions, methods of resources too"#,
    ),
    ("*:", r#"ends at column 3 where a package or "*" was expected"#),
    ("*x", r#"has "x" at column 2 where ":" was expected: * stands for a whole name, not for a part of one"#),
    (
        "*/*",
        r#"has "/" at column 2 where ":" was expected: a grant is namespace:package/interface.function, or * alone for everything"#,
    ),
    (
        "*.get",
        r#"has "." at column 2 where ":" was expected: a grant is namespace:package/interface.function, or * alone for everything"#,
    ),
    (
        "*[a=b]",
        r#"has "[" at column 2 where ":" was expected: a grant is namespace:package/interface.function, or * alone for everything"#,
    ),
    ("* ", r#"has a space at column 2 where ":" was expected: write it without white space"#),
    ("**", r#"has "*" at column 2 where ":" was expected: write * once"#),
    ("motu:**/a.b", r#"has "*" at column 7 where "/" was expected: write * once"#),
    ("motu:k*/a.b", r#"has "*" at column 7 where "/" was expected: * stands for a whole name, not for a part of one"#),
    ("motu:*v/a.b", r#"has "v" at column 7 where "/" was expected: * stands for a whole name, not for a part of one"#),
    (
        "motu:kv/*x.get",
        r#"has "x" at column 10 where ".", "[" or the end was expected: * stands for a whole name, not for a part of one"#,
    ),
    (
        "motu:kv/store.g*",
        r#"has "*" at column 16 where ".", "[" or the end was expected: * stands for a whole name, not for a part of one"#,
    ),
    ("motu:kv/store.**", r#"has "*" at column 16 where "[" or the end was expected: write * once"#),
    (
        "1motu:kv/a.b",
        r#"has "1" at column 1 where a namespace or "*" was expected: a name begins with a letter, a to z or A to Z"#,
    ),
    (
        "motu:kv/store.2get",
        r#"has "2" at column 15 where a function or "*" was expected: a name begins with a letter, a to z or A to Z"#,
    ),
    (
        "motu:kv_two/a.b",
        r#"has "_" at column 8 where "/" was expected: names are in kebab-case, with - between the words"#,
    ),
    (
        "motu:kv/store.get_all",
        r#"has "_" at column 18 where ".", "[" or the end was expected: names are in kebab-case, with - between the words"#,
    ),
    (
        "motu:kv/store.getAll",
        r#"has "A" at column 18 where ".", "[" or the end was expected: names are in kebab-case, each word of them all lower or all upper case"#,
    ),
    (
        "motu:KV/Store.get",
        r#"has "t" at column 10 where "." was expected: names are in kebab-case, each word of them all lower or all upper case"#,
    ),
    ("motu:k--v/a.b", r#"has "-" at column 8 where a letter or a digit was expected"#),
    ("motu:kv-/a.b", r#"has "/" at column 9 where a letter or a digit was expected"#),
    ("motu:-kv/a.b", r#"has "-" at column 6 where a package or "*" was expected"#),
    ("motu:kv/store.get-", "ends at column 19 where a letter or a digit was expected"),
    ("%motu:kv/a.b", r#"has "%" at column 1 where a namespace or "*" was expected: here names are written without %"#),
    ("motü:kv/a.b", r#"has "ü" at column 4 where ":" was expected: names have the letters a to z and A to Z only"#),
    (
        "éa:kv/a.b",
        r#"has "é" at column 1 where a namespace or "*" was expected: a name begins with a letter, a to z or A to Z"#,
    ),
    (" motu:kv/*", r#"has a space at column 1 where a namespace or "*" was expected: write it without white space"#),
    ("motu:kv/* ", r#"has a space at column 10 where ".", "[" or the end was expected: write it without white space"#),
    ("motu: kv/*", r#"has a space at column 6 where a package or "*" was expected: write it without white space"#),
    (
        "motu:kv/store.get [scope=a]",
        r#"has a space at column 18 where ".", "[" or the end was expected: write it without white space"#,
    ),
    (
        "motu:kv@",
        "ends at column 9 where a major version was expected: the number alone, as in @1; without @ it is any version",
    ),
    (
        "motu:kv@v1/a.b",
        r#"has "v" at column 9 where a major version was expected: the number alone, as in @1; without @ it is any version"#,
    ),
    (
        "motu:kv@-1/a.b",
        r#"has "-" at column 9 where a major version was expected: the number alone, as in @1; without @ it is any version"#,
    ),
    ("motu:kv@01/a.b", r#"has "01" at column 9 where a major version was expected: write it without zeros in front"#),
    ("motu:kv@1", r#"ends at column 10 where "/" was expected: write motu:kv@1/* for all of its functions"#),
    ("motu:kv@1.2/a.b", r#"has "." at column 10 where "/" was expected: only the major version is written, as in @1"#),
    (
        "motu:kv@1x/a.b",
        r#"has "x" at column 10 where "/" was expected: a grant is namespace:package/interface.function, or * alone for everything"#,
    ),
    (
        "motu:kv@18446744073709551616/a.b",
        r#"has "18446744073709551616" at column 9 where a major version was expected: 18446744073709551615 is the highest"#,
    ),
    (
        "motu:kv/store@1.get",
        r#"has "@" at column 14 where "." was expected: the version comes after the package, as in motu:kv@1/store.get"#,
    ),
    (
        "motu:kv@1_0/a.b",
        r#"has "_" at column 10 where "/" was expected: a grant is namespace:package/interface.function, or * alone for everything"#,
    ),
    (
        "motu@1:kv/a.b",
        r#"has "@" at column 5 where ":" was expected: the version comes after the package, as in motu:kv@1/store.get"#,
    ),
    (
        "motu:kv/store.get@1",
        r#"has "@" at column 18 where ".", "[" or the end was expected: the version comes after the package, as in motu:kv@1/store.get"#,
    ),
    (
        "motu:kv/*@1",
        r#"has "@" at column 10 where ".", "[" or the end was expected: the version comes after the package, as in motu:kv@1/store.get"#,
    ),
    ("motu:kv/store.get[", "ends at column 19 where the name of an argument was expected"),
    ("motu:kv/store.get[scope", r#"ends at column 24 where "=" was expected: an argument is written [name=pattern]"#),
    (
        "motu:kv/store.get[scope]",
        r#"has "]" at column 24 where "=" was expected: an argument is written [name=pattern]"#,
    ),
    ("motu:kv/store.get[=a]", r#"has "=" at column 19 where the name of an argument was expected"#),
    ("motu:kv/store.get[*=a]", r#"has "*" at column 19 where the name of an argument was expected"#),
    (
        "motu:kv/store.get[my_scope=a]",
        r#"has "_" at column 21 where "=" was expected: names are in kebab-case, with - between the words"#,
    ),
    (
        "motu:kv/store.get[Scope=a]",
        r#"has "c" at column 20 where "=" was expected: names are in kebab-case, each word of them all lower or all upper case"#,
    ),
    ("motu:kv/store.get[scope =a]", r#"has a space at column 24 where "=" was expected: write it without white space"#),
    (
        "motu:kv/store.get[scope=a",
        r#"ends at column 26 where "]" was expected: a pattern goes up to ]; in it \] is a bracket"#,
    ),
    (
        r"motu:kv/store.get[scope=a\",
        r#"ends at column 27 where "*", "\" or "]" was expected: write \\ for a backslash"#,
    ),
    (
        r"motu:kv/store.get[scope=a\]",
        r#"ends at column 28 where "]" was expected: a pattern goes up to ]; in it \] is a bracket"#,
    ),
    (
        r"motu:kv/store.get[scope=a\n]",
        r#"has "n" at column 27 where "*", "\" or "]" was expected: write \\ for a backslash"#,
    ),
    ("motu:kv/store.get[scope=a]]", r#"has "]" at column 27 where "[" or the end was expected"#),
    ("motu:kv/store.get[scope=a]x", r#"has "x" at column 27 where "[" or the end was expected"#),
    (
        "motu:kv/store.get[scope=a] [key=b]",
        r#"has a space at column 27 where "[" or the end was expected: write it without white space"#,
    ),
    (
        "motu:kv/store.get[a=1][b=2][a=3]",
        r#"has "a" at column 29 where another argument was expected: each argument is named once"#,
    ),
    (
        "motu:kv/store.get[scope:a]",
        r#"has ":" at column 24 where "=" was expected: an argument is written [name=pattern]"#,
    ),
    ("motu:kv/store.get(scope)", r#"has "(" at column 18 where ".", "[" or the end was expected"#),
    (r#""motu:kv/*""#, r#"has a quotation mark at column 1 where a namespace or "*" was expected"#),
    (
        "motu:kv/*[a=][b=][c=][d=][e=][f=][g=][h=][i=]",
        r#"has "[" at column 42 where the end was expected: a grant names at most 8 arguments"#,
    ),
    ("motu::kv/*", r#"has ":" at column 6 where a package or "*" was expected"#),
    ("motu:kv/.get", r#"has "." at column 9 where an interface or "*" was expected"#),
    ("motu:kv/store..get", r#"has "." at column 15 where a function or "*" was expected"#),
    (
        "motu:kv:x/a.b",
        r#"has ":" at column 8 where "/" was expected: a grant is namespace:package/interface.function, or * alone for everything"#,
    ),
    (
        "wasi:http/types@0.2.0.get",
        r#"has "@" at column 16 where "." was expected: the version comes after the package, as in motu:kv@1/store.get"#,
    ),
    ("https://example.com/*", r#"has "/" at column 7 where a package or "*" was expected"#),
    ("@motu/kv", r#"has "@" at column 1 where a namespace or "*" was expected"#),
];

/// Texts that aren't printed as they are.
const ESCAPED: &[(&str, &str)] = &[
    (
        "motu:kv/*\n",
        r#"the grant "motu:kv/*\n" has a line feed at column 10 where ".", "[" or the end was expected: write it without white space"#,
    ),
    (
        "motu:kv/*\t",
        r#"the grant "motu:kv/*\t" has a tab at column 10 where ".", "[" or the end was expected: write it without white space"#,
    ),
    (
        "motu:kv/*\r\n",
        r#"the grant "motu:kv/*\r\n" has a carriage return at column 10 where ".", "[" or the end was expected: write it without white space"#,
    ),
    (
        "motu:kv\u{a0}/*",
        r#"the grant "motu:kv\u{a0}/*" has white space (U+00A0) at column 8 where "/" was expected: write it without white space"#,
    ),
    (
        "motu:kv/*\0",
        r#"the grant "motu:kv/*\0" has a control character (U+0000) at column 10 where ".", "[" or the end was expected"#,
    ),
    (
        "motu:kv/\u{202e}*",
        r#"the grant "motu:kv/\u{202e}*" has "\u{202e}" at column 9 where an interface or "*" was expected"#,
    ),
    (
        "motu:kv/*\u{200b}",
        r#"the grant "motu:kv/*\u{200b}" has "\u{200b}" at column 10 where ".", "[" or the end was expected"#,
    ),
    (
        "\u{feff}motu:kv/*",
        r#"the grant "\u{feff}motu:kv/*" has "\u{feff}" at column 1 where a namespace or "*" was expected"#,
    ),
    (
        "motu:kv/*\u{1b}[31m",
        r#"the grant "motu:kv/*\u{1b}[31m" has a control character (U+001B) at column 10 where ".", "[" or the end was expected"#,
    ),
    (
        "motu:kv/*\u{7f}",
        r#"the grant "motu:kv/*\u{7f}" has a control character (U+007F) at column 10 where ".", "[" or the end was expected"#,
    ),
    (
        "motu:kv/store.get[scope=\\\n]",
        r#"the grant "motu:kv/store.get[scope=\\n]" has a line feed at column 26 where "*", "\" or "]" was expected: write \\ for a backslash"#,
    ),
];

fn refused(text: &str) -> GrantError {
    text.parse::<Grant>().map(|grant| panic!("{text:?} is the grant {grant}")).unwrap_err()
}

#[test]
fn each_says_where_and_what_to_write() {
    for (text, rest) in BAD {
        assert_eq!(refused(text).to_string(), format!("the grant \"{text}\" {rest}"));
    }
    assert!(BAD.len() + ESCAPED.len() >= 40);
}

#[test]
fn what_does_not_print_is_escaped() {
    for (text, message) in ESCAPED {
        assert_eq!(refused(text).to_string(), *message);
    }
}

#[test]
fn the_place_is_in_bytes_and_in_characters() {
    let error = refused("motu:kv/*[a=é\u{1f600}] ");
    assert_eq!((error.text(), error.offset(), error.column()), ("motu:kv/*[a=é\u{1f600}] ", 19, 16));
    let error = refused("");
    assert_eq!((error.text(), error.offset(), error.column()), ("", 0, 1));
}

#[test]
fn a_long_text_is_cut_around_the_place() {
    let cut = |text: String| refused(&text).to_string();
    let (x60, x99, x100) = ("x".repeat(60), "x".repeat(99), "x".repeat(100));

    assert_eq!(
        cut(format!("{x99}!")),
        format!("the grant \"{x99}!\" has \"!\" at column 100 where \":\" was expected: {FORM}")
    );
    assert_eq!(
        cut(format!("!{x100}")),
        format!("the grant \"!{x99}...\" has \"!\" at column 1 where a namespace or \"*\" was expected")
    );
    assert_eq!(
        cut(format!("{x100}!{x100}")),
        format!(
            "the grant \"...{x60}!{}...\" has \"!\" at column 101 where \":\" was expected: {FORM}",
            "x".repeat(39)
        )
    );
    // so are what was found and what to write
    assert_eq!(
        cut(format!("a:b/c.d[{x100}=][{x100}=]")),
        format!(
            "the grant \"...{}=][{}...\" has \"{}...\" at column 112 where another argument was expected: each argument is named once",
            "x".repeat(57),
            "x".repeat(40),
            "x".repeat(80)
        )
    );
    assert_eq!(
        cut(format!("a:{x100}")),
        format!("the grant \"...{x100}\" ends at column 103 where \"/\" was expected: {FORM}")
    );
}

#[test]
fn what_is_too_long_is_not_kept() {
    for text in ["x".repeat(1 << 20), "é".repeat(Grant::BYTES_MAX), format!("x{}", "é".repeat(Grant::BYTES_MAX))] {
        let error = refused(&text);
        assert!(text.starts_with(error.text()) && error.text().len() <= Grant::BYTES_MAX);
        assert_eq!(error.offset(), error.text().len());
        let rest = format!(
            "has more text at column {} where the end was expected: a grant has at most 1024 bytes",
            error.column()
        );
        assert!(error.to_string().ends_with(&rest), "{error}");
    }
}

const FORM: &str = "a grant is namespace:package/interface.function, or * alone for everything";

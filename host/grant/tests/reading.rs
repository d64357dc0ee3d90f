//! Reading and showing: whatever the text, it is a grant that is shown as an equal one, or it has a place where it isn't.

use std::collections::HashSet;

use proptest::prelude::*;
use proptest::sample::Index;

use super::{grant, grants};
use crate::grant::{Grant, Grants};

fn identifier() -> impl Strategy<Value = String> {
    "([a-z][a-z0-9]{0,3}|[A-Z][A-Z0-9]{0,3})(-([a-z0-9]{1,3}|[A-Z0-9]{1,3})){0,2}"
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![1 => Just("*".to_owned()), 3 => identifier()]
}

/// Any text of a grant, in any way of writing it.
fn any_text() -> impl Strategy<Value = String> {
    let major = prop_oneof![Just(String::new()), any::<u64>().prop_map(|major| format!("@{major}"))];
    let called = prop_oneof![
        3 => name(),
        1 => (identifier(), name()).prop_map(|(resource, method)| format!("{resource}.{method}")),
    ];
    let function = prop_oneof![
        1 => Just("*".to_owned()),
        4 => (name(), called).prop_map(|(interface, called)| format!("{interface}.{called}")),
    ];
    let pattern = r"([^*\\\]]|[*]|\\[*\\\]]){0,8}";
    let arguments =
        proptest::collection::btree_map(identifier(), pattern, 0..4).prop_map(Vec::from_iter).prop_shuffle();
    let plain =
        (name(), name(), major, function, arguments).prop_map(|(namespace, package, major, function, arguments)| {
            let arguments: String = arguments.iter().map(|(name, pattern)| format!("[{name}={pattern}]")).collect();
            format!("{namespace}:{package}{major}/{function}{arguments}")
        });
    prop_oneof![1 => Just("*".to_owned()), 20 => plain]
}

/// Whether it is a grant. If so, it is shown as one that is equal; if not, it has a place.
fn is_grant(text: &str) -> Result<bool, TestCaseError> {
    match text.parse::<Grant>() {
        Ok(grant) => {
            let shown = grant.to_string();
            prop_assert!(shown.len() <= text.len(), "{shown} is longer");
            let again: Grant = shown.parse().map_err(|error| TestCaseError::fail(format!("{error}")))?;
            prop_assert_eq!(&again, &grant);
            prop_assert_eq!(again.to_string(), shown);
            prop_assert!(grant.covers(&again));
        }
        Err(error) => {
            let (message, column) = (error.to_string(), error.column());
            prop_assert!(text.starts_with(error.text()));
            prop_assert!(error.text().is_char_boundary(error.offset()) && text.is_char_boundary(error.offset()));
            prop_assert_eq!(column, text[..error.offset()].chars().count() + 1);
            let ends = message.contains(&format!(" ends at column {column} where "));
            let has = message.contains(&format!(" at column {column} where "));
            prop_assert!(ends || has, "{message}");
            prop_assert_eq!(ends, error.offset() == text.len());
            prop_assert!(!message.chars().any(char::is_control), "{message:?}");
            prop_assert!(message.chars().count() < 1500, "{message}");
            return Ok(false);
        }
    }
    Ok(true)
}

proptest! {
    #[test]
    fn round_trip(text in any_text()) {
        prop_assert!(is_grant(&text)?);
    }

    #[test]
    fn any_text_at_all(text in prop_oneof![".{0,40}", any::<String>(), r"[a-z*:@/.=\[\]\\0-9 -]{0,30}"]) {
        is_grant(&text)?;
    }

    #[test]
    fn near_misses(text in any_text(), at in any::<Index>(), how in 0..3, c in r"[ _\-*.:/@\[\]=\\aZ09%é\t\x00\u{202e}\u{2028}\u{1f600}]") {
        let mut chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len());
        match how {
            0 => drop(chars.splice(at..at, c.chars())),
            1 => drop(chars.splice(at..=at, c.chars())),
            _ => drop(chars.remove(at)),
        }
        is_grant(&chars.into_iter().collect::<String>())?;
    }

    /// A grant that is cut short is never taken for a whole one, unless what is left is one.
    #[test]
    fn cut_short(text in any_text(), at in any::<Index>()) {
        let chars: Vec<char> = text.chars().collect();
        is_grant(&chars[..at.index(chars.len())].iter().collect::<String>())?;
    }

    #[test]
    fn in_serde_and_back(texts in proptest::collection::vec(any_text(), 0..5)) {
        let list = Grants::parse(&texts).unwrap();
        let json = serde_json::to_string(&list).unwrap();
        prop_assert_eq!(serde_json::from_str::<Grants>(&json).unwrap(), list);
    }
}

#[test]
fn two_ways_to_write_the_same() {
    for (one, other, shown) in [
        ("*", "*:*/*", "*"),
        ("*:*/*.*", "*", "*"),
        ("*:*/*[a=b]", "*:*/*.*[a=b]", "*:*/*[a=b]"),
        ("*:*@1/*.*", "*:*@1/*", "*:*@1/*"),
        ("motu:kv/*.*", "motu:kv/*", "motu:kv/*"),
        ("motu:kv/a.b[y=1][x=2]", "motu:kv/a.b[x=2][y=1]", "motu:kv/a.b[x=2][y=1]"),
        ("motu:kv/a.b[x=a***b**]", "motu:kv/a.b[x=a*b*]", "motu:kv/a.b[x=a*b*]"),
    ] {
        let (one, other) = (grant(one), grant(other));
        assert_eq!((one.to_string(), other.to_string()), (shown.to_owned(), shown.to_owned()));
        assert_eq!(HashSet::from([one.clone(), other.clone()]).len(), 1);
        assert_eq!(one.cmp(&other), std::cmp::Ordering::Equal);
    }
}

#[test]
fn the_longest_and_one_more() {
    let text = format!("motu:kv/store.get[scope={}]", "x".repeat(Grant::BYTES_MAX - 25));
    assert_eq!(text.len(), Grant::BYTES_MAX);
    assert_eq!(grant(&text).to_string(), text);
    assert!(!is_grant(&text.replace(']', "x]")).unwrap());

    let eight: String = ('a'..='h').map(|name| format!("[{name}=*]")).collect();
    assert_eq!(grant(&format!("motu:kv/*{eight}")).arguments.len(), Grant::ARGUMENTS_MAX);
    assert!(!is_grant(&format!("motu:kv/*{eight}[i=*]")).unwrap());
}

#[test]
fn debug_is_one_line() {
    assert_eq!(format!("{:?}", grants(&["motu:kv/*[a=\n]", "*"])), r#"Grants([Grant("motu:kv/*[a=\n]"), Grant("*")])"#);
}

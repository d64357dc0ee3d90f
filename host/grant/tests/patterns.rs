//! Patterns of arguments, against a plain reading of what they mean.

use proptest::prelude::*;

use super::grant;
use crate::grant::{Glob, Grant};

fn pattern(text: &str) -> Glob {
    grant(&format!("a:b/c.d[e={text}]")).arguments[0].pattern.clone()
}

/// What a pattern without escapes means, by trying everything.
fn plainly(pattern: &[u8], value: &[u8]) -> bool {
    match (pattern, value) {
        ([], _) => value.is_empty(),
        ([b'*', rest @ ..], _) => (0..=value.len()).any(|skipped| plainly(rest, &value[skipped..])),
        ([c, rest @ ..], [v, values @ ..]) => c == v && plainly(rest, values),
        _ => false,
    }
}

/// All texts of up to so many of these letters.
fn texts(letters: &str, longest: usize) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut from = 0;
    for _ in 0..longest {
        let upto = all.len();
        for index in from..upto {
            all.extend(letters.chars().map(|letter| format!("{}{letter}", all[index])).collect::<Vec<_>>());
        }
        from = upto;
    }
    all
}

#[test]
fn every_short_pattern_on_every_short_value() {
    let values = texts("ab", 6);
    for text in texts("ab*", 5) {
        let pattern = pattern(&text);
        for value in &values {
            assert_eq!(pattern.matches(value), plainly(text.as_bytes(), value.as_bytes()), "{text} on {value}");
        }
    }
}

/// It is covered if, and only if, no value shows the contrary; a letter that is in neither is needed to show it.
#[test]
fn covering_is_exact() {
    let values = texts("abc", 4);
    let matched = |text: &String| values.iter().map(|value| plainly(text.as_bytes(), value.as_bytes())).collect();
    let all: Vec<(String, Glob, Vec<bool>)> =
        texts("ab*", 4).into_iter().map(|text| (text.clone(), pattern(&text), matched(&text))).collect();
    let mut covered = 0;
    for (outer_text, outer, outer_matches) in &all {
        for (inner_text, inner, inner_matches) in &all {
            let within = outer_matches.iter().zip(inner_matches).all(|(outer, inner)| *outer || !inner);
            assert_eq!(outer.covers(inner), within, "{outer_text} over {inner_text}");
            covered += usize::from(within);
        }
    }
    assert!(covered > 1000, "{covered}");
}

#[test]
fn escapes_stand_for_themselves() {
    for (text, matches, not) in [
        (r"\*", "*", "a"),
        (r"\\", r"\", r"\\"),
        (r"\]", "]", r"\]"),
        (r"a\**", "a*b", "ab"),
        (r"\\*", r"\x", "*"),
        ("[", "[", ""),
        ("", "", "a"),
        ("é*\u{1f600}", "é\u{1f600}", "e\u{1f600}"),
        ("a b", "a b", "ab"),
        ("a?.[!x-z", "a?.[!x-z", "ab.[!x-z"),
    ] {
        let pattern = pattern(text);
        assert!(pattern.matches(matches), "{text} on {matches}");
        assert!(!pattern.matches(not), "{text} on {not}");
    }
    assert!(pattern("*").matches("any\n\0 thing ]"));
}

/// Each of these takes ages with a matcher that goes back to an earlier star.
#[test]
fn hostile_patterns_take_no_longer() {
    let stars = format!("{}b", "*a".repeat(450));
    let long = format!("*{}b*", "a".repeat(900));
    let value = "a".repeat(1 << 20);
    for text in [&stars, &long] {
        assert!(!pattern(text).matches(&value), "{text}");
        assert!(pattern(text).matches(&format!("{value}b")), "{text}");
    }
    let inner = pattern(&"a*".repeat(450));
    assert!(!pattern(&stars).covers(&inner));
    assert!(!pattern(&long).covers(&inner));
    assert!(pattern(&"*a".repeat(450)).covers(&pattern(&format!("{}a", "aa*".repeat(300)))));
    assert!(stars.len() < Grant::BYTES_MAX);
}

proptest! {
    /// Any characters, also of several bytes, that only share bytes.
    #[test]
    fn any_characters(text in "[*aéè\u{1f600}\u{1f601}]{0,8}", value in "[aéè\u{1f600}\u{1f601}]{0,8}") {
        prop_assert_eq!(pattern(&text).matches(&value), plainly(text.as_bytes(), value.as_bytes()));
    }
}

//! Base64, hex and percent-encoding.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::super::base64::{decode_base64, encode_base64};
use super::super::hex::{decode_hex, encode_hex};
use super::super::types::{Base64Options, Bytes};
use super::super::url::{decode_url, encode_url};
use super::{PLENTY, done, noise, steps, text, wrong};

fn options(url_safe: impl Into<Option<bool>>, padding: impl Into<Option<bool>>) -> Option<Base64Options> {
    Some(Base64Options { url_safe: url_safe.into(), padding: padding.into() })
}

fn from_base64(text: &str, options: Option<Base64Options>) -> Result<Bytes, String> {
    done(decode_base64(text.into(), options, PLENTY))
}

fn from_hex(text: &str) -> Result<Bytes, String> {
    done(decode_hex(text.into(), PLENTY))
}

fn from_url(text: &str) -> Result<Bytes, String> {
    done(decode_url(text.into(), PLENTY))
}

#[test]
fn base64_that_is_none_is_refused_at_its_byte() {
    for (bad, part) in [
        ("Zm9v!mFy", "byte 5 of the text is \"!\", which isn't Base64"),
        ("Zm9vYm\nFy", "byte 7 of the text is \"\\n\", but white space isn't Base64: take it out"),
        ("Zm-v", "byte 3 of the text is \"-\", which is of the alphabet for URLs: give the option url_safe = true"),
        ("Zg==Zg==", "byte 3 of the text is \"=\", which is padding"),
        ("Zg===", "byte 3 of the text is \"=\""),
        ("====", "byte 1 of the text is \"=\""),
        ("=", "after byte 0 of the text should be 0 of the padding \"=\", not 1"),
        ("Zm9v=", "after byte 4 of the text should be 0 of the padding \"=\", not 1"),
        ("Zg=", "after byte 2 of the text should be 2 of the padding \"=\", not 1"),
        ("Zm8==", "after byte 3 of the text should be 1 of the padding \"=\", not 2"),
        ("Zm9vY", "one symbol is left at byte 5, and two make a byte"),
        ("Zm9v\u{e9}", "byte 5 of the text is \"\\xc3\""),
        ("Zm9v!", "byte 5 of the text is \"!\""),
        ("Zh==", "byte 2 of the text has bits that belong to no byte"),
        ("Zm9", "byte 3 of the text has bits that belong to no byte"),
    ] {
        wrong(from_base64(bad, None), part);
    }
    wrong(
        from_base64("Zm+v", options(true, None)),
        "byte 3 of the text is \"+\", which isn't of the alphabet for URLs",
    );
    wrong(from_base64("Zg", options(None, true)), "after byte 2 the text lacks padding");
    wrong(from_base64("Zg=", options(None, true)), "after byte 2 the text lacks padding");
    wrong(from_base64("Zg==", options(None, false)), "byte 3 of the text is padding");
    // far on, in a later step
    let mut long = "QUJD".repeat(50_000);
    long.push_str("QU*D");
    wrong(from_base64(&long, None), "byte 200003 of the text is \"*\"");
}

#[test]
fn base64_of_the_rfc() {
    let vectors =
        [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
    for (plain, coded) in vectors.into_iter().chain([("foobar", "Zm9vYmFy")]) {
        let bare = coded.trim_end_matches('=');
        assert_eq!(text(done(encode_base64(plain.into(), None, PLENTY))), coded);
        assert_eq!(text(done(encode_base64(plain.into(), options(None, false), PLENTY))), bare);
        assert_eq!(text(from_base64(coded, None)), plain);
        assert_eq!(text(from_base64(bare, None)), plain);
        assert_eq!(text(from_base64(coded, options(false, true))), plain);
        assert_eq!(text(from_base64(bare, options(true, false))), plain);
    }
    let signs = vec![0xfb, 0xff, 0xfe];
    assert_eq!(text(done(encode_base64(signs.clone(), None, PLENTY))), "+//+");
    assert_eq!(text(done(encode_base64(signs.clone(), options(true, None), PLENTY))), "-__-");
    assert_eq!(from_base64("-__-", options(true, None)).unwrap().0, signs);
}

#[test]
fn hex_that_is_none_is_refused_at_its_byte() {
    wrong(from_hex("0g"), "byte 2 of the text is \"g\", and a hex digit was expected");
    wrong(from_hex("x0"), "byte 1 of the text is \"x\"");
    wrong(from_hex("00 11"), "byte 3 of the text is \" \"");
    wrong(from_hex("001"), "the text ends after 3 hex digits, in the middle of a byte");
    wrong(from_hex("00z"), "byte 3 of the text is \"z\"");
    wrong(from_hex(&("00".repeat(100_000) + "0z")), "byte 200002 of the text is \"z\"");
}

#[test]
fn hex_of_the_rfc() {
    assert_eq!(text(done(encode_hex(b"foobar".to_vec(), PLENTY))), "666f6f626172");
    assert_eq!(from_hex("666F6f626172").unwrap().0, b"foobar");
    assert_eq!(from_hex("").unwrap().0, b"");
}

#[test]
fn urls() {
    let encoded = |plain: &str| text(done(encode_url(plain.into(), PLENTY)));
    assert_eq!(encoded("a b&c=d/e?f"), "a%20b%26c%3Dd%2Fe%3Ff");
    assert_eq!(encoded("AZaz09-._~"), "AZaz09-._~");
    assert_eq!(encoded("\u{e9}%\0"), "%C3%A9%25%00");
    assert_eq!(text(from_url("a%20b%2fc+d")), "a b/c+d");
    wrong(from_url("a%"), "byte 2 of the text is \"%\", and two hex digits must follow it");
    wrong(from_url("a%2"), "byte 2 of the text is \"%\"");
    wrong(from_url("%zz"), "byte 1 of the text is \"%\"");
    wrong(from_url("%2x"), "byte 1 of the text is \"%\"");
    // a `%XX` in two steps
    for start in 0..3 {
        let long = "a".repeat(start) + &"%C3".repeat(100_000);
        assert_eq!(from_url(&long).unwrap().0.len(), start + 100_000);
        wrong(from_url(&(long.clone() + "%4")), &format!("byte {} of the text is \"%\"", long.len() + 1));
    }
}

#[test]
fn what_would_be_too_large_is_refused() {
    for (size, padding, bytes) in [(3, true, 4), (4, true, 8), (4, false, 6), (5, false, 7), (0, true, 0)] {
        let encode = |max| done(encode_base64(vec![0; size], options(None, padding), max));
        assert_eq!(encode(bytes).unwrap().0.len(), bytes);
        if bytes > 0 {
            wrong(encode(bytes - 1), &format!("the result would have {bytes} bytes, and {} is the most", bytes - 1));
        }
    }
    for (coded, bytes) in [("Zg==", 1), ("Zg", 1), ("Zm8", 2), ("Zm9v", 3), ("Zm9vYg==", 4)] {
        let decode = |max| done(decode_base64(coded.into(), None, max));
        assert_eq!(decode(bytes).unwrap().0.len(), bytes);
        wrong(decode(bytes - 1), "is the most that can be returned at once: pass less, in parts");
    }
    assert!(done(encode_hex(vec![0; 5], 10)).is_ok());
    wrong(done(encode_hex(vec![0; 5], 9)), "the result would have 10 bytes, and 9 is the most");
    assert!(done(decode_hex(b"0011".to_vec(), 2)).is_ok());
    wrong(done(decode_hex(b"0011".to_vec(), 1)), "the result would have 2 bytes, and 1 is the most");
    assert!(done(encode_url(b"a b".to_vec(), 5)).is_ok());
    wrong(done(encode_url(b"a b".to_vec(), 4)), "more than 4 bytes, and 4 is the most");
    wrong(done(encode_url(b"aaa".to_vec(), 2)), "3 bytes or more, and 2 is the most");
    assert!(done(decode_url(b"a%20b".to_vec(), 3)).is_ok());
    wrong(done(decode_url(b"a%20b".to_vec(), 2)), "more than 2 bytes, and 2 is the most");
    wrong(done(decode_url(b"aaaaaaaaa".to_vec(), 2)), "3 bytes or more");
}

#[test]
fn long_texts_take_steps() {
    let data = noise(1 << 20, 5);
    let (coded, fuel, count) = steps(encode_base64(data.clone(), None, PLENTY).unwrap());
    let coded = coded.unwrap();
    assert!(count > 16 && fuel / count <= 1_100_000, "{fuel} in {count} steps");
    assert_eq!(coded.0, STANDARD.encode(&data).into_bytes());
    assert_eq!(done(decode_base64(coded.0, None, PLENTY)).unwrap().0, data);
}

proptest! {
    #[test]
    fn round_trips(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        let coded = done(encode_base64(data.clone(), None, PLENTY)).unwrap();
        prop_assert_eq!(&coded.0, &STANDARD.encode(&data).into_bytes());
        prop_assert_eq!(&done(decode_base64(coded.0, None, PLENTY)).unwrap().0, &data);
        let coded = done(encode_base64(data.clone(), options(true, false), PLENTY)).unwrap();
        prop_assert_eq!(&coded.0, &URL_SAFE_NO_PAD.encode(&data).into_bytes());
        prop_assert_eq!(&done(decode_base64(coded.0, options(true, false), PLENTY)).unwrap().0, &data);
        let coded = done(encode_hex(data.clone(), PLENTY)).unwrap();
        prop_assert_eq!(&done(decode_hex(coded.0, PLENTY)).unwrap().0, &data);
        let coded = done(encode_url(data.clone(), PLENTY)).unwrap();
        prop_assert_eq!(&done(decode_url(coded.0, PLENTY)).unwrap().0, &data);
    }

    /// What is read is what another reader reads, and the other way round.
    #[test]
    fn base64_is_as_others_have_it(text in "[A-Za-z0-9+/]{0,9}[=!\n-]{0,3}") {
        let ours = done(decode_base64(text.clone().into(), options(None, true), PLENTY));
        let theirs = STANDARD.decode(&text);
        prop_assert_eq!(ours.ok().map(|bytes| bytes.0), theirs.ok());
    }

    #[test]
    fn any_text_is_read_or_refused(text in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = done(decode_base64(text.clone(), None, PLENTY));
        let _ = done(decode_base64(text.clone(), options(true, None), 20));
        let _ = done(decode_hex(text.clone(), PLENTY));
        if let Ok(plain) = done(decode_url(text.clone(), PLENTY)) {
            prop_assert!(plain.0.len() <= text.len());
        }
    }
}

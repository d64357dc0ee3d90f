//! Hostile and foreign bytes: refused by name and place, at no more cost than their length.

use crate::value::Value;

fn refused(bytes: &[u8]) -> String {
    let error = Value::decode(bytes).unwrap_err();
    assert!(error.is_malformed());
    error.to_string()
}

#[test]
fn malformed() {
    assert_eq!(refused(&[]), "result: malformed at byte 0: 1 bytes wanted, 0 left");
    assert_eq!(refused(&[0xc1]), "result: malformed at byte 0: the marker 0xc1 means nothing");
    assert_eq!(refused(&[0xc0, 0xc0]), "result: malformed at byte 1: 1 more bytes after the value");
    assert_eq!(refused(&[0xa3, b'a']), "result: malformed at byte 1: 3 bytes wanted, 1 left");
    assert_eq!(refused(&[0x81, 0xc0, 0xc0]), "result: malformed at byte 1: a key is nil or NaN");
    assert_eq!(refused(&[0xd4, 5, 0]), "result: malformed at byte 0: no extension type 5 of 1 bytes");
    assert_eq!(
        refused(&[0xd7, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
        "result: malformed at byte 0: no extension type 1 of 8 bytes"
    );
    let nan_key = [&[0x81, 0xcb][..], &f64::NAN.to_be_bytes(), &[0xc0]].concat();
    assert_eq!(refused(&nan_key), "result: malformed at byte 1: a key is nil or NaN");
}

#[test]
fn lengths_are_not_believed() {
    assert_eq!(
        refused(&[0xdd, 0xff, 0xff, 0xff, 0xff]),
        "result: malformed at byte 0: a table of 4294967295 entries in 0 bytes"
    );
    assert_eq!(refused(&[0xdf, 0, 0, 0, 1, 1]), "result: malformed at byte 0: a table of 1 entries in 1 bytes");
    assert_eq!(
        refused(&[0xdb, 0xff, 0xff, 0xff, 0xff]),
        "result: malformed at byte 5: 4294967295 bytes wanted, 0 left"
    );
    // Each list claims all that is left: nothing near the product is reserved.
    let mut nested: Vec<u8> = Vec::new();
    for level in 0..400u32 {
        nested.push(0xdd);
        nested.extend((400 * 5 - level * 5 - 5).to_be_bytes());
    }
    refused(&nested);
}

#[test]
fn paths() {
    // {items = {1, {[true] = {["odd key"] = <0xc1>}}}}
    let mut bytes = vec![0x81, 0xa5];
    bytes.extend(b"items");
    bytes.extend([0x92, 1, 0x81, 0xc3, 0x82, 0xa1, b'a', 0xc0, 0xa7]);
    bytes.extend(b"odd key");
    bytes.push(0xc1);
    assert_eq!(
        refused(&bytes),
        r#"result.items[2][true]["odd key"]: malformed at byte 23: the marker 0xc1 means nothing"#
    );
}

#[test]
fn depth() {
    let nested = |depth: usize| [vec![0x91; depth], vec![0xc0]].concat();
    assert!(Value::decode(&nested(512)).is_ok());
    assert!(Value::decode(&nested(513)).unwrap_err().is_too_deep());
    assert!(Value::decode(&nested(1_000_000)).unwrap_err().is_too_deep());
}

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::{ALL, function, of};
use crate::value::Value;
use crate::wit::{Handle, fits, parse};

#[derive(Deserialize)]
enum Standing {
    Good,
    #[serde(rename = "end")]
    End,
    NotSoGood,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "it is only read into")]
struct Rights {
    read: bool,
    write_all: bool,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "it is only read into")]
struct Customer {
    id: u64,
    name: String,
    nick_name: Option<String>,
    standing: Standing,
    rights: Rights,
    repeat: bool,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "it is only read into")]
struct Misspelt {
    id: u64,
    name: String,
    nickname: Option<String>,
    standing: Standing,
    rights: BTreeMap<String, bool>,
    repeat: bool,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "it is only read into")]
enum Change {
    Rename(String),
    SetNick(Option<String>),
    MoveTo(f64, f64, Option<String>),
    Merge(Customer),
    Remove,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "it is only read into")]
enum Failure {
    NotFound,
    Refused(String),
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "it is only read into")]
enum Short {
    Refused(String),
}

fn said(fit: Result<(), String>) -> String {
    fit.unwrap_err()
}

#[test]
fn what_does_not_fit() {
    let package = parse(ALL).unwrap();
    let find = function(&package, "crm.find_customer");
    assert_eq!(
        said(fits::<(String, Option<u8>), Option<Customer>>(&find)),
        "find-customer: func(name: string, limit: option<u32>) -> option<customer> (acme:crm/contacts.find-customer) doesn't \
         fit the Rust type (alloc::string::String, core::option::Option<u8>): crm.find_customer: argument 2 (limit): invalid \
         value: integer `4294967295`, expected u8"
    );
    let rest = |fit: Result<(), String>| {
        let said = said(fit);
        said.split_once("crm.").map(|(_, rest)| rest.to_owned()).unwrap()
    };
    type Ada = Option<Customer>;
    assert!(
        rest(fits::<(String, u32), Ada>(&find))
            .ends_with("argument 2 (limit): invalid type: Option value, expected u32")
    );
    assert!(
        rest(fits::<(Option<String>, Option<u32>), Ada>(&find))
            .ends_with("argument 1 (name): the Rust type is an Option; the WIT has string")
    );
    assert!(rest(fits::<String, Ada>(&find)).contains("invalid type: sequence, expected a string"));
    assert!(
        rest(fits::<(String, Option<u32>, u8), Ada>(&find)).contains("invalid length 2, expected a tuple of size 3")
    );
    assert!(
        rest(fits::<(String, Option<u32>), Option<Misspelt>>(&find))
            .ends_with("result: the Rust type Misspelt has no field `nick_name`")
    );
    assert!(
        rest(fits::<(String, Option<u32>), Customer>(&find))
            .ends_with("result: invalid type: Option value, expected struct Customer")
    );

    let change = function(&package, "crm.change_all");
    assert_eq!(
        rest(fits::<Vec<Change>, Result<u32, Short>>(&change)).rsplit("result").next(),
        Some(".err: the Rust type Short has no variant for not-found")
    );
    assert!(rest(fits::<Vec<Change>, u32>(&change)).contains("result: invalid type: map, expected u32"));
    let end = function(&package, "crm.end_");
    assert!(rest(fits::<(), u8>(&end)).ends_with("result: invalid type: unit value, expected u8"));
    assert!(rest(fits::<(u8,), ()>(&end)).contains("invalid type: unit value, expected a tuple of size 1"));

    let one = |ty: &str| of(&format!("f: func(a: {ty});"));
    assert!(said(fits::<f64, ()>(&one("u32"))).ends_with("the Rust type is f64; the WIT has u32"));
    assert!(said(fits::<f32, ()>(&one("f64"))).ends_with("the Rust type is f32; the WIT has f64"));
    assert!(said(fits::<i64, ()>(&one("u64"))).contains("integer `9223372036854775808`, expected i64"));
    assert!(said(fits::<u64, ()>(&one("s8"))).contains("integer `-128`, expected u64"));
    assert!(said(fits::<String, ()>(&one("list<u8>"))).contains("expected a string"));
    assert!(said(fits::<Vec<u8>, ()>(&one("string"))).contains("invalid type: string \"a\", expected a sequence"));
    assert!(said(fits::<Result<u8, String>, ()>(&one("result<u8, u8>"))).contains(".err: invalid type: integer"));
    assert!(
        said(fits::<u32, ()>(&of("resource s; f: func(a: s);")))
            .ends_with("the Rust type is not motu::Handle; the WIT has s")
    );
}

#[test]
fn what_fits() {
    let package = parse(ALL).unwrap();
    let f = |called| function(&package, called);
    fits::<(String, Option<u32>), Option<Customer>>(&f("crm.find_customer")).unwrap();
    fits::<Vec<Change>, Result<u32, Failure>>(&f("crm.change_all")).unwrap();
    fits::<(u64, char, Value), Value>(&f("crm.tag")).unwrap();
    fits::<(u64, char, Vec<Customer>), HashMap<String, Change>>(&f("crm.tag")).unwrap();
    fits::<u64, Result<Vec<u8>, ()>>(&f("crm.photo")).unwrap();
    fits::<(), ()>(&f("crm.end_")).unwrap();
    fits::<(BTreeMap<String, i64>, HashMap<u16, f64>), Vec<Vec<String>>>(&f("crm.count")).unwrap();
    fits::<(Handle, String, Option<u8>), Vec<Vec<String>>>(&f("crm.session:query")).unwrap();
    fits::<(Vec<(u8, String)>, Result<(), String>), Result<(), String>>(&f("crm.checked")).unwrap();
    fits::<String, Handle>(&f("crm.session.new")).unwrap();
    // It is for the Rust type to say, at the call.
    fits::<std::net::Ipv4Addr, ()>(&of("f: func(a: string);")).unwrap();
}

#[test]
fn a_large_type_takes_no_time() {
    let cases: String = (0..1000).map(|index| format!("c{index}(b), ")).collect();
    let f = of(&format!("enum b {{ x, y }} variant v {{ {cases} }} f: func(a: v);"));
    fits::<serde::de::IgnoredAny, ()>(&f).unwrap();
}

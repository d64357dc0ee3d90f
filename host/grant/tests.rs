//! Grants are read, shown and matched as documented, and a text that isn't one is refused with its place.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that fails may panic")]

mod bad;
mod narrowing;
mod patterns;
mod reading;

use std::borrow::Cow;

use super::{Decision, FunctionName, Grant, GrantError, Grants, GrantsError};

fn grant(text: &str) -> Grant {
    text.parse().unwrap_or_else(|error: GrantError| panic!("{error}"))
}

fn grants(texts: &[&str]) -> Grants {
    Grants::parse(texts).unwrap()
}

fn function<'a>(package: &'a str, major: u64, interface: &'a str, function: &'a str) -> FunctionName<'a> {
    let (namespace, package) = package.split_once(':').unwrap();
    FunctionName { namespace, package, major, interface, function }
}

/// The grant allows a call of a function without arguments.
fn allows(text: &str, function: FunctionName<'_>) -> bool {
    grants(&[text]).allows(&function, &|_| None)
}

#[test]
fn nothing_is_granted_by_default() {
    let none = Grants::default();
    let get = function("motu:kv", 1, "store", "get");
    assert!(none.is_empty());
    assert!(!none.allows(&get, &|_| Some("".into())));
    assert_eq!(none.of(&get), Decision::Denied);
    assert!(!none.of(&get).allows(&|_| Some("".into())));
}

#[test]
fn names() {
    let get = function("motu:kv", 1, "store", "get");
    let send = function("motu:net", 2, "tcp", "socket.send");
    let socket = function("motu:net", 2, "tcp", "socket");

    for text in [
        "*",
        "*:*/*",
        "motu:*/*",
        "*:kv/*",
        "motu:kv/*",
        "motu:kv@1/*",
        "*:*@1/*",
        "motu:kv/store.*",
        "motu:kv/*.get",
        "*:*/*.get",
        "motu:kv/store.get",
        "motu:kv@1/store.get",
    ] {
        assert!(allows(text, get), "{text}");
        assert!(grant(text).covers(&grant("motu:kv@1/store.get")), "{text}");
    }
    for text in [
        "acme:kv/*",
        "motu:kvs/*",
        "motu:k/*",
        "MOTU:kv/*",
        "motu:kv@0/*",
        "motu:kv@2/store.get",
        "motu:kv/stores.*",
        "motu:kv/get.*",
        "motu:kv/*.set",
        "motu:kv/store.ge",
        "motu:kv/store.get.*",
        "motu:kv/store.get.get",
        "motu:kv/store.get[scope=*]",
    ] {
        assert!(!allows(text, get), "{text}");
        assert!(!grant(text).covers(&grant("motu:kv@1/store.get")), "{text}");
    }
    for text in ["*", "motu:net/tcp.*", "motu:net/*.socket.send", "motu:net@2/tcp.socket.send", "*:*/*.socket.*"] {
        assert!(allows(text, send), "{text}");
    }
    for text in ["motu:net/tcp.send", "motu:net/tcp.socket", "motu:net/tcp.sock.*", "motu:net/*.send", "*:*/socket.*"] {
        assert!(!allows(text, send), "{text}");
    }
    assert!(allows("motu:net/tcp.socket", socket));
    assert!(allows("motu:net/tcp.*", socket));
    assert!(!allows("motu:net/tcp.socket.*", socket));
    // what isn't a name is no wildcard either
    assert!(!allows("motu:kv/store.get", function("*:*", 1, "*", "*")));
    assert!(allows("*", function("*:*", 1, "*", "*")));
}

#[test]
fn a_functions_name_is_the_grant_of_it() {
    for name in [
        function("motu:kv", 1, "store", "get"),
        function("acme:CRM-2", u64::MAX, "A-1", "socket.send"),
        function("a:b", 0, "c", "d"),
    ] {
        assert!(allows(&name.to_string(), name), "{name}");
        assert_eq!(grant(&name.to_string()).to_string(), name.to_string());
    }
}

#[test]
fn arguments_are_asked_for_only_when_they_decide() {
    let get = function("motu:kv", 1, "store", "get");
    let never = |name: &str| -> Option<Cow<'static, str>> { panic!("asked for {name}") };
    let list = grants(&["motu:kv/store.set[scope=a]", "motu:kv@2/store.get[scope=a]", "motu:kv/store.get"]);
    assert!(list.allows(&get, &never));
    assert_eq!(list.of(&get), Decision::Granted);
    let list = grants(&["motu:kv/store.get[scope=a]", "motu:kv/store.get"]);
    assert_eq!(list.of(&get), Decision::Granted);
    assert!(list.of(&get).allows(&never));
    let list = grants(&["motu:kv/store.set[scope=a]"]);
    assert!(!list.allows(&get, &never));
    assert_eq!(list.of(&get), Decision::Denied);
}

#[test]
fn arguments_all_fit_in_one_grant_at_least() {
    let get = function("motu:kv", 1, "store", "get");
    let list = grants(&["motu:kv/store.get[scope=notes-*][key=a*]", "motu:kv/*[scope=mail]"]);
    let decision = list.of(&get);
    assert!(matches!(decision, Decision::Narrowed(_)));
    let asked = |scope: Option<&'static str>, key: Option<&'static str>| {
        let value_of = |name: &str| match name {
            "scope" => scope.map(Cow::from),
            "key" => key.map(Cow::from),
            _ => None,
        };
        let allowed = list.allows(&get, &value_of);
        assert_eq!(decision.allows(&value_of), allowed);
        allowed
    };
    assert!(asked(Some("notes-1"), Some("abc")));
    assert!(asked(Some("notes-"), Some("a")));
    assert!(asked(Some("mail"), Some("z")));
    assert!(asked(Some("mail"), None));
    assert!(!asked(Some("notes-1"), Some("b")));
    assert!(!asked(Some("notes-1"), None));
    assert!(!asked(Some("notes"), Some("a")));
    assert!(!asked(Some("mails"), Some("a")));
    assert!(!asked(None, Some("a")));
    assert!(!asked(None, None));
}

#[test]
fn a_list_names_the_grant_that_is_wrong() {
    let error = Grants::parse(["*", "motu:kv/store.get", "motu:kv"]).unwrap_err();
    assert!(matches!(error, GrantsError::Grant { index: 2, .. }));
    assert_eq!(
        error.to_string(),
        "number 3 in the list of grants: the grant \"motu:kv\" ends at column 8 where \"/\" was expected: write motu:kv/* for \
         all of its functions"
    );
}

#[test]
fn a_list_has_a_ceiling() {
    let most = std::iter::repeat_n("motu:kv/*", Grants::LEN_MAX);
    assert_eq!(Grants::parse(most.clone()).unwrap().len(), Grants::LEN_MAX);
    let more = most.chain(["what is no grant isn't looked at any more"]);
    assert_eq!(Grants::parse(more).unwrap_err(), GrantsError::TooMany);
    // also one without an end
    let error = Grants::parse(std::iter::repeat("*")).unwrap_err();
    assert_eq!(error.to_string(), "the list has more than 1000 grants: write wider ones, such as motu:kv/*");
}

#[test]
fn serde() {
    let list = grants(&["*:*/*", "motu:kv/store.get[scope=a\\]\"]"]);
    let json = serde_json::to_string(&list).unwrap();
    assert_eq!(json, r#"["*","motu:kv/store.get[scope=a\\]\"]"]"#);
    assert_eq!(serde_json::from_str::<Grants>(&json).unwrap(), list);

    let refused = |json: &str| serde_json::from_str::<Grants>(json).unwrap_err().to_string();
    assert_eq!(
        refused("[\"*\",\n \"motu:kv\"]"),
        "the grant \"motu:kv\" ends at column 8 where \"/\" was expected: write motu:kv/* for all of its functions at line 2 \
         column 10"
    );
    assert_eq!(
        refused("[1]"),
        "invalid type: integer `1`, expected a grant, such as \"motu:kv/store.get\" at line 1 column 2"
    );
    assert_eq!(
        refused("\"*\""),
        "invalid type: string \"*\", expected a list of grants, such as [\"motu:kv/store.get\"] at line 1 column 3"
    );
    let most = vec!["*"; Grants::LEN_MAX];
    assert_eq!(serde_json::from_str::<Grants>(&serde_json::to_string(&most).unwrap()).unwrap().len(), most.len());
    let more = vec!["*"; Grants::LEN_MAX + 1];
    assert!(refused(&serde_json::to_string(&more).unwrap()).starts_with("the list has more than 1000 grants"));
}

//! The WIT says what the Rust types have, and says something of everything.

use wit_parser::{Resolve, TypeDefKind};

use super::*;

fn wit() -> Resolve {
    let mut resolve = Resolve::default();
    resolve.push_str("time.wit", WIT).unwrap();
    resolve
}

/// The names of a type's fields or cases, as Rust has them.
fn names(resolve: &Resolve, name: &str) -> Vec<String> {
    let (_, ty) = resolve.types.iter().find(|(_, ty)| ty.name.as_deref() == Some(name)).unwrap();
    let names: Vec<_> = match &ty.kind {
        TypeDefKind::Record(record) => record.fields.iter().map(|field| field.name.clone()).collect(),
        TypeDefKind::Enum(cases) => cases.cases.iter().map(|case| case.name.clone()).collect(),
        kind => panic!("{name} is {kind:?}"),
    };
    names.into_iter().map(|name| name.replace('-', "_")).collect()
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names
}

fn fields<T: serde::Serialize>(value: &T) -> Vec<String> {
    sorted(serde_json::to_value(value).unwrap().as_object().unwrap().keys().cloned().collect())
}

fn cases<T: std::fmt::Debug>(cases: &[T]) -> Vec<String> {
    cases.iter().map(|case| format!("{case:?}").to_lowercase()).collect()
}

#[test]
fn types_are_the_same() {
    use Disambiguation::{Compatible, Earlier, Later, Reject};
    use Unit::{Day, Hour, Millisecond, Minute, Month, Second, Week, Year};
    let wit = wit();
    assert_eq!(sorted(names(&wit, "parts")), fields(&in_zone(0.0, "UTC").unwrap()));
    assert_eq!(sorted(names(&wit, "date-time")), fields(&DateTime::default()));
    assert_eq!(sorted(names(&wit, "changes")), fields(&Changes::default()));
    assert_eq!(sorted(names(&wit, "span")), fields(&Span::default()));
    assert_eq!(names(&wit, "disambiguation"), cases(&[Compatible, Earlier, Later, Reject]));
    assert_eq!(names(&wit, "unit"), cases(&[Year, Month, Week, Day, Hour, Minute, Second, Millisecond]));
    assert_eq!(names(&wit, "period"), cases(&[Period::Year, Period::Month, Period::Week, Period::Day]));
}

#[test]
fn everything_is_documented() {
    let wit = wit();
    let (_, interface) = wit.interfaces.iter().next().unwrap();
    assert_eq!(wit.id_of_name(interface.package.unwrap(), "time"), "motu:time/time@1.0.0");
    assert!(interface.docs.contents.is_some());
    assert_eq!(interface.functions.len(), 16);
    for function in interface.functions.values() {
        assert!(function.docs.contents.is_some(), "{}", function.name);
    }
    for (_, ty) in &wit.types {
        let named = ty.name.as_deref().unwrap_or_default();
        assert!(named.is_empty() || ty.docs.contents.is_some(), "{named}");
        if let TypeDefKind::Record(record) = &ty.kind {
            record.fields.iter().for_each(|field| assert!(field.docs.contents.is_some(), "{named}.{}", field.name));
        }
    }
}

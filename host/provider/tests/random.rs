//! Random types with random values of them: from wasmtime to the wire and back.

use std::sync::Arc;

use proptest::prelude::*;
use wasmtime::component::Val;

use crate::provider::val::{Given, Room, arguments as each, count};
use crate::wit::{Answer, Function, Handles, Held, Ty, parse, result};

/// Types as WIT has them, with what they need beside.
fn any_type() -> impl Strategy<Value = String> {
    let scalar = prop::sample::select(vec![
        "bool", "u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64", "f32", "f64", "char", "string", "list<u8>",
        "color", "access",
    ]);
    let scalar = scalar.prop_map(str::to_owned);
    scalar.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|ty| format!("list<{ty}>")),
            inner.clone().prop_map(|ty| format!("option<{ty}>")),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|items| format!("tuple<{}>", items.join(", "))),
            (inner.clone(), inner.clone()).prop_map(|(ok, err)| format!("result<{ok}, {err}>")),
            inner.prop_map(|ok| format!("result<{ok}>")),
        ]
    })
}

/// A function that takes and gives a record, a variant and what they are made of; none where nil would have two meanings.
fn function(types: &[String; 3]) -> Option<Arc<Function>> {
    let [a, b, c] = types;
    let wit = format!(
        "package test:random; interface f {{
            enum color {{ red, deep-blue }}
            flags access {{ read, run-it, end }}
            record all {{ end: {a}, b-b: {b}, c: either }}
            variant either {{ none, some({c}), not-found(string) }}
            f: func(given: all) -> all;
        }}"
    );
    parse(&wit).ok()?.interfaces.first()?.functions.first().cloned()
}

/// Picks from random numbers, as long as there are some.
struct Picks<'a>(std::slice::Iter<'a, u64>);

impl Picks<'_> {
    fn next(&mut self) -> u64 {
        self.0.next().copied().unwrap_or_default()
    }
}

/// An integer that Luau has, too.
fn whole(number: u64, low: i128, high: i128) -> i128 {
    let high = high.min(i64::MAX.into());
    match number % 4 {
        0 => low,
        1 => high,
        _ => low + i128::from(number).rem_euclid(high - low + 1),
    }
}

fn text(picks: &mut Picks<'_>) -> String {
    (0..picks.next() % 5).map(|_| ['a', '\0', 'é', '🦀', '"'][(picks.next() % 5) as usize]).collect()
}

fn value(ty: &Ty, picks: &mut Picks<'_>) -> Val {
    let side = |ty: &Option<Ty>, picks: &mut Picks<'_>| ty.as_ref().map(|ty| Box::new(value(ty, picks)));
    match ty.peeled() {
        Ty::Bool => Val::Bool(picks.next().is_multiple_of(2)),
        Ty::Int(int) => {
            let (low, high) = int.range();
            let number = whole(picks.next(), low, high);
            match int.name() {
                "u8" => Val::U8(number.try_into().unwrap()),
                "u16" => Val::U16(number.try_into().unwrap()),
                "u32" => Val::U32(number.try_into().unwrap()),
                "u64" => Val::U64(number.try_into().unwrap()),
                "s8" => Val::S8(number.try_into().unwrap()),
                "s16" => Val::S16(number.try_into().unwrap()),
                "s32" => Val::S32(number.try_into().unwrap()),
                _ => Val::S64(number.try_into().unwrap()),
            }
        }
        Ty::F32 => Val::Float32([0.5, -0.0, f32::MAX, f32::INFINITY, f32::MIN_POSITIVE][(picks.next() % 5) as usize]),
        Ty::F64 => Val::Float64([0.1, -0.0, f64::MAX, f64::NEG_INFINITY, 1.0][(picks.next() % 5) as usize]),
        Ty::Char => Val::Char(['a', '\0', 'é', '🦀'][(picks.next() % 4) as usize]),
        Ty::String => Val::String(text(picks)),
        Ty::Bytes => Val::List((0..picks.next() % 9).map(|_| Val::U8(picks.next().to_le_bytes()[0])).collect()),
        Ty::List(item) => Val::List((0..picks.next() % 4).map(|_| value(item, picks)).collect()),
        Ty::Tuple(items) => Val::Tuple(items.iter().map(|item| value(item, picks)).collect()),
        Ty::Option(inner) => Val::Option((picks.next().is_multiple_of(2)).then(|| Box::new(value(inner, picks)))),
        Ty::Result(either) if picks.next().is_multiple_of(2) => Val::Result(Ok(side(&either.ok, picks))),
        Ty::Result(either) => Val::Result(Err(side(&either.err, picks))),
        Ty::Record(record) => {
            let fields = record.fields.iter();
            Val::Record(fields.map(|field| (field.name.kebab.clone(), value(&field.ty, picks))).collect())
        }
        Ty::Flags(flags) => {
            let set = flags.fields.iter().filter(|_| picks.next().is_multiple_of(2));
            Val::Flags(set.map(|field| field.name.kebab.clone()).collect())
        }
        Ty::Enum(variant) | Ty::Variant(variant) => {
            let case = &variant.cases[(picks.next() as usize) % variant.cases.len()];
            match ty.peeled() {
                Ty::Enum(_) => Val::Enum(case.name.kebab.clone()),
                _ => Val::Variant(case.name.kebab.clone(), side(&case.ty, picks)),
            }
        }
        ty => panic!("no value of {ty}"),
    }
}

struct Nobody;

impl Handles for Nobody {
    fn is_of(&self, _: u32, _: &str) -> Held {
        Held::No
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn values_cross_and_come_back(
        types in [any_type(), any_type(), any_type()],
        picks in prop::collection::vec(any::<u64>(), 64),
    ) {
        let Some(function) = function(&types) else { return Ok(()) };
        let ty = &function.params[0].ty;
        let val = value(ty, &mut Picks(picks.iter()));
        let Answer::Value(bytes) = result(&function, &Given::result(&function, std::slice::from_ref(&val)), 200, 1 << 20).unwrap()
        else { panic!("it is no result") };
        let arguments = [&[0x91][..], &bytes].concat();
        let values = u32::try_from(count(&val)).unwrap();
        let back = each(&function, &arguments, &Nobody, &Room::of(values, &|_, _| None)).unwrap();
        prop_assert_eq!(back, vec![val]);
        let room = Room::of(values - 1, &|_, _| None);
        prop_assert!(each(&function, &arguments, &Nobody, &room).is_err() && room.is_over());
    }

    #[test]
    fn noise_is_refused_or_read(types in [any_type(), any_type(), any_type()], noise in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Some(function) = function(&types) {
            let _ = each(&function, &[&[0x91][..], &noise].concat(), &Nobody, &Room::of(100, &|_, _| None)); // no panic is what is looked for
        }
    }
}

//! Random types with random values of them: to the wire and back.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::BoxedStrategy;

use super::{Some3, of};
use crate::value::Value;
use crate::value::tests::any_value;
use crate::wit::names::Name;
use crate::wit::package::{Function, Param};
use crate::wit::types::{Case, Def, Either, Field, Int, Record, Ty, Variant};
use crate::wit::{Answer, arguments, result};

fn def() -> Def {
    Def { name: Name::new("x"), interface: "i".into(), docs: String::new() }
}

fn case(index: usize, ty: Option<Ty>) -> Case {
    Case { name: Name::new(&format!("case-{index}")), docs: String::new(), ty }
}

fn record(fields: Vec<Ty>) -> Record {
    let field = |(index, ty)| Field { name: Name::new(["end", "b-b", "c", "d"][index]), docs: String::new(), ty };
    Record { def: def(), fields: fields.into_iter().enumerate().map(field).collect() }
}

fn int() -> impl Strategy<Value = Int> {
    prop::sample::select(vec![Int::U8, Int::U16, Int::U32, Int::U64, Int::S8, Int::S16, Int::S32, Int::S64])
}

/// The items of a list, which aren't nil.
fn present(ty: Ty) -> Ty {
    match ty {
        Ty::Option(inner) => (*inner).clone(),
        Ty::Any => Ty::Bool,
        Ty::Int(Int::U8) => Ty::Char,
        ty => ty,
    }
}

fn any_type() -> impl Strategy<Value = Ty> {
    let scalar = prop_oneof![
        4 => int().prop_map(Ty::Int),
        4 => prop::sample::select(vec![Ty::Bool, Ty::F32, Ty::F64, Ty::Char, Ty::String, Ty::Bytes, Ty::Any]),
        1 => (1usize..4).prop_map(|len| Ty::Flags(Arc::new(record(vec![Ty::Bool; len])))),
        1 => (1usize..4).prop_map(|len| {
            Ty::Enum(Arc::new(Variant { def: def(), cases: (0..len).map(|index| case(index, None)).collect() }))
        }),
    ];
    scalar.prop_recursive(4, 24, 4, |inner| {
        let parts = || proptest::collection::vec(inner.clone(), 1..4);
        let maybe = || proptest::option::of(inner.clone().prop_map(present));
        prop_oneof![
            inner.clone().prop_map(|ty| Ty::List(Arc::new(present(ty)))),
            inner.clone().prop_map(|ty| Ty::Option(Arc::new(present(ty)))),
            (int(), inner.clone()).prop_map(|(key, ty)| Ty::Map(Arc::new((Ty::Int(key), present(ty))))),
            inner.clone().prop_map(|ty| Ty::Map(Arc::new((Ty::String, present(ty))))),
            parts().prop_map(|items| Ty::Tuple(items.into())),
            parts().prop_map(|fields| Ty::Record(Arc::new(record(fields)))),
            (maybe(), maybe()).prop_map(|(ok, err)| Ty::Result(Arc::new(Either { ok, err }))),
            proptest::collection::vec(proptest::option::of(inner.clone()), 1..4).prop_map(|cases| {
                let cases = cases.into_iter().enumerate().map(|(index, ty)| case(index, ty)).collect();
                Ty::Variant(Arc::new(Variant { def: def(), cases }))
            }),
        ]
    })
}

fn integer(int: Int) -> BoxedStrategy<Value> {
    let (low, high) = int.range();
    let high = high.min(i64::MAX.into());
    prop_oneof![Just(low), Just(high), low..=high, low.max(-100)..=high.min(100)]
        .prop_map(|value| match i64::try_from(value).unwrap() {
            value if value.unsigned_abs() <= 1 << 53 => Value::Number(value as f64),
            value => Value::Integer(value),
        })
        .boxed()
}

fn by_name(pairs: Vec<(&'static str, Value)>) -> Value {
    Value::Map(pairs.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

/// A value as Rust reads it into a `Value`: fields as in Rust, bytes as a buffer.
fn value_of(ty: &Ty) -> BoxedStrategy<Value> {
    match ty {
        Ty::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Ty::Int(int) => integer(*int),
        Ty::F32 => any::<f32>().prop_map(Value::from).boxed(),
        Ty::F64 => any::<f64>().prop_map(Value::from).boxed(),
        Ty::Char => any::<char>().prop_map(|char| Value::from(char.to_string())).boxed(),
        Ty::String => any::<String>().prop_map(Value::from).boxed(),
        Ty::Bytes => any::<Vec<u8>>().prop_map(Value::Buffer).boxed(),
        Ty::Any => any_value().boxed(),
        Ty::List(item) => proptest::collection::vec(value_of(item), 0..4).prop_map(Value::Array).boxed(),
        Ty::Option(inner) => prop_oneof![Just(Value::Nil), value_of(inner)].boxed(),
        Ty::Map(entry) => proptest::collection::vec((value_of(&entry.0), value_of(&entry.1)), 0..4)
            .prop_map(|pairs| {
                Value::Map(pairs.into_iter().collect::<std::collections::BTreeMap<_, _>>().into_iter().collect())
            })
            .boxed(),
        Ty::Tuple(items) => items.iter().map(value_of).collect::<Vec<_>>().prop_map(Value::Array).boxed(),
        Ty::Record(record) | Ty::Flags(record) => {
            let names: Vec<_> = record.fields.iter().map(|field| Value::from(field.name.snake.as_str())).collect();
            let values: Vec<_> = record.fields.iter().map(|field| value_of(&field.ty)).collect();
            values.prop_map(move |values| Value::Map(names.clone().into_iter().zip(values).collect())).boxed()
        }
        Ty::Enum(variant) => {
            let names: Vec<_> = variant.cases.iter().map(|case| Value::from(case.name.snake.as_str())).collect();
            prop::sample::select(names).boxed()
        }
        Ty::Variant(variant) => {
            let cases = variant.cases.iter().map(|case| {
                let tag = Value::from(case.name.snake.as_str());
                match &case.ty {
                    None => Just(by_name(vec![("tag", tag)])).boxed(),
                    Some(ty) => value_of(ty)
                        .prop_map(move |value| by_name(vec![("tag", tag.clone()), ("value", value)]))
                        .boxed(),
                }
            });
            proptest::strategy::Union::new(cases.collect::<Vec<_>>()).boxed()
        }
        Ty::Result(either) => {
            let side = |key, ty: &Option<Ty>| {
                let value = ty.as_ref().map_or_else(|| Just(Value::Boolean(true)).boxed(), value_of);
                value.prop_map(move |value| by_name(vec![(key, value)])).boxed()
            };
            prop_oneof![side("ok", &either.ok), side("err", &either.err)].boxed()
        }
        Ty::Own(_) | Ty::Borrow(_) | Ty::Alias(_) => panic!("not made here"),
    }
}

/// What Rust may say in two ways, said in one: an empty table is a list and a map.
fn plain(value: Value) -> Value {
    match value {
        Value::Map(pairs) if pairs.is_empty() => Value::Array(Vec::new()),
        Value::Map(pairs) => Value::Map(pairs.into_iter().map(|(key, value)| (plain(key), plain(value))).collect()),
        Value::Array(items) => Value::Array(items.into_iter().map(plain).collect()),
        // Beyond 2^53 both are read, and told apart only where anything may come.
        Value::Integer(integer) => Value::from(integer),
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn round_trip((ty, value) in any_type().prop_flat_map(|ty| (Just(ty.clone()), value_of(&ty)))) {
        let mut function: Function = (*of("f: func(a: u8);")).clone();
        // Within a tuple, so that a result isn't the whole one.
        let ty = Ty::Tuple(vec![ty].into());
        let value = Value::Array(vec![value]);
        function.params = vec![Param { name: Name::new("a"), ty: ty.clone() }];
        function.result = Some(ty);
        let Answer::Value(bytes) = result(&function, &value, 100, 1 << 20).unwrap() else { panic!() };
        let bytes = [&[0x91], &bytes[..]].concat();
        let back: Value = arguments(&function, &bytes, &Some3).unwrap();
        prop_assert_eq!(plain(back), plain(value));
    }
}

//! No instruction of the guest works for long: what copies, fills or takes megabytes is cut into slices like any loop.

use std::sync::atomic::AtomicU32;

use wasmparser::{Operator, Parser, Payload};

use super::*;
use crate::metering::{Metering, MockMeter, Pace, SLICE_TIME, Turn, Watch};

/// Enters for an event.
fn entering(world: World, name: &str) -> Entering {
    let entry = Entry::Start { event: 1, name: name.into(), payload: Value::Nil.encode().unwrap() };
    let owner = Arc::new(Owner { event: 1, name: name.into(), origin: None, log_left: AtomicU32::default() });
    world.vm.enter(entry, None, 1000, Some(owner))
}

/// Runs an event to its end. Gives its exit, its slices and its fuel.
fn slices(world: World, name: &str) -> (Exit, u64, u64) {
    let mut entering = entering(world, name);
    let mut slices = 1;
    loop {
        match entering.poll(&Turn::default()) {
            None => slices += 1,
            Some(left) => return (left.exit.unwrap(), slices, left.fuel),
        }
    }
}

/// What a library function does to 24 MB, in one instruction or in a few.
const LARGE: &[(&str, &str)] = &[
    ("fill", "buffer.fill(large, 0, 1)"),
    ("copy", "buffer.copy(large, 0, large, 16, 23e6)"),
    ("copy_back", "buffer.copy(large, 16, large, 0, 23e6)"),
    ("create", "kept = buffer.create(24e6)"),
    ("tostring", "kept = buffer.tostring(large)"),
    ("fromstring", "kept = buffer.fromstring(text)"),
    ("writestring", "buffer.writestring(large, 0, text)"),
    ("readstring", "kept = buffer.readstring(large, 0, 23e6)"),
    ("rep", "kept = string.rep(third, 3)"),
    ("concat", "kept = third .. third .. third"),
    ("table_concat", "kept = table.concat({ third, third, third })"),
    ("sub", "kept = string.sub(text, 2)"),
    ("format", "kept = string.format('%s!', text)"),
    ("gsub", "kept = string.gsub(text, '^x', 'y')"),
    ("table_create", "kept = table.create(1.5e6)"),
    ("table_fill", "kept = table.create(1.5e6, true)"),
    ("move", "kept = table.move(list, 1, 2 ^ 20, 1, {})"),
    ("clone", "kept = table.clone(list)"),
    ("grow", "list[2 ^ 20 + 1] = 1"),
    ("pack", "kept = string.pack('s4', text)"),
];

fn world(name: &str, body: &str) -> World {
    let needs = |what: &str, made: &str| if body.contains(what) { format!("{what} = {made}\n") } else { String::new() };
    let source = format!(
        "{}{}{}{}return {{ {name} = function() {body} return 'done' end }}",
        needs("large", "buffer.create(24e6)"),
        needs("text", "string.rep('x', 24e6)"),
        needs("third", "string.rep('x', 8e6)"),
        needs("list", "table.create(2 ^ 20, true)"),
    );
    World::with(&source, |limits| limits.memory_bytes = 400 << 20)
}

/// A turn ends by its time where nobody is called, too: throws and fresh pages are slow for their fuel.
#[test]
fn m8_code_that_calls_nobody_ends_with_its_turn() {
    let meter = MockMeter::new();
    let mut watch = Watch::new(Metering::Mock(meter.clone()), Pace::USUAL);
    let mut spinning = entering(World::new("return { spin = function() while true do end end }"), "spin");
    for turns in 1..=20 {
        let turn = watch.begin();
        meter.advance(SLICE_TIME);
        assert!(spinning.poll(&turn).is_none());
        assert_eq!(spinning.fuel(), turns * LOOK_FUEL);
    }
    assert!(spinning.poll(&watch.begin()).is_none());
    assert_eq!(spinning.fuel(), 20 * LOOK_FUEL + Limits::SLICE_FUEL, "a turn that isn't over has a slice");
}

#[test]
fn t03_large_copies_are_cut_into_slices() {
    for (name, body) in LARGE {
        let (exit, slices, fuel) = slices(world(name, body), name);
        let Exit::Step(step) = exit else { panic!("{body}: no step") };
        assert_eq!(ended(&step), [(1, "\"done\"".to_owned())], "{body}");
        // after each 64 KiB there is a look, which counts 100,000 units: more were burnt if the memory was fresh
        let least = fuel / (3 * Limits::SLICE_FUEL);
        assert!(fuel > 5_000_000, "{body}: {fuel} fuel for 24 MB");
        assert!(slices >= least.max(5), "{body}: {slices} slices for {fuel} fuel");
    }
}

/// Where the guest has instructions that take as long as their operands say.
#[derive(Default, Debug, PartialEq)]
struct Bulk {
    guarded: usize,
    constant: usize,
    in_pieces: usize,
    grows: usize,
    nops: usize,
    unguarded: Vec<String>,
}

fn bulk(module: &[u8]) -> Bulk {
    let mut bodies = Vec::new();
    let mut imported = 0;
    for payload in Parser::new(0).parse_all(module) {
        match payload.unwrap() {
            Payload::ImportSection(imports) => imported += imports.into_imports().count(),
            Payload::CodeSectionEntry(body) => bodies.push(body),
            _ => (),
        }
    }
    let helpers = u32::try_from(imported + bodies.len() - 3).unwrap();
    let mut bulk = Bulk::default();
    for (index, body) in bodies.iter().enumerate() {
        let is_helper = u32::try_from(imported + index).unwrap() >= helpers;
        let operators: Vec<Operator<'_>> =
            body.get_operators_reader().unwrap().into_iter().map(Result::unwrap).collect();
        for (at, operator) in operators.iter().enumerate() {
            let small = |at: usize| matches!(operators[at], Operator::I32Const { value: 0..=65536 });
            match operator {
                Operator::MemoryCopy { .. } | Operator::MemoryFill { .. } => {
                    let guard = at >= 5
                        && matches!(operators[at - 1], Operator::Else)
                        && matches!(operators[at - 2], Operator::Call { function_index } if function_index >= helpers)
                        && matches!(operators[at - 3], Operator::If { .. })
                        && matches!(operators[at - 4], Operator::I32GtU)
                        && small(at - 5);
                    match (is_helper, guard) {
                        (true, _) => bulk.in_pieces += 1,
                        (false, true) => bulk.guarded += 1,
                        (false, false) if small(at - 1) => bulk.constant += 1,
                        _ => bulk.unguarded.push(format!("{operator:?} in function {index}")),
                    }
                }
                Operator::MemoryGrow { .. } if is_helper => bulk.grows += 1,
                Operator::Nop if is_helper => bulk.nops += 1,
                Operator::MemoryGrow { .. }
                | Operator::MemoryInit { .. }
                | Operator::TableInit { .. }
                | Operator::TableCopy { .. }
                | Operator::TableFill { .. }
                | Operator::TableGrow { .. }
                | Operator::Nop => bulk.unguarded.push(format!("{operator:?} in function {index}")),
                _ => (),
            }
        }
    }
    bulk
}

#[test]
fn t03_no_bulk_instruction_of_the_guest_is_left_unguarded() {
    let bulk = bulk(VM);
    let first = bulk.unguarded.iter().take(3).collect::<Vec<_>>();
    assert!(bulk.unguarded.is_empty(), "{} in all: {first:?}", bulk.unguarded.len());
    assert_eq!((bulk.in_pieces, bulk.grows, bulk.nops), (5, 1, 800), "{bulk:?}");
    assert!(bulk.guarded > 20, "the guest copies in many places: {bulk:?}");
}

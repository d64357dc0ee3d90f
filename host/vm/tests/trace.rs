//! w02: what an autopsy finds in memory that is broken, and what it costs.

use super::super::trace::{FRAMES_MAX, FUEL};
use super::*;

const SPIN: &str = "local function inner(...) while true do end end return { go = function() inner() end }";

fn enter(world: World, fuel: u64) -> Entering {
    world.vm.enter(Entry::Start { event: 1, name: "go".into(), payload: vec![0xc0] }, Some(fuel), 0, None)
}

fn run_out(entering: &mut Entering) {
    loop {
        if let Some(left) = entering.poll(&Turn::default()) {
            assert_eq!(left.exit.err().map(|error| error.kind()), Some(ErrorKind::Fuel));
            return;
        }
    }
}

/// A VM that ran out of fuel, and its bundle.
fn died(world: World) -> (Entering, Bundle) {
    let mut entering = enter(world, 300_000);
    run_out(&mut entering);
    (entering, Bundle::from_files([("init.luau", SPIN)]).unwrap())
}

#[test]
fn w02_an_autopsy_finds_the_frames_and_burns_little() {
    let (entering, bundle) = died(World::new(SPIN));
    let trace = entering.autopsy(&motu().shared().factory, &bundle);
    assert_eq!(trace.place, "init.luau:1: ");
    assert_eq!(trace.frames, "init.luau:1 function inner\ninit.luau:1 function go");
    // a file that the bundle doesn't have is none
    let (entering, _) = died(World::new(SPIN));
    let other = Bundle::with_own("other.luau", vec![("other.luau".to_owned(), Vec::new())], []).unwrap();
    let trace = entering.autopsy(&motu().shared().factory, &other);
    assert_eq!((trace.place.as_str(), trace.frames.as_str()), ("", ""));
}

/// The longest paths, in a chain that is longer than what is told.
#[test]
fn w02_an_autopsy_takes_little_fuel() {
    let path = format!("{}.luau", "p".repeat(500));
    let lib = "local function f(n, ...) if n == 0 then while true do end end return (f(n - 1)) end return f";
    let init = format!("local f = require('@self/{}') return {{ go = function() f(15000) end }}", "p".repeat(500));
    let bundle = Bundle::from_files([("init.luau", init.as_str()), (path.as_str(), lib)]).unwrap();
    let mut entering = enter(World::of(&bundle, 1, |_| ()), 50_000_000);
    run_out(&mut entering);
    let Entering { running, memory, .. } = entering;
    drop(running);
    let mut vm = motu().shared().factory.start_over_dead(memory.into_dead().unwrap()).unwrap();
    let (frames, told) = vm.tell(Traceable::Running);
    told.unwrap();
    assert_eq!(frames.shown(&bundle).frames.lines().count(), 31);
    let fuel = FUEL - vm.store.get_fuel().unwrap();
    println!("{fuel} fuel");
    assert!(fuel > 0 && fuel < FUEL / 2, "{fuel}");
}

#[test]
fn w02_forged_memory_gives_no_other_place() {
    let mut placeless = 0;
    for seed in 0..400 {
        let (Entering { running, memory, .. }, bundle) = died(World::new(SPIN));
        drop(running);
        let mut dead = memory.into_dead().unwrap();
        dead.forge(seed);
        let trace = motu().shared().factory.autopsy(dead, None, &bundle);
        assert!(trace.place.is_empty() || trace.place.starts_with("init.luau:"), "{seed}: {trace:?}");
        assert!(trace.frames.lines().count() <= 2 * FRAMES_MAX && trace.frames.len() < 20_000, "{seed}: {trace:?}");
        assert!(trace.frames.chars().all(|c| c == '\n' || c == ' ' || c.is_ascii_graphic()), "{seed}: {trace:?}");
        placeless += usize::from(trace.place.is_empty());
    }
    assert!(placeless > 100, "{placeless} of 400 were broken where it matters");
}

#[test]
fn w02_a_guest_tells_of_its_frames_only_when_it_is_asked() {
    use crate::guest::motu::guest::host::Host;
    let mut world = World::new(SPIN);
    let told = world.state().traced(0, b"init.luau".to_vec(), 1, Vec::new());
    assert!(told.unwrap_err().to_string().contains("unasked"));
    world.state().frames = Some(Frames::default());
    let mut tell = |name: Vec<u8>| world.state().traced(0, b"init.luau".to_vec(), 1, name);
    assert!(tell(vec![b'x'; 32 << 10]).is_err(), "too many bytes");
    world.state().frames = Some(Frames::default());
    let mut tell = |name: Vec<u8>| world.state().traced(0, b"init.luau".to_vec(), 1, name);
    for _ in 0..FRAMES_MAX {
        tell(Vec::new()).unwrap();
    }
    assert!(tell(Vec::new()).is_err(), "too many frames");
}

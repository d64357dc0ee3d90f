//! What of the host's a provider sees: nothing but clocks and randomness.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use motu::{MockClock, ProviderLimits, Value};

use super::{go, motu_with};
use crate::support::{builder, limits};

trials![p7_nothing_of_the_host_is_seen, p7_it_is_as_late_as_for_scripts, p7_clocks_and_randomness_are_real];

fn p7_nothing_of_the_host_is_seen() {
    let motu = motu_with(ProviderLimits::default());
    let folder = tempfile::tempdir().unwrap();
    let (there, new) = (folder.path().join("there.txt"), folder.path().join("new.txt"));
    std::fs::write(&there, "secret").unwrap();
    for path in ["/etc/passwd", "/proc/self/environ", ".", "/", "../../etc/passwd", there.to_str().unwrap()] {
        let said = go(&motu, "wasi:files", &format!("return kinds.open_file({path:?})"));
        assert_ne!(said, Value::from("done"), "{path}");
    }
    let said = go(&motu, "wasi:files", &format!("return kinds.write_file({new:?})"));
    assert_ne!(said, Value::from("done"));
    assert!(!new.exists());
    let body = "return { kinds.variables(), kinds.variable('PATH') or 'none', kinds.variable('HOME') or 'none',
        kinds.arguments(), kinds.read_input() <= 0, kinds.socket() }";
    let wanted = [0.0.into(), "none".into(), "none".into(), 0.0.into(), true.into(), "access denied".into()];
    assert_eq!(go(&motu, "wasi:none", body), Value::Array(wanted.to_vec()));
    assert_eq!(go(&motu, "wasi:print", "return kinds.print(5000, 3)"), Value::Nil, "goes nowhere");
}

/// Of a test's clock, too.
fn p7_it_is_as_late_as_for_scripts() {
    let clock = MockClock::new(UNIX_EPOCH + Duration::from_secs(1_000_000));
    let module = super::build::kinds_module(ProviderLimits::default());
    let motu = builder(limits()).clock(clock.clone()).host_module(module).build().unwrap();
    let tenant = super::caller(&motu, "wasi:mocked", "return kinds.clock()");
    assert_eq!(super::ask(&tenant, "go", Value::Nil).unwrap(), Value::Number(1_000_000.0));
    clock.advance(Duration::from_secs(60));
    assert_eq!(super::ask(&tenant, "go", Value::Nil).unwrap(), Value::Number(1_000_060.0));
}

fn p7_clocks_and_randomness_are_real() {
    let motu = motu_with(ProviderLimits::default());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let Value::Number(said) = go(&motu, "wasi:clock", "return kinds.clock()") else { panic!("a number") };
    assert!((said - now).abs() < 600.0, "{said} {now}");
    let body = "local one, other = kinds.dice(32), kinds.dice(32) assert(#one == 32 and one ~= other) return 'differ'";
    assert_eq!(go(&motu, "wasi:dice", body), Value::from("differ"));
    assert_eq!(go(&motu, "wasi:sleep", "kinds.sleep_ms(5) return kinds.count()"), Value::Number(0.0), "it may wait");
}

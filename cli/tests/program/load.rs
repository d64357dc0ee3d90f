//! `motu load`.

use super::{bundle, motu, motu_in};

const SMALL: &str = r#"
workers = 2
[bundle.script]
source = "return { go = function(n) return n end, spin = function() while true do end end }"
[[phase]]
name = "one"
[[phase.group]]
name = "good"
tenants = 3
bundle = "script"
event = "go"
payload = { a = [1, 2] }
events = 60
at-once = 2
[[phase.group]]
name = "Bad ones"
bundle = "script"
event = ["spin", "go"]
events = 6
limits = { fuel = 1000000 }
[[phase.group]]
name = "endless"
bundle = "script"
event = "spin"
[[phase.expect]]
group = "good"
lost-max = 0
failed-max = 0
answered-min = 60
"#;

#[test]
fn a_small_scenario() {
    let folder = bundle(&[("small.toml", SMALL)]);
    let ran = motu_in(folder.path(), &["load", "small.toml", "--json"]);
    let json = ran.json();
    assert_eq!((ran.code, json["outcome"].as_str()), (0, Some("ok")), "{}", ran.err);
    let [good, bad, _] = json["results"].as_array().unwrap().as_slice() else { panic!("{json}") };
    assert_eq!((good["group"].as_str(), good["tenants"].as_u64()), (Some("good"), Some(3)));
    assert_eq!((good["answered"].as_u64(), good["lost"].as_u64()), (Some(60), Some(0)));
    assert!(good["p50_us"].as_f64().unwrap() > 0.0 && good["fuel"].as_u64().unwrap() > 0);
    assert_eq!((bad["answered"].as_u64(), bad["failed"]["fuel"].as_u64()), (Some(3), Some(3)));

    let ran = motu_in(folder.path(), &["load", "small.toml"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("one, good") && ran.out.contains("fuel: 3") && ran.out.ends_with("ok\n"), "{}", ran.out);
}

#[test]
fn what_does_not_hold_is_said() {
    let folder = bundle(&[("strict.toml", &SMALL.replace("answered-min = 60", "p99-us-max = 0.001"))]);
    let ran = motu_in(folder.path(), &["load", "strict.toml"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("not held: one, good: p99 of "), "{}", ran.out);
}

#[test]
fn wrong_scenarios() {
    for (change, to, message) in [
        ("workers = 2", "workers = \"two\"", "workers"),
        ("workers = 2", "wrkers = 2", "wrkers"),
        ("bundle = \"script\"", "bundle = \"other\"", "names a bundle that there isn't"),
        ("source =", "path = \"nowhere\"\nsource =", "either a path or a source"),
        ("tenants = 3", "tenants = 4_000_000_000", "and can have 200000"),
        ("tenants = 3", "tenants = 0", "has no tenants"),
        ("tenants = 3", "rate = 0.0", "the rate"),
        ("group = \"good\"\nlost", "group = \"none\"\nlost", "that there isn't"),
        ("fuel = 1000000", "weight = 0", "the limit weight is 0"),
        ("at-once = 2", "reload-ms = 5", "needs both"),
    ] {
        assert!(SMALL.contains(change), "{change}");
        let folder = bundle(&[("wrong.toml", &SMALL.replacen(change, to, 1))]);
        let ran = motu_in(folder.path(), &["load", "wrong.toml"]);
        assert_eq!(ran.code, 2, "{to}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(message), "{to}: {}", ran.err);
    }
    let ran = motu(&["load", "there/is/none.toml", "--json"]);
    assert_eq!((ran.code, ran.json()["kind"].as_str()), (2, Some("usage")));
}

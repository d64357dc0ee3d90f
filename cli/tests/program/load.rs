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

/// One message for each kind, cut short, with its place.
#[test]
fn c09_a_failure_of_each_kind_is_shown() {
    let long = "x".repeat(400);
    let scenario = SMALL
        .replace("spin = function", &format!("fail = function() error('\\\\194\\\\155{long}') end, spin = function"))
        .replace("[\"spin\", \"go\"]", "[\"spin\", \"go\", \"fail\"]");
    let folder = bundle(&[("small.toml", &scenario)]);
    let ran = motu_in(folder.path(), &["load", "small.toml", "--json"]);
    let json = ran.json();
    let bad = &json["results"][1];
    assert_eq!((bad["failed"]["fuel"].as_u64(), bad["failed"]["script"].as_u64()), (Some(2), Some(2)), "{json}");
    let fuel = "init.luau:1: out of fuel: the budget of 1000000 is used up";
    assert_eq!(bad["examples"]["fuel"].as_str(), Some(fuel), "{json}");
    let start = format!("init.luau:1: \u{9b}{}", &long[..286]);
    assert_eq!(bad["examples"]["script"].as_str(), Some(format!("{start}...").as_str()), "{json}");

    let ran = motu_in(folder.path(), &["load", "small.toml"]);
    assert!(ran.out.contains(&format!("    fuel: 2: {fuel}\n")), "{}", ran.out);
    assert!(ran.out.contains("    script: 2: init.luau:1: \\u{9b}xxx") && ran.out.contains("xxx...\n"), "{}", ran.out);
}

#[test]
fn w06_events_that_are_denied_do_not_pass() {
    let scenario = |grants: &str, expect: &str| {
        format!(
            "[bundle.script]\nsource = \"return {{ go = function() require('@motu/random').number() end }}\"\n[[phase]]\nname = \"one\"\n\
             [[phase.group]]\nname = \"g\"\nbundle = \"script\"\nevent = \"go\"\nevents = 40\n{grants}\n{expect}"
        )
    };
    let ran = |grants: &str, expect: &str| {
        let folder = bundle(&[("s.toml", &scenario(grants, expect))]);
        motu_in(folder.path(), &["load", "s.toml"])
    };
    let denied = ran("", "");
    assert_eq!(denied.code, 1, "{}", denied.out);
    assert!(
        denied.out.contains("not held: one, g: 40 events failed for want of a grant; give the group `grants` that fit"),
        "{}",
        denied.out
    );
    assert_eq!(ran("", "[[phase.expect]]\ngroup = \"g\"\nfailed-max = 40").code, 0);
    assert_eq!(ran("grants = [\"motu:random/*\"]", "").code, 0);
    // c04
    let wrong = ran("grants = [\"motu:randon/*\"]", "");
    assert_eq!(wrong.code, 2, "{}", wrong.err);
    assert!(wrong.err.contains("the grant motu:randon/* allows nothing: there is no host function motu:randon/* here: did you mean motu:random/*?"), "{}", wrong.err);
}

/// c04: before the first phase of the first file runs.
#[test]
fn w06_mistakes_of_later_phases_are_found_first() {
    let two = |group: &str| {
        format!(
            "{SMALL}\n[[phase]]\nname = \"two\"\n[[phase.group]]\nname = \"g\"\nbundle = \"script\"\nevent = \"go\"\nevents = 1\n{group}"
        )
    };
    let endless = SMALL.replace("events = 60", "events = 1_000_000_000");
    for (group, said) in [
        ("grants = [\"motu:kv/store.gett\"]", "the grant motu:kv/store.gett allows nothing: "),
        ("grants = [\"motu:kv\"]", "number 1 in the list of grants: the grant \"motu:kv\" "),
    ] {
        let folder = bundle(&[("a.toml", &endless), ("b.toml", &two(group))]);
        let ran = motu_in(folder.path(), &["load", "a.toml", "b.toml"]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
        assert!(ran.err.contains(&format!("b.toml: group \"g\" of phase \"two\": {said}")), "{}", ran.err);
    }
    // what only running shows names the same
    let broken = two("").replace("return { go", "error('no') return { go");
    let folder = bundle(&[("a.toml", &broken)]);
    let ran = motu_in(folder.path(), &["load", "a.toml"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("a.toml: group \"good\" of phase \"one\": init.luau:1: no"), "{}", ran.err);
}

#[test]
fn what_does_not_hold_is_said() {
    let folder = bundle(&[("strict.toml", &SMALL.replace("group = \"good\"\nlost", "group = \"Bad ones\"\nlost"))]);
    let ran = motu_in(folder.path(), &["load", "strict.toml"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("not held: one, Bad ones: 3 events failed, over 0 (fuel: 3)\n"), "{}", ran.out);
    let folder = bundle(&[("strict.toml", &SMALL.replace("answered-min = 60", "p99-us-max = 0.001"))]);
    let ran = motu_in(folder.path(), &["load", "strict.toml"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("not held: one, good: p99 of "), "{}", ran.out);
}

/// A phase that is cut off is never `ok`, whatever is expected of it.
#[test]
fn a_phase_that_is_cut_off_does_not_hold() {
    let scenario =
        SMALL.replace("workers = 2", "workers = 2\nseconds-max = 3").replace("fuel = 1000000", "fuel = 1000000000000");
    let folder = bundle(&[("cut.toml", &scenario)]);
    let ran = motu_in(folder.path(), &["load", "cut.toml", "--json"]);
    let json = ran.json();
    assert_eq!((ran.code, json["outcome"].as_str()), (1, Some("not held")), "{json}");
    let [_, bad, _] = json["results"].as_array().unwrap().as_slice() else { panic!("{json}") };
    assert_eq!((bad["lost"].as_u64(), bad["unsent"].as_u64()), (Some(1), Some(5)), "{json}");
    let says = "one, Bad ones: cut off after 3 s, the scenario's seconds-max: 1 events had not ended, and 5 not begun";
    assert!(json["broken"].as_array().unwrap().contains(&says.into()), "{json}");
}

#[test]
fn wrong_scenarios() {
    for (change, to, message) in [
        ("workers = 2", "workers = \"two\"", "workers"),
        ("workers = 2", "workers = 20000", "a pool of 20000 workers: it can have 1024 at most"),
        ("workers = 2", "wrkers = 2", "wrkers"),
        ("bundle = \"script\"", "bundle = \"other\"", "names a bundle that there isn't"),
        ("source =", "path = \"nowhere\"\nsource =", "either a path or a source"),
        ("tenants = 3", "tenants = 4_000_000_000", "and can have 200000"),
        ("tenants = 3", "tenants = 0", "has no tenants"),
        ("tenants = 3", "rate = 0.0", "the rate"),
        ("group = \"good\"\nlost", "group = \"none\"\nlost", "that there isn't"),
        ("fuel = 1000000", "weight = 0", "the limit weight is 0"),
        ("at-once = 2", "reload-ms = 5", "needs both"),
        ("name = \"Bad ones\"", "name = \"Good\"", "would have the tenants good:0"),
        ("payload = { a = [1, 2] }", "payload = [\"{url}\"]", "needs `serve = true`"),
        ("name = \"one\"", "name = \"one\"\nseconds = 1", "no group of it can have `events`"),
        ("workers = 2", "sevre = true", "sevre"),
        ("lost-max = 0", "p99-times = 1.0", "needs than-phase"),
        ("lost-max = 0\nfailed-max = 0\nanswered-min = 60", "", "expects nothing"),
        ("lost-max = 0", "than-phase = \"one\"", "which needs p99-times"),
        ("lost-max = 0", "p99-times = 2.0\nthan-phase = \"two\"", "no earlier phase of that name"),
        ("fuel = 1000000", "calls-per-second = { http = 1 }", "names \"http\", which is no package"),
        ("[[phase.expect]]", "[[every.expects]]", "expects"),
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

const SEVERAL: &str = r#"
workers = 1
serve = true
[bundle.script]
source = """
local http = require("@motu/http")
return {
    fetch = function(url) local answer = http.fetch(url .. "/path") return answer.status .. answer.body end,
    work = function() for i = 1, 10000 do end end,
    spin = function() while true do end end,
}
"""
[[every.group]]
name = "fetches"
bundle = "script"
event = "fetch"
payload = "{url}"
events = 30
grants = ["motu:http/client.fetch[host=127.0.0.1]"]
limits = { calls-per-second = { "motu:http" = 1000 } }
[[every.expect]]
group = "fetches"
lost-max = 0
failed-max = 0
answered-min = 30
p99-times = 1000.0
p99-us-max = 60000000.0
than-phase = "alone"
[[phase]]
name = "alone"
[[phase]]
name = "beside a spinner"
[[phase.group]]
name = "spinner"
bundle = "script"
event = "spin"
"#;

const TIMED: &str = r#"
workers = 1
[bundle.script]
source = "return { work = function() for i = 1, 10000 do end end }"
[[every.group]]
name = "honest"
bundle = "script"
event = "work"
at-once = 2
[[phase]]
name = "alone"
seconds = 0.3
[[phase]]
name = "beside an equal"
seconds = 0.3
[[phase.group]]
name = "equal"
bundle = "script"
event = "work"
at-once = 2
[[phase.expect]]
group = "honest"
time-min = 0.01
time-max = 0.99
"#;

#[test]
fn m8_groups_of_every_phase_fetch_from_the_server() {
    let folder = bundle(&[("several.toml", SEVERAL)]);
    let ran = motu_in(folder.path(), &["load", "several.toml", "--json"]);
    let json = ran.json();
    assert_eq!((ran.code, json["outcome"].as_str()), (0, Some("ok")), "{json}");
    let [alone, beside, spinner] = json["results"].as_array().unwrap().as_slice() else { panic!("{json}") };
    assert_eq!((alone["group"].as_str(), alone["answered"].as_u64()), (Some("fetches"), Some(30)));
    assert_eq!((beside["group"].as_str(), beside["answered"].as_u64()), (Some("fetches"), Some(30)));
    assert!(alone["p99_times"].is_null() && beside["p99_times"].as_f64().unwrap() > 0.0, "{json}");
    assert!(spinner["fuel_per_second"].as_f64().unwrap() > 0.0, "{json}");
}

#[test]
fn m8_a_groups_part_of_the_workers_time_is_bounded() {
    let folder = bundle(&[("timed.toml", TIMED)]);
    let ran = motu_in(folder.path(), &["load", "timed.toml", "--json"]);
    let json = ran.json();
    assert_eq!((ran.code, json["outcome"].as_str()), (0, Some("ok")), "{json}");
    let [alone, honest, equal] = json["results"].as_array().unwrap().as_slice() else { panic!("{json}") };
    let part = |of: &serde_json::Value| of["time_part"].as_f64().unwrap();
    assert!(part(alone) > part(honest), "{json}");
    assert!((0.5..2.0).contains(&(part(honest) / part(equal))), "{json}");
    assert!(part(honest) + part(equal) <= 1.05, "{json}");

    let strict = TIMED.replace("time-max = 0.99", "time-max = 0.02");
    let folder = bundle(&[("strict.toml", &strict), ("timed.toml", TIMED)]);
    let ran = motu_in(folder.path(), &["load", "strict.toml", "timed.toml"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let told = "of the workers' time, over 0.020";
    assert!(
        ran.out.contains("not held: strict.toml: beside an equal, honest: ") && ran.out.contains(told),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("\ntimed.toml\n") && !ran.out.contains("not held: timed.toml"), "{}", ran.out);
    let ran = motu_in(folder.path(), &["load", "strict.toml", "timed.toml", "--json"]);
    let json = ran.json();
    assert_eq!((json["outcome"].as_str(), json["scenarios"][1]["outcome"].as_str()), (Some("not held"), Some("ok")));
    assert_eq!(json["scenarios"][0]["file"].as_str(), Some("strict.toml"));
}

/// A typo in an event's name, or a group that always fails, holds nothing.
#[test]
fn a_group_that_does_nothing_is_no_success() {
    let typo = TIMED.replacen("event = \"work\"", "event = \"wrok\"", 1);
    let fails = TIMED.replace("time-min = 0.01", "p99-us-max = 1e9").replace("for i = 1, 10000 do end", "error(1)");
    for (scenario, told) in
        [(typo, "has no handler of the event's name"), (fails, "no event was answered, so there is no p99")]
    {
        let folder = bundle(&[("nothing.toml", &scenario)]);
        let ran = motu_in(folder.path(), &["load", "nothing.toml"]);
        assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
        assert!(ran.out.contains(told), "{}", ran.out);
    }
}

/// The scenarios that come with Motu name bundles, events and phases that there are. A wrong last file keeps all from running.
#[test]
fn m8_scenarios_can_be_read() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files: Vec<_> =
        std::fs::read_dir(root.join("scenarios")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ext| ext == "toml"));
    assert!(files.len() > 9, "{files:?}");
    let names: Vec<_> = files.iter().map(|file| file.to_str().unwrap()).collect();
    let ran = motu(&[&["load"], names.as_slice(), &["none.toml"]].concat());
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
    assert!(ran.err.contains("none.toml can't be read"), "{}", ran.err);

    let handlers = |script: &str| motu(&["check", root.join(script).to_str().unwrap()]).out;
    let known = [handlers("scenarios/m8/hostile.luau"), handlers("scenarios/m8/neighbour.luau")].concat();
    for file in files.iter().filter(|file| file.to_str().unwrap().contains("/m8-")) {
        for event in std::fs::read_to_string(file).unwrap().lines().filter_map(|line| line.strip_prefix("event = ")) {
            let event = event.trim_matches('"');
            assert!(event == "go" || known.contains(event), "{}: {event} is in none of {known}", file.display());
        }
    }
}

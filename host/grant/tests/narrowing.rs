//! P2: what is passed on is never more than what was held.

use std::borrow::Cow;
use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{function, grant, grants};
use crate::grant::{Argument, Function, FunctionName, Grant, Grants, Name};

const NAMES: [&str; 2] = ["a", "b"];
const FUNCTIONS: [&str; 5] = ["f", "g", "r", "r.f", "r.g"];
const VALUES: [&str; 10] = ["", "a", "b", "aa", "ab", "ba", "bb", "aab", "aba", "abab"];
const PATTERNS: [&str; 16] =
    ["*", "", "a", "b", "ab", "a*", "*a", "b*", "*b", "ab*", "*ab", "a*b", "*a*", "*ab*", "a*b*", "*a*b*"];

/// Random numbers that shrink: the simplest choice is the first.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn below(&mut self, count: usize) -> usize {
        usize::from(*self.0.next().unwrap_or(&0)) % count
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == count - 1
    }

    fn of<'t>(&mut self, all: &[&'t str]) -> &'t str {
        all[self.below(all.len())]
    }
}

/// What is made once: reading patterns 100,000 times takes longer than the rest.
struct Source {
    arguments: Vec<Argument>,
}

impl Source {
    fn new() -> Source {
        let all = ["p", "q"].into_iter().flat_map(|name| PATTERNS.map(|text| format!("a:b/*[{name}={text}]")));
        Source { arguments: all.map(|text| grant(&text).arguments[0].clone()).collect() }
    }

    fn argument(&self, choices: &mut Choices<'_>, second: bool) -> Argument {
        self.arguments[choices.below(PATTERNS.len()) + if second { PATTERNS.len() } else { 0 }].clone()
    }

    fn grant(&self, choices: &mut Choices<'_>) -> Grant {
        let mut arguments = Vec::new();
        if choices.one_in(3) {
            arguments.push(self.argument(choices, false));
        }
        if choices.one_in(3) {
            arguments.push(self.argument(choices, true));
        }
        Grant {
            namespace: name(choices),
            package: name(choices),
            major: [None, Some(1), None, Some(2)][choices.below(4)],
            interface: name(choices),
            function: match choices.below(3) {
                0 => Function::Any,
                1 => Function::MethodsOf("r".into()),
                _ => Function::Is(choices.of(&FUNCTIONS).into()),
            },
            arguments: arguments.into(),
        }
    }

    /// One that the grant covers.
    fn narrower(&self, wide: &Grant, choices: &mut Choices<'_>) -> Grant {
        let mut narrow = wide.clone();
        for name in [&mut narrow.namespace, &mut narrow.package, &mut narrow.interface] {
            if *name == Name::Any && choices.one_in(2) {
                *name = Name::Is(choices.of(&NAMES).into());
            }
        }
        if narrow.major.is_none() && choices.one_in(2) {
            narrow.major = Some(1);
        }
        if choices.one_in(2) {
            narrow.function = match wide.function {
                Function::Any => Function::Is(choices.of(&FUNCTIONS).into()),
                Function::MethodsOf(_) => Function::Is(choices.of(&FUNCTIONS[3..]).into()),
                Function::Is(_) => narrow.function,
            };
        }
        if wide.arguments.is_empty() && choices.one_in(2) {
            narrow.arguments = [self.argument(choices, choices.0.len() % 2 == 1)].into();
        }
        narrow
    }

    /// Whether all of it is within the wide one is known only for what was made from that.
    fn list(&self, wide: &Grants, choices: &mut Choices<'_>) -> (Grants, bool) {
        let mut is_within = true;
        let grants = (0..choices.below(3)).map(|_| {
            let held = wide.iter().nth(choices.below(wide.len().max(1)));
            match held.filter(|_| !choices.one_in(4)) {
                Some(held) => self.narrower(held, choices),
                None => {
                    is_within = false;
                    self.grant(choices)
                }
            }
        });
        (grants.collect(), is_within)
    }
}

fn name(choices: &mut Choices<'_>) -> Name {
    if choices.one_in(2) { Name::Is(choices.of(&NAMES).into()) } else { Name::Any }
}

#[derive(Debug)]
struct Call {
    function: FunctionName<'static>,
    values: [Option<&'static str>; 2],
}

impl Call {
    fn new(choices: &mut Choices<'_>) -> Call {
        let function = FunctionName {
            namespace: choices.of(&NAMES),
            package: choices.of(&NAMES),
            major: [1, 2][choices.below(2)],
            interface: choices.of(&NAMES),
            function: choices.of(&FUNCTIONS),
        };
        let mut value = || if choices.one_in(8) { None } else { Some(choices.of(&VALUES)) };
        Call { function, values: [value(), value()] }
    }

    /// One that this grant could allow: what it names is as it says.
    fn within(grant: &Grant, choices: &mut Choices<'_>) -> Call {
        let mut call = Call::new(choices);
        let as_named = |name: &Name, otherwise| match name {
            Name::Any => otherwise,
            Name::Is(name) => NAMES.into_iter().find(|one| **one == **name).unwrap_or(otherwise),
        };
        let function = &mut call.function;
        function.namespace = as_named(&grant.namespace, function.namespace);
        function.package = as_named(&grant.package, function.package);
        function.interface = as_named(&grant.interface, function.interface);
        function.major = grant.major.unwrap_or(function.major);
        function.function = match &grant.function {
            Function::Any => function.function,
            Function::Is(name) => FUNCTIONS.into_iter().find(|one| **one == **name).unwrap(),
            Function::MethodsOf(_) => choices.of(&FUNCTIONS[3..]),
        };
        for argument in &*grant.arguments {
            let fitting: Vec<_> = VALUES.into_iter().filter(|value| argument.pattern.matches(value)).collect();
            if !choices.one_in(4) {
                call.values[usize::from(*argument.name == *"q")] = Some(choices.of(&fitting));
            }
        }
        call
    }

    fn is_allowed(&self, grants: &Grants) -> bool {
        let value_of = |name: &str| match name {
            "p" => self.values[0].map(Cow::from),
            "q" => self.values[1].map(Cow::from),
            _ => None,
        };
        let allowed = grants.allows(&self.function, &value_of);
        assert_eq!(grants.of(&self.function).allows(&value_of), allowed);
        allowed
    }
}

#[derive(Default)]
struct Count(Cell<u32>);

impl Count {
    fn add(&self, counts: bool) -> bool {
        self.0.set(self.0.get() + u32::from(counts));
        counts
    }
}

/// 100,000 random pairs, and chains of three: each list is held by someone, who passes the next one on.
#[test]
fn p2_what_is_passed_on_is_never_more() {
    const PAIRS: u32 = 100_000;
    let source = Source::new();
    let [accepted, refused, chains, calls, allowed, chain_allowed] = [(); 6].map(|()| Count::default());

    let pair = |bytes: Vec<u8>| {
        let mut choices = Choices(bytes.iter());
        let first: Grants = (0..1 + choices.below(3)).map(|_| source.grant(&mut choices)).collect();
        let (wanted, is_within) = source.list(&first, &mut choices);
        let second = match first.narrowed_to(&wanted) {
            Ok(second) => second,
            Err(error) => {
                refused.add(true);
                prop_assert!(!is_within, "{error}");
                prop_assert_eq!(wanted.iter().nth(error.index()), Some(error.grant()));
                let before: Grants = wanted.iter().take(error.index()).cloned().collect();
                prop_assert!(first.narrowed_to(&before).is_ok());
                return Ok(());
            }
        };
        prop_assert_eq!(&second, &wanted);
        accepted.add(!second.is_empty());

        let (wanted, _) = source.list(&second, &mut choices);
        let third = second.narrowed_to(&wanted).ok();
        if let Some(third) = &third {
            chains.add(!third.is_empty());
            prop_assert!(first.narrowed_to(third).is_ok(), "{first:?} covers {second:?}, that {third:?}");
        }
        let last = third.as_ref().filter(|third| !third.is_empty()).unwrap_or(&second);
        for grant in last.iter().cycle().take(4) {
            let call = Call::within(grant, &mut choices);
            calls.add(true);
            if let Some(third) = &third
                && chain_allowed.add(call.is_allowed(third))
            {
                prop_assert!(call.is_allowed(&second), "{call:?}: {third:?} from {second:?}");
            }
            if allowed.add(call.is_allowed(&second)) {
                prop_assert!(call.is_allowed(&first), "{call:?}: {second:?} from {first:?}");
            }
        }
        // and any call at all
        let call = Call::new(&mut choices);
        prop_assert!(!call.is_allowed(&second) || call.is_allowed(&first), "{call:?}: {second:?} from {first:?}");
        Ok(())
    };
    let config = Config { cases: PAIRS, failure_persistence: None, ..Config::default() };
    let bytes = proptest::collection::vec(any::<u8>(), 128);
    TestRunner::new(config).run(&bytes, pair).unwrap_or_else(|error| panic!("{error}"));

    let [accepted, refused, chains] = [accepted, refused, chains].map(|count| count.0.get());
    let [calls, allowed, chain_allowed] = [calls, allowed, chain_allowed].map(|count| count.0.get());
    let counts = format!(
        "{accepted} accepted, {refused} refused, {chains} chains; {calls} calls, {allowed}, {chain_allowed} allowed"
    );
    println!("{counts}");
    assert!(accepted > PAIRS / 4 && refused > PAIRS / 20 && chains > PAIRS / 10, "{counts}");
    assert!(allowed > calls / 2 && chain_allowed > calls / 5, "{counts}");
}

#[test]
fn covers() {
    for (outer, inner) in [
        ("*", "motu:kv/*[a=b]"),
        ("motu:*/*", "motu:kv/store.get"),
        ("motu:kv/*", "motu:kv@1/store.*"),
        ("motu:net/tcp.socket.*", "motu:net/tcp.socket.send"),
        ("motu:net/tcp.*", "motu:net/tcp.socket.*"),
        ("motu:kv/*", "motu:kv/store.get[scope=a]"),
        ("motu:kv/*[scope=*]", "motu:kv/store.get[scope=a]"),
        ("motu:kv/*[scope=a*]", "motu:kv/*[scope=ab*][key=*]"),
        ("motu:kv/*[scope=*a*]", "motu:kv/*[scope=*a*a*]"),
    ] {
        assert!(grant(outer).covers(&grant(inner)), "{outer} over {inner}");
        assert!(!grant(inner).covers(&grant(outer)), "{inner} over {outer}");
    }
    for (outer, inner) in [
        ("motu:kv/store.*", "motu:kv/*.get"),
        ("motu:kv@1/*", "motu:kv@2/*"),
        ("motu:net/tcp.socket.*", "motu:net/tcp.socket"),
        ("motu:net/tcp.socket.*", "motu:net/tcp.sockets.send"),
        ("motu:kv/*[scope=*]", "motu:kv/*[key=*]"),
        ("motu:kv/*[scope=a*]", "motu:kv/*[scope=*a]"),
        ("motu:kv/*[scope=a*a]", "motu:kv/*[scope=a]"),
        (r"motu:kv/*[scope=\*]", "motu:kv/*[scope=a]"),
    ] {
        assert!(!grant(outer).covers(&grant(inner)), "{outer} over {inner}");
        assert!(!grant(inner).covers(&grant(outer)), "{inner} over {outer}");
    }
}

#[test]
fn what_is_not_covered_is_named() {
    let refused = |held: &[&str], wanted: &[&str]| {
        grants(held).narrowed_to(&grants(wanted)).map_err(|error| (error.index(), error.to_string())).unwrap_err()
    };
    assert_eq!(
        refused(&["motu:kv/*", "acme:crm/*"], &["motu:kv/store.*", "motu:*/*", "*"]),
        (1, "the grant \"motu:*/*\" can't be passed on: it goes beyond each of the 2 grants that are held".to_owned())
    );
    assert_eq!(
        refused(&["motu:kv/*[scope=a]"], &["motu:kv/*[scope=a\n*]"]),
        (
            0,
            "the grant \"motu:kv/*[scope=a\\n*]\" can't be passed on: it goes beyond the only grant that is held"
                .to_owned()
        )
    );
    assert_eq!(
        refused(&[], &["a:b/c.d"]),
        (0, "the grant \"a:b/c.d\" can't be passed on: no grant is held".to_owned())
    );
    // not by two together
    let (index, _) = refused(&["motu:kv@1/*", "motu:kv@2/*"], &["motu:kv/*"]);
    assert_eq!(index, 0);
}

#[test]
fn nothing_can_always_be_passed_on() {
    let none = Grants::default();
    assert_eq!(none.narrowed_to(&none).unwrap(), none);
    let list = grants(&["motu:kv/*"]);
    let passed_on = list.narrowed_to(&none).unwrap();
    assert!(!passed_on.allows(&function("motu:kv", 1, "store", "get"), &|_| None));
    assert_eq!(list.narrowed_to(&list).unwrap(), list);
}

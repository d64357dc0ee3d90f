//! Random operations on random places against a map (K7): nobody sees, changes or is charged for another's.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const OWNERS: [&str; 6] = ["a", "ab", "guild:1", "guild:10", "guild:1\u{0}s", "\u{10ffff}"];
const SCOPES: [&str; 5] = ["s", "ss", "notes", "s\u{e000}", "\u{10ffff}"];

#[derive(Clone, Debug)]
enum Step {
    Apply(usize, Vec<Random>),
    Wait(u64),
    Claim(usize),
    SettleOldest,
    DeleteOwner(usize),
}

#[derive(Clone, Debug)]
enum Random {
    Set {
        scope: usize,
        key: Vec<u8>,
        value: Vec<u8>,
        expires: Option<u64>,
        resume: bool,
    },
    Delete {
        scope: usize,
        key: Vec<u8>,
    },
    /// As it is, or with luck not.
    Check {
        scope: usize,
        key: Vec<u8>,
        kind: u8,
        right: bool,
    },
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    // few letters, so that they meet, and are prefixes of each other
    prop::collection::vec(prop::sample::select(vec![0, 1, b'/', b':', b's', 0xfe, 0xff]), 1..4)
}

fn op() -> impl Strategy<Value = Random> {
    let value = prop::collection::vec(any::<u8>(), 0..6);
    prop_oneof![
        4 => (0..5_usize, key(), value, prop::option::of(0..60_u64), any::<bool>())
            .prop_map(|(scope, key, value, expires, resume)| Random::Set { scope, key, value, expires, resume }),
        2 => (0..5_usize, key()).prop_map(|(scope, key)| Random::Delete { scope, key }),
        2 => (0..5_usize, key(), 0..3_u8, prop::bool::weighted(0.9))
            .prop_map(|(scope, key, kind, right)| Random::Check { scope, key, kind, right }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..6_usize, prop::collection::vec(op(), 1..6)).prop_map(|(owner, ops)| Step::Apply(owner, ops)),
        3 => (0..20_u64).prop_map(Step::Wait),
        3 => (0..4_usize).prop_map(Step::Claim),
        3 => Just(Step::SettleOldest),
        1 => (0..6_usize).prop_map(Step::DeleteOwner),
    ]
}

/// Owner and scope by number, and the key.
type At = (usize, usize, Vec<u8>);

#[derive(Clone, Default)]
struct Model {
    entries: BTreeMap<At, Entry>,
    /// By number; whether it was claimed.
    events: BTreeMap<u64, (At, Vec<u8>, bool)>,
    revision: u64,
    now: u64,
}

impl Model {
    fn seen(&self, place: &At) -> Option<&Entry> {
        self.entries.get(place).filter(|entry| entry.expires.is_none_or(|expires| expires > self.now))
    }

    fn usage(&self, owner: usize) -> Usage {
        let cost = |place: &At, value: &[u8]| {
            (SCOPES[place.1].len() + place.2.len() + value.len()) as u64 + Quota::ENTRY_BYTES
        };
        let entries =
            self.entries.iter().filter(|(place, _)| place.0 == owner).map(|(place, entry)| cost(place, &entry.value));
        let events = self.events.values().filter(|event| event.0.0 == owner).map(|event| cost(&event.0, &event.1));
        let costs: Vec<u64> = entries.chain(events).collect();
        Usage { keys: costs.len() as u64, bytes: costs.iter().sum() }
    }

    fn expire(&mut self, place: At, claimed: bool) {
        let entry = self.entries.remove(&place).unwrap();
        self.events.insert(entry.revision, (place, entry.value, claimed));
    }

    /// Does the list, and says what the store must be asked and must answer.
    fn apply(&mut self, owner: usize, ops: &[Random], quota: &Quota) -> (Vec<Op>, Result<Applied, StoreError>) {
        let (before, mut asked, mut revisions, mut conflict) = (self.clone(), Vec::new(), Vec::new(), None);
        for (index, op) in ops.iter().enumerate() {
            let mut given = None;
            asked.push(match op {
                Random::Set { scope: of, key, value, expires, resume } => {
                    let place = (owner, *of, key.clone());
                    let expires = expires.map(|after| self.now + after);
                    if self.entries.contains_key(&place)
                        && self.seen(&place).is_none()
                        && before.entries.get(&place) == self.entries.get(&place)
                    {
                        self.expire(place.clone(), false);
                    }
                    self.revision += 1;
                    given = Some(self.revision);
                    self.entries.insert(
                        place,
                        Entry { value: value.clone(), revision: self.revision, expires, resume: *resume },
                    );
                    Op::Set {
                        scope: scope(SCOPES[*of]),
                        key: key.clone(),
                        value: value.clone(),
                        expires,
                        resume: *resume,
                    }
                }
                Random::Delete { scope: of, key } => {
                    let place = (owner, *of, key.clone());
                    if self.seen(&place).is_some() || before.entries.get(&place) != self.entries.get(&place) {
                        self.entries.remove(&place);
                    }
                    delete(SCOPES[*of], key)
                }
                Random::Check { scope: of, key, kind, right } => {
                    let place = (owner, *of, key.clone());
                    // an entry of this list that is to expire at once is there for the rest of the list
                    let new = before.entries.get(&place) != self.entries.get(&place);
                    let seen = if new { self.entries.get(&place) } else { self.seen(&place) };
                    let expected = match (seen, kind) {
                        (None, _) if *right => Expected::Absent,
                        (None, 0) => Expected::Value(Vec::new()),
                        (None, _) => Expected::Revision(1),
                        (Some(_), 0) if !right => Expected::Absent,
                        (Some(entry), 1) => Expected::Value(if *right {
                            entry.value.clone()
                        } else {
                            [&entry.value[..], b"."].concat()
                        }),
                        (Some(entry), _) => Expected::Revision(entry.revision + u64::from(!right)),
                    };
                    if !right && conflict.is_none() {
                        conflict = Some(index);
                    }
                    check(SCOPES[*of], key, expected)
                }
            });
            revisions.push(given);
        }
        let (was, is) = (before.usage(owner), self.usage(owner));
        let refused = if let Some(index) = conflict {
            StoreError::Conflict { index }
        } else if is.keys > quota.keys && is.keys > was.keys {
            StoreError::Quota { quantity: Quantity::Keys, limit: quota.keys, asked: is.keys }
        } else if is.bytes > quota.bytes && is.bytes > was.bytes {
            StoreError::Quota { quantity: Quantity::Bytes, limit: quota.bytes, asked: is.bytes }
        } else {
            return (asked, Ok(Applied { revisions, ..Applied::default() }));
        };
        *self = before;
        (asked, Err(refused))
    }
}

fn run(steps: Vec<Step>, check_every: usize) {
    let (time, settings) = clock(1_000);
    let store = Local::in_memory(&settings).unwrap();
    let quota = Quota { keys: 12, bytes: 12 * 72, ..Quota::default() };
    let mut model = Model { now: 1_000, ..Model::default() };
    for (count, step) in steps.into_iter().enumerate() {
        match step {
            Step::Wait(ms) => {
                model.now += ms;
                time.store(model.now, Ordering::SeqCst);
            }
            Step::Apply(of, ops) => {
                let (asked, expected) = model.apply(of, &ops, &quota);
                assert_eq!(wait(store.apply(&owner(OWNERS[of]), &quota, asked)), expected);
            }
            Step::Claim(limit) => {
                let claimed: BTreeSet<u64> = wait(store.claim(limit)).unwrap().map(|event| event.number).collect();
                let unclaimed: Vec<u64> =
                    model.events.iter().filter(|(_, event)| !event.2).map(|(number, _)| *number).collect();
                let mut due: Vec<_> =
                    model.entries.iter().filter(|(_, entry)| entry.expires.is_some_and(|at| at <= model.now)).collect();
                due.sort_by_key(|(_, entry)| (entry.expires, entry.revision));
                let expected: BTreeSet<u64> =
                    unclaimed.into_iter().chain(due.iter().map(|(_, entry)| entry.revision)).take(limit).collect();
                assert_eq!(claimed, expected);
                let due: Vec<_> = due
                    .into_iter()
                    .filter(|(_, entry)| claimed.contains(&entry.revision))
                    .map(|(place, _)| place.clone())
                    .collect();
                due.into_iter().for_each(|place| model.expire(place, true));
                model
                    .events
                    .iter_mut()
                    .filter(|(number, _)| claimed.contains(number))
                    .for_each(|(_, event)| event.2 = true);
            }
            Step::SettleOldest => {
                let Some((number, (place, _, _))) = model.events.iter().find(|(_, event)| event.2) else { continue };
                let (number, place) = (*number, place.clone());
                let other = owner(OWNERS[(place.0 + 1) % OWNERS.len()]);
                assert!(wait(store.apply(&other, &quota, vec![Op::Settle { event: number }])).is_err());
                wait(store.apply(&owner(OWNERS[place.0]), &quota, vec![Op::Settle { event: number }])).unwrap();
                model.events.remove(&number);
            }
            Step::DeleteOwner(of) => {
                wait(store.delete_owner(&owner(OWNERS[of]))).unwrap();
                model.entries.retain(|place, _| place.0 != of);
                model.events.retain(|_, event| event.0.0 != of);
            }
        }
        if count % check_every == 0 {
            compare(&store, &model);
        }
    }
    compare(&store, &model);
}

/// All that can be read.
fn compare(store: &Local, model: &Model) {
    for (of, name) in OWNERS.into_iter().enumerate() {
        let who = owner(name);
        assert_eq!(store.usage(&who).unwrap(), model.usage(of));
        for (part, name) in SCOPES.into_iter().enumerate() {
            for prefix in [&b""[..], b"s", b"\xff", b"\xff\xff", b"\0", b"/"] {
                let expected: Vec<_> = model
                    .entries
                    .iter()
                    .filter(|(place, _)| place.0 == of && place.1 == part && place.2.starts_with(prefix))
                    .filter(|(place, _)| model.seen(place).is_some())
                    .map(|(place, entry)| (place.2.clone(), entry.clone()))
                    .collect();
                let page = store.list(&who, &scope(name), &Query { prefix, ..all() }).unwrap();
                assert_eq!((&page.entries, page.more_after), (&expected, None));
                for (key, entry) in page.entries {
                    assert_eq!(store.get(&who, &scope(name), &key).unwrap(), Some(entry));
                }
            }
        }
    }
    let expected: BTreeSet<_> = model
        .entries
        .iter()
        .filter(|(place, entry)| entry.resume && model.seen(place).is_some())
        .map(|(place, entry)| (OWNERS[place.0], SCOPES[place.1], place.2.clone(), entry.revision))
        .collect();
    let found = store.resumes(None, usize::MAX).unwrap();
    let found: Vec<_> =
        found.entries.into_iter().map(|(place, entry)| (place.owner, place.scope, place.key, entry.revision)).collect();
    let found: BTreeSet<_> =
        found.iter().map(|(who, name, key, revision)| (who.as_str(), name.as_str(), key.clone(), *revision)).collect();
    assert_eq!(found, expected);
    let unclaimed = model.events.values().any(|event| !event.2);
    let first = model.entries.values().filter_map(|entry| entry.expires).min();
    assert_eq!(*store.due().borrow(), if unclaimed { Some(0) } else { first });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_a_map_for_each_owner(steps in prop::collection::vec(step(), 1..60)) {
        run(steps, 7);
    }

    #[test]
    fn places_never_meet_and_are_read_back(
        a in (0..6_usize, 0..5_usize, key()), b in (0..6_usize, 0..5_usize, key())
    ) {
        use super::super::row;
        let bytes = |(of, part, key): &At| row::place(&owner(OWNERS[*of]), &scope(SCOPES[*part]), key);
        prop_assert_eq!(bytes(&a) == bytes(&b), a == b);
        let place = row::read_place(&bytes(&a)).unwrap();
        prop_assert_eq!((place.owner.as_str(), place.scope.as_str(), &place.key), (OWNERS[a.0], SCOPES[a.1], &a.2));
        // what one scope's prefix covers is that scope's
        let prefix = row::place(&owner(OWNERS[a.0]), &scope(SCOPES[a.1]), b"");
        let end = row::after_prefix(&prefix).unwrap();
        prop_assert_eq!((prefix..end).contains(&bytes(&b)), (a.0, a.1) == (b.0, b.1));
    }
}

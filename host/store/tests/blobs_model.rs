//! Random changes of blobs against a map (K5, K7): nobody sees, changes or is charged for another's, and no chunk is lost or left.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::blobs::*;
use super::blobs::{bytes, every, range};
use super::*;

const OWNERS: [&str; 5] = ["a", "ab", "guild:1", "guild:1\u{0}s", "\u{10ffff}"];
const SCOPES: [&str; 3] = ["s", "ss", "\u{10ffff}"];
const SIZES: [usize; 7] = [0, 1, 90, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES + 5];

/// Owner, scope, name.
type At = (usize, usize, Vec<u8>);

#[derive(Clone, Debug)]
enum Step {
    Put(At, usize, u64, Option<u64>),
    /// Of the right size, or not.
    Append(At, usize, u64, bool),
    Rename(At, Vec<u8>),
    Delete(At),
    Wait(u64),
    Sweep,
    DeleteOwner(usize),
}

fn a_name() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0, b'/', b's', 0xff]), 1..3)
}

fn at() -> impl Strategy<Value = At> {
    (0..OWNERS.len(), 0..SCOPES.len(), a_name())
}

fn step() -> impl Strategy<Value = Step> {
    let size = || prop::sample::select(SIZES.to_vec());
    prop_oneof![
        8 => (at(), size(), any::<u64>(), prop::option::of(0..50_u64)).prop_map(|(a, s, b, e)| Step::Put(a, s, b, e)),
        5 => (at(), size(), any::<u64>(), prop::bool::weighted(0.8)).prop_map(|(a, s, b, r)| Step::Append(a, s, b, r)),
        4 => (at(), a_name()).prop_map(|(a, to)| Step::Rename(a, to)),
        3 => at().prop_map(Step::Delete),
        3 => (0..30_u64).prop_map(Step::Wait),
        2 => Just(Step::Sweep),
        1 => (0..OWNERS.len()).prop_map(Step::DeleteOwner),
    ]
}

#[derive(Clone, Debug)]
struct Blob {
    bytes: Vec<u8>,
    expires: Option<u64>,
    revision: u64,
}

#[derive(Clone, Default)]
struct Model {
    blobs: BTreeMap<At, Blob>,
    now: u64,
}

impl Model {
    fn sees(&self, at: &At) -> Option<&Blob> {
        self.blobs.get(at).filter(|blob| blob.expires.is_none_or(|expires| expires > self.now))
    }

    fn sweep(&mut self) {
        self.blobs.retain(|_, blob| blob.expires.is_none_or(|expires| expires > self.now));
    }

    fn usage(&self, owner: usize) -> BlobUsage {
        let own = self.blobs.iter().filter(|(at, _)| at.0 == owner);
        let costs: Vec<u64> = own
            .map(|(at, blob)| (SCOPES[at.1].len() + at.2.len() + blob.bytes.len()) as u64 + BlobQuota::BLOB_BYTES)
            .collect();
        BlobUsage { blobs: costs.len() as u64, bytes: costs.iter().sum() }
    }
}

/// The change that a step is, and what the owner has after it, if there is something to change.
fn change(model: &Model, step: &Step) -> Option<(Change, usize, Option<Model>)> {
    let mut after = model.clone();
    let place = |at: &At| (scope(SCOPES[at.1]), Name::new(&at.2).unwrap());
    Some(match step {
        Step::Put(at, size, seed, expires) => {
            let (bytes, expires) = (bytes(*seed, *size), expires.map(|after| model.now + after));
            after.blobs.insert(at.clone(), Blob { bytes: bytes.clone(), expires, revision: 0 });
            let (scope, name) = place(at);
            (Change::Put { scope, name, bytes, content_type: None, expires }, at.0, Some(after))
        }
        Step::Append(at, size, seed, right) => {
            let (more, found) = (bytes(*seed, *size), model.sees(at));
            let before = found.map_or(0, |blob| blob.bytes.len()) + usize::from(!right);
            let (scope, name) = place(at);
            let change = Change::Append { scope, name, bytes: more.clone(), size: before as u64 };
            let fits = found.is_some() && *right;
            if fits {
                after.blobs.get_mut(at)?.bytes.extend(more);
            }
            (change, at.0, fits.then_some(after))
        }
        Step::Rename(at, to) => {
            let ((scope, from), there) = (place(at), model.sees(at).is_some());
            if there {
                let blob = after.blobs.remove(at)?;
                after.blobs.insert((at.0, at.1, to.clone()), blob);
            }
            (Change::Rename { scope, from, to: Name::new(to).unwrap() }, at.0, there.then_some(after))
        }
        Step::Delete(at) => {
            let ((scope, name), there) = (place(at), model.sees(at).is_some());
            after.blobs.remove(at);
            (Change::Delete { scope, name }, at.0, there.then_some(after))
        }
        _ => return None,
    })
}

fn run(steps: Vec<Step>) {
    let (time, settings) = clock(1_000);
    let store = Local::in_memory(&settings).unwrap();
    let quota = BlobQuota { blobs: 4, bytes: 5 * CHUNK_BYTES as u64, ..BlobQuota::default() };
    let mut model = Model { now: 1_000, ..Model::default() };
    for step in steps {
        match &step {
            Step::Wait(ms) => {
                model.now += ms;
                time.store(model.now, Ordering::SeqCst);
            }
            Step::Sweep => {
                assert_eq!(wait(store.claim(1)).unwrap().len(), 0);
                model.sweep();
            }
            Step::DeleteOwner(of) => {
                wait(store.delete_owner(&owner(OWNERS[*of]))).unwrap();
                model.blobs.retain(|at, _| at.0 != *of);
            }
            _ => {
                model.sweep();
                let Some((asked, of, after)) = change(&model, &step) else { continue };
                let who = owner(OWNERS[of]);
                let answer = wait(store.change_blob(&who, &quota, asked));
                match (after, answer) {
                    (Some(after), answer) if quota.allows(model.usage(of), after.usage(of)).is_err() => {
                        let refused = quota.allows(model.usage(of), after.usage(of));
                        assert_eq!(answer.map(drop), refused);
                    }
                    (Some(after), answer) => {
                        assert!(matches!(answer, Ok(Changed::Done(_))), "{step:?}: {answer:?}");
                        model = after;
                    }
                    (None, answer) => {
                        assert!(matches!(answer, Ok(Changed::Absent | Changed::OtherSize(_))), "{step:?}: {answer:?}");
                    }
                }
            }
        }
        compare(&store, &mut model);
    }
    time.store(u64::MAX, Ordering::SeqCst);
    store.swept();
    for of in OWNERS {
        wait(store.delete_owner(&owner(of))).unwrap();
        store.swept();
        assert_eq!(store.blob_usage(&owner(of)).unwrap(), BlobUsage::default());
    }
    assert_eq!((store.chunks(), *store.due().borrow()), (0, None));
}

/// All that can be read. Revisions change when content, name or options did, and are never twice the same.
fn compare(store: &Local, model: &mut Model) {
    let mut revisions = BTreeMap::new();
    for (of, who) in OWNERS.iter().enumerate() {
        let who = owner(who);
        assert_eq!(store.blob_usage(&who).unwrap(), model.usage(of));
        for (part, of_scope) in SCOPES.iter().enumerate() {
            let of_scope = scope(of_scope);
            let listed = store.blobs(&who, &of_scope, &every()).unwrap().blobs;
            let expected: Vec<Vec<u8>> = model
                .blobs
                .keys()
                .filter(|at| (at.0, at.1) == (of, part) && model.sees(at).is_some())
                .map(|at| at.2.clone())
                .collect();
            assert_eq!(listed.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), expected);
            for (name, stat) in listed {
                let found = store.blob(&who, &of_scope, &Name::new(&name).unwrap(), &range(0, None)).unwrap().unwrap();
                let blob = model.blobs.get_mut(&(of, part, name)).unwrap();
                assert_eq!((&found.stat, &found.bytes), (&stat, &blob.bytes));
                assert_eq!(stat.expires, blob.expires);
                blob.revision = stat.revision;
                assert_eq!(revisions.insert(stat.revision, ()), None);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn k5_blobs_are_a_map_for_each_owner(steps in prop::collection::vec(step(), 1..50)) {
        run(steps);
    }
}

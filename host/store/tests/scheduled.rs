//! Random lists of schedules, times, claims and restarts against a map (T2): nothing is lost, made up, charged wrongly, or another's.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::faults::{Disk, FOREVER};
use super::schedules::{START, plan, set_schedule};
use super::*;
use crate::modules::cron::due::{Missed, due};

const OWNERS: [&str; 3] = ["guild:1", "guild:10", "a"];
const NAMES: [&str; 3] = ["n", "nn", "\u{10ffff}"];
const EXPRESSIONS: [&str; 4] = ["* * * * *", "*/7 * * * *", "*/20 * * * * *", "0 2 * * *"];

/// Expression, policy and payload.
type Random = (usize, Missed, u8);

#[derive(Clone, Debug)]
enum Step {
    /// Names, and what they are set to; those without are deleted.
    Apply(usize, Vec<(usize, Option<Random>)>),
    Wait(u64),
    Claim(usize),
    SettleOldest,
    DeleteOwner(usize),
    /// The process ends, and the next one is there after so long.
    Restart(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let missed = prop::sample::select(vec![Missed::Skip, Missed::Once, Missed::All]);
    let op = (0..3_usize, prop::option::weighted(0.8, (0..4_usize, missed, 0..2_u8)));
    prop_oneof![
        6 => (0..3_usize, prop::collection::vec(op, 1..4)).prop_map(|(of, ops)| Step::Apply(of, ops)),
        6 => (0..200_000_u64).prop_map(Step::Wait),
        6 => (0..9_usize).prop_map(Step::Claim),
        4 => Just(Step::SettleOldest),
        1 => (0..3_usize).prop_map(Step::DeleteOwner),
        2 => (0..9_000_000_u64).prop_map(Step::Restart),
    ]
}

/// Owner and name.
type At = (usize, usize);

#[derive(Default)]
struct Model {
    schedules: BTreeMap<At, Scheduled>,
    /// By number: whose, which instant, which attempt, the process that was given it.
    events: BTreeMap<u64, (At, u64, u32, u32)>,
    /// The numbers of the runs that are under way.
    running: BTreeMap<At, u64>,
    /// Runs of schedules that were deleted: whose, and what is charged.
    left: BTreeMap<u64, (usize, u64)>,
    revision: u64,
    now: u64,
    process: u32,
}

impl Model {
    fn set(&mut self, at: At, plan: Plan) -> u64 {
        let before = self.schedules.get(&at);
        if let Some(same) = before.filter(|before| before.plan == plan) {
            return same.revision;
        }
        let kept = before.filter(|before| before.plan.expression == plan.expression);
        let last = kept.map_or(self.now, |before| before.last);
        let next = plan.schedule().unwrap().next(last as i64).map(|next| next as u64);
        self.revision += 1;
        self.schedules.insert(at, Scheduled { plan, revision: self.revision, last, next });
        self.revision
    }

    fn end(&mut self, number: u64) {
        self.events.remove(&number);
        self.left.remove(&number);
        self.running.retain(|_, running| *running != number);
    }

    /// Number and attempt of each event, in their order.
    fn claim(&mut self, limit: usize) -> Vec<(u64, u32)> {
        let mut claimed = Vec::new();
        let mut unclaimed: Vec<_> = self.events.iter_mut().filter(|(_, event)| event.3 < self.process).collect();
        unclaimed.sort_by_key(|(number, event)| (event.3, **number));
        for (number, (.., attempt, given)) in unclaimed.into_iter().take(limit) {
            (*attempt, *given) = (*attempt + 1, self.process);
            claimed.push((*number, *attempt));
        }
        // each is work, though it may come to no event
        for _ in claimed.len()..limit {
            let idle = self.schedules.iter_mut().filter(|(at, _)| !self.running.contains_key(at));
            let first = idle.filter(|(_, found)| found.next.is_some_and(|next| next <= self.now));
            let Some((at, first)) = first.min_by_key(|(_, found)| (found.next, found.revision)) else { break };
            if claimed.len() >= limit {
                break;
            }
            let schedule = first.plan.schedule().unwrap();
            let due = due(&schedule, first.plan.missed, first.last as i64, self.now as i64, 1);
            (first.last, first.next) = (due.last as u64, due.next.map(|next| next as u64));
            for run in due.runs {
                self.revision += 1;
                self.events.insert(self.revision, (*at, run.at as u64, 1, self.process));
                self.running.insert(*at, self.revision);
                claimed.push((self.revision, 1));
            }
        }
        claimed
    }
}

fn cost(name: &str, found: &Scheduled) -> u64 {
    (name.len() + found.plan.bytes()) as u64 + Quota::ENTRY_BYTES
}

fn run(steps: Vec<Step>) {
    let (time, settings) = clock(START);
    // all that was missed is counted at once, so that nothing comes in between
    let settings = Settings { looks: u32::MAX, ..settings };
    let disk = Disk::new(FOREVER, false);
    let mut store = disk.open_with(&settings).unwrap();
    let mut model = Model { now: START, ..Model::default() };
    let mut handed_out = BTreeSet::new();
    for step in steps {
        match step {
            Step::Wait(ms) => model.now += ms,
            Step::Restart(ms) => {
                drop(store);
                model.now += ms;
                store = disk.open_with(&settings).unwrap();
                model.process += 1;
            }
            Step::Apply(of, ops) => {
                let (mut asked, mut revisions) = (Vec::new(), Vec::new());
                let before = model.schedules.clone();
                for (name, set) in ops {
                    if let Some((expression, missed, payload)) = set {
                        let plan = Plan { payload: vec![payload], ..plan(EXPRESSIONS[expression], missed) };
                        asked.push(set_schedule(NAMES[name], &plan));
                        revisions.push(Some(model.set((of, name), plan)));
                    } else {
                        asked.push(Op::DeleteSchedule { name: NAMES[name].into() });
                        revisions.push(None);
                        model.schedules.remove(&(of, name));
                    }
                }
                for (at, number) in model.running.extract_if(.., |at, _| !model.schedules.contains_key(at)) {
                    model.left.insert(number, (of, cost(NAMES[at.1], &before[&at])));
                }
                assert_eq!(store.done(&owner(OWNERS[of]), asked).unwrap(), Applied { revisions, ..Applied::default() });
            }
            Step::Claim(limit) => {
                let claimed: Vec<Event> = wait(store.claim(limit)).unwrap().collect();
                let told: Vec<_> = claimed.iter().map(|event| (event.number, event.attempt)).collect();
                assert_eq!(told, model.claim(limit));
                for event in claimed {
                    let ((of, name), at, ..) = model.events[&event.number];
                    let place = (event.place.owner.as_str(), event.place.key.as_slice());
                    assert_eq!(place, (OWNERS[of], NAMES[name].as_bytes()));
                    assert!(event.run.unwrap().at == at && at <= model.now, "early");
                    assert!(handed_out.insert((event.number, event.attempt)), "twice in one process");
                }
            }
            Step::SettleOldest => {
                let Some((number, event)) = model.events.iter().find(|(_, event)| event.3 == model.process) else {
                    continue;
                };
                let (number, (of, _)) = (*number, event.0);
                let settle = || vec![Op::Settle { event: number }];
                assert!(store.done(&owner(OWNERS[(of + 1) % OWNERS.len()]), settle()).is_err());
                store.done(&owner(OWNERS[of]), settle()).unwrap();
                assert!(store.done(&owner(OWNERS[of]), settle()).is_err());
                model.end(number);
            }
            Step::DeleteOwner(of) => {
                wait(store.delete_owner(&owner(OWNERS[of]))).unwrap();
                model.schedules.retain(|at, _| at.0 != of);
                model.events.retain(|_, event| event.0.0 != of);
                model.running.retain(|at, _| at.0 != of);
                model.left.retain(|_, left| left.0 != of);
            }
        }
        time.store(model.now, Ordering::SeqCst);
        compare(&store, &model);
    }
}

fn compare(store: &Local, model: &Model) {
    for (of, name) in OWNERS.into_iter().enumerate() {
        let who = owner(name);
        let mut expected: Vec<_> = model.schedules.iter().filter(|(at, _)| at.0 == of).collect();
        expected.sort_by_key(|(at, _)| NAMES[at.1]);
        let expected: Vec<_> =
            expected.into_iter().map(|(at, found)| (NAMES[at.1].to_owned(), found.clone())).collect();
        let left: Vec<_> = model.left.values().filter(|left| left.0 == of).map(|left| left.1).collect();
        let bytes = expected.iter().map(|(name, found)| cost(name, found)).chain(left.iter().copied());
        let usage = Usage { keys: (expected.len() + left.len()) as u64, bytes: bytes.sum() };
        assert_eq!(store.schedules_usage(&who).unwrap(), usage);
        assert_eq!(store.usage(&who).unwrap(), Usage::default());
        for (name, found) in &expected {
            assert_eq!(store.schedule(&who, name).unwrap().as_ref(), Some(found));
        }
        assert_eq!(store.schedules(&who, None).unwrap(), expected);
    }
    let unclaimed = model.events.values().any(|event| event.3 < model.process);
    let idle = model.schedules.iter().filter(|(at, _)| !model.running.contains_key(at));
    let first = idle.filter_map(|(_, found)| found.next).min();
    assert_eq!(*store.due().borrow(), if unclaimed { Some(0) } else { first });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn t2_schedules_are_a_map_for_each_owner_across_restarts(steps in prop::collection::vec(step(), 1..60)) {
        run(steps);
    }
}

//! Turns: never more than there are, nobody is left out, and nothing is left behind.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[test]
fn one_that_asks_often_keeps_nobody_waiting() {
    let mut turns = Turns::new(4, 2);
    (0..100).for_each(|n| turns.put(&"greedy", n));
    let first: Vec<_> = std::iter::from_fn(|| turns.next()).collect();
    assert_eq!(first, [("greedy", 0), ("greedy", 1)], "no more than are its own");
    turns.put(&"modest", 0);
    assert_eq!(turns.next(), Some(("modest", 0)));
    // all places are taken: turns go round
    turns.put(&"other", 0);
    assert_eq!(turns.next(), Some(("other", 0)));
    (1..4).for_each(|n| turns.put(&"modest", n));
    assert_eq!(turns.next(), None);
    for wanted in [("modest", 1), ("greedy", 2)] {
        turns.leave(&"greedy");
        assert_eq!((turns.next(), turns.next()), (Some(wanted), None));
    }
}

proptest! {
    /// As a list of who has what and who waits has it.
    #[test]
    fn places_are_never_more_and_nobody_waits_for_one_that_is_free(
        places in 1..6u32,
        each in 1..4u32,
        steps in prop::collection::vec((0..5u8, any::<bool>()), 1..200),
    ) {
        let mut turns = Turns::new(places, each);
        let (mut has, mut waits) = (HashMap::<u8, u32>::new(), HashMap::<u8, VecDeque<usize>>::new());
        let number = |of: &HashMap<u8, u32>, key: u8| of.get(&key).copied().unwrap_or_default();
        for (step, (key, comes)) in steps.iter().enumerate() {
            if *comes {
                turns.put(key, step);
                waits.entry(*key).or_default().push_back(step);
            } else if number(&has, *key) > 0 {
                turns.leave(key);
                *has.get_mut(key).unwrap() -= 1;
            }
            while let Some((key, what)) = turns.next() {
                prop_assert_eq!(waits.get_mut(&key).unwrap().pop_front(), Some(what), "its own are in their order");
                *has.entry(key).or_default() += 1;
                prop_assert!(number(&has, key) <= each);
            }
            let taken: u32 = has.values().sum();
            prop_assert!(taken <= places);
            let could = waits.iter().any(|(key, waits)| !waits.is_empty() && number(&has, *key) < each);
            prop_assert!(taken == places || !could, "a place is free, and somebody waits");
        }
        for (key, mut has) in has {
            while has > 0 {
                turns.leave(&key);
                has -= 1;
                while let Some((key, _)) = turns.next() {
                    turns.leave(&key);
                }
            }
        }
        prop_assert!(turns.is_empty());
    }
}

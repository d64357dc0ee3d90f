//! The bytes of a blob in memory: whatever pieces they come in, they are the bytes.

use proptest::prelude::*;

use super::super::content::{Content, More};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Grown by any pieces, each part of it is what it would be of one run of bytes, also for who reads meanwhile.
    #[test]
    fn k5_grown_by_pieces(
        first in 0usize..200_000,
        more in proptest::collection::vec(prop_oneof![0usize..10, 0usize..70_000, 65_530usize..65_540, Just(131_072)], 0..12),
        ranges in proptest::collection::vec((0u64..500_000, 0u64..500_000), 8),
    ) {
        let bytes = |from: usize, len: usize| (from..from + len).map(|at| (at % 251) as u8).collect::<Vec<u8>>();
        let mut model = bytes(0, first);
        let mut content = Content::new(model.clone());
        for len in more {
            let (before, was) = (content.clone(), model.len());
            let added = bytes(was, len);
            content.add(More::new(&added, was as u64));
            model.extend_from_slice(&added);
            prop_assert!(before.part(0, u64::MAX) == model[..was]);
        }
        prop_assert!(content.part(0, u64::MAX) == model);
        for (start, end) in ranges {
            let [from, to] = [start, end].map(|at| (at as usize).min(model.len()));
            prop_assert!(content.part(start, end) == model.get(from..to).unwrap_or_default(), "{start} to {end}");
        }
    }
}

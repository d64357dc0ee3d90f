//! Data that is made to be dear.

use super::super::compress::compress;
use super::super::decompress::decompress;
use super::super::price;
use super::super::types::Format::{Deflate, Gzip};
use super::super::work::{Step, Work};
use super::{PLENTY, done, empty_blocks, steps, wrong};

/// A gzip file of about 1 MiB that becomes about 1 GiB: members of 16 MiB of zeros.
pub(super) fn bomb() -> Vec<u8> {
    let member = done(compress(Gzip, vec![0; 16 << 20], Some(9), PLENTY)).unwrap().0;
    assert!(member.len() < 17 << 10, "{}", member.len());
    member.repeat(64)
}

#[test]
fn a_bomb_is_ended_at_the_limit() {
    let bomb = bomb();
    let (result, fuel, _) = steps(decompress(Gzip, bomb.clone(), Some(1 << 20), PLENTY).unwrap());
    wrong(result, "the gzip data becomes more than 1048576 bytes, the limit of this call: raise it");
    // what was made is paid, and no more
    let made = price::DECOMPRESS.cost(2000, 1 << 20);
    assert!(fuel >= price::DECOMPRESS.cost(0, 1 << 20) && fuel < made + 10 * price::BLOCK, "{fuel}");
    let (result, ..) = steps(decompress(Gzip, bomb.clone(), Some(u32::MAX), 1 << 20).unwrap());
    wrong(result, "more than 1048576 bytes, the most that can be returned at once");
    wrong(done(decompress(Gzip, bomb, None, 1 << 20)), "the most that can be returned at once");
}

#[test]
fn the_limit_is_exact() {
    for size in [0, 1, 16 << 10, (16 << 10) + 1, 100_000] {
        let data = done(compress(Gzip, vec![7; size], None, PLENTY)).unwrap().0;
        let limit = u32::try_from(size).unwrap();
        assert_eq!(done(decompress(Gzip, data.clone(), Some(limit), PLENTY)).unwrap().0.len(), size);
        assert_eq!(done(decompress(Gzip, data.clone(), None, size)).unwrap().0.len(), size);
        if size > 0 {
            wrong(done(decompress(Gzip, data.clone(), Some(limit - 1), PLENTY)), "the limit of this call");
            wrong(done(decompress(Gzip, data, None, size - 1)), "the most that can be returned at once");
        }
    }
    // nothing more comes, but blocks and members with nothing in them
    let mut data = vec![0, 3, 0, 0xfc, 0xff, 1, 2, 3];
    data.extend(empty_blocks(100));
    assert_eq!(done(decompress(Deflate, data, Some(3), PLENTY)).unwrap().0, [1, 2, 3]);
    let mut members = done(compress(Gzip, vec![1, 2, 3], None, PLENTY)).unwrap().0;
    members.extend(done(compress(Gzip, Vec::new(), None, PLENTY)).unwrap().0);
    assert_eq!(done(decompress(Gzip, members, Some(3), PLENTY)).unwrap().0, [1, 2, 3]);
}

#[test]
fn empty_blocks_and_members_are_paid() {
    let (result, fuel, count) = steps(decompress(Deflate, empty_blocks(1000), None, PLENTY).unwrap());
    assert!(result.unwrap().0.is_empty());
    assert!(fuel >= 1000 * price::BLOCK && count >= 90, "{fuel} in {count} steps");
    let member = done(compress(Gzip, Vec::new(), None, PLENTY)).unwrap().0;
    let (result, fuel, count) = steps(decompress(Gzip, member.repeat(1000), None, PLENTY).unwrap());
    assert!(result.unwrap().0.is_empty());
    assert!(fuel >= 1000 * price::BLOCK && count >= 90, "{fuel} in {count} steps");
}

#[test]
fn the_same_arguments_cost_the_same() {
    let bomb = bomb();
    let fuel = || steps(decompress(Gzip, bomb.clone(), Some(1 << 20), PLENTY).unwrap()).1;
    assert_eq!(fuel(), fuel());
}

#[test]
fn no_step_makes_more_than_a_slice() {
    let data = done(compress(Deflate, vec![0; 8 << 20], Some(9), PLENTY)).unwrap().0;
    let mut work = decompress(Deflate, data, None, PLENTY).unwrap();
    loop {
        let before = work.fuel();
        let step = work.step().unwrap();
        assert!(work.fuel() - before < 5_000_000, "{}", work.fuel() - before);
        if matches!(step, Step::Done(_)) {
            break;
        }
    }
}

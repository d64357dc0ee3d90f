use std::hint::black_box;
use std::time::Instant;

use super::{ALL, Some3, function, of, wire};
use crate::wit::{arguments, parse, result};

/// `cargo test --release speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn speed() {
    let best = |what: &str, run: &dyn Fn()| {
        let each = (0..20).map(|_| {
            let start = Instant::now();
            (0..100_000).for_each(|_| run());
            start.elapsed().as_nanos() / 100_000
        });
        println!("{what}: {} ns", each.min().unwrap());
    };
    let f = of("f: func(a: string, b: u32) -> u32;");
    let bytes = wire(&["abc".into(), 5.into()]);
    best("(string, u32) in", &|| drop(black_box(arguments::<(String, u32)>(&f, black_box(&bytes), &Some3))));
    best("u32 out", &|| drop(black_box(result(&f, black_box(&5u32), 32, 1000))));
    let package = parse(ALL).unwrap();
    let find = function(&package, "crm.count");
    let rows = vec![vec!["abc".to_owned(); 10]; 10];
    best("10 rows of 10 strings out", &|| drop(black_box(result(&find, black_box(&rows), 32, 100_000))));
}

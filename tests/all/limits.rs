//! M3: no limit can be caught, renewed or postponed by a script, and after one the next event is answered by a fresh VM.

mod depth;
mod heap;
mod library;
mod memory;
mod named;
mod nesting;
mod odd;
mod uncatchable;

pub(crate) const CHILDREN: &[crate::child::Body] = memory::CHILDREN;

pub(crate) fn trials() -> Vec<libtest_mimic::Trial> {
    [
        depth::trials(),
        heap::trials(),
        library::trials(),
        memory::trials(),
        named::trials(),
        nesting::trials(),
        odd::trials(),
        uncatchable::trials(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

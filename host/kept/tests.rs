//! An event ends with what its handler wrote, or else with its handler, whatever becomes of the list.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use super::*;
use crate::store::Expected;

fn scope() -> Scope {
    Scope::new("s").unwrap()
}

fn set(key: &[u8]) -> Op {
    Op::Set { scope: scope(), key: key.to_vec(), value: b"v".to_vec(), expires: None, resume: false }
}

/// An entry that expired long ago is under way, and its handler's first list is this one. The handler ends when that was
/// sent, and gives it up or not. Says what came of the list if it didn't, how many entries there are, and whether the event is there.
fn ends_after_sending(ops: Vec<Op>, gives_up: bool) -> (Option<Result<(), StoreError>>, u64, bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (kept, me) = (Kept::open(None, Clock::default(), |_, _| ()).unwrap(), Owner::new("guild:1").unwrap());
        kept.runtime.set(Handle::current()).unwrap();
        let entry = Op::Set { scope: scope(), key: b"k".to_vec(), value: vec![], expires: Some(1), resume: false };
        kept.store.apply(&me, &Quota::default(), vec![entry]).await.unwrap();
        let number = kept.store.claim(1).await.unwrap().next().unwrap().number;
        kept.unsettled().insert(number, Settled::default());
        let quota = Quota::default();
        let mut list = Box::pin(kept.change(Some(number), &me, &quota, ops));
        assert!(poll_fn(|context| Poll::Ready(list.as_mut().poll(context).is_pending())).await);
        let list = if gives_up { None } else { Some(list) };
        kept.settle(&me, number).await.unwrap();
        let came_to = match list {
            Some(list) => Some(list.await.map(drop)),
            None => None,
        };
        (came_to, kept.store.usage(&me).unwrap().keys, kept.store.event(number).unwrap().is_some())
    })
}

#[test]
fn an_event_whose_handlers_list_is_done_is_settled_with_it() {
    assert_eq!(ends_after_sending(vec![set(b"a")], false), (Some(Ok(())), 1, false));
    assert_eq!(ends_after_sending(vec![set(b"a")], true), (None, 1, false));
}

#[test]
fn an_event_whose_handlers_list_is_refused_is_settled_when_the_handler_has_ended() {
    let never = || Op::Check { scope: scope(), key: b"a".to_vec(), expected: Expected::Revision(1) };
    let refused = Err(StoreError::Conflict { index: 1 });
    assert_eq!(ends_after_sending(vec![set(b"b"), never()], false), (Some(refused), 0, false));
    assert_eq!(ends_after_sending(vec![set(b"b"), never()], true), (None, 0, false));
}

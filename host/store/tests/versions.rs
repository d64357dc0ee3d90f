//! Schedules in a database that another version of this program wrote, or will read.

use redb::{ReadableDatabase, TableDefinition};

use super::schedules::{MINUTE, START, plan, set_schedule};
use super::*;
use crate::modules::cron::due::Missed;

/// As a version of this program sees it that doesn't know the zone.
#[test]
fn t2_a_schedule_that_cannot_be_read_stops_and_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let me = owner("guild:1");
    let (time, settings) = clock(START);
    let open = || Local::open(folder.path(), &settings).unwrap();
    let every = plan("* * * * *", Missed::Once);
    let store = open();
    store
        .done(
            &me,
            vec![set_schedule("bad", &every), set_schedule("good", &Plan { zone: "UTC".into(), ..every.clone() })],
        )
        .unwrap();
    drop(store);
    let database = redb::Database::open(folder.path().join("data.redb")).unwrap();
    let table: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("schedules");
    let place = super::super::schedules::place(&me, "bad");
    let row = database
        .begin_read()
        .unwrap()
        .open_table(table)
        .unwrap()
        .get(place.as_slice())
        .unwrap()
        .unwrap()
        .value()
        .to_vec();
    let at = row.windows(6).position(|bytes| bytes == b"Berlin").unwrap();
    let row = [&row[..at], b"Brlein", &row[at + 6..]].concat();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(table).unwrap().insert(place.as_slice(), row.as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let store = open();
    time.store(START + MINUTE, Ordering::SeqCst);
    let events: Vec<_> = wait(store.claim(10)).unwrap().collect();
    assert_eq!(events.iter().map(|event| event.place.key.as_slice()).collect::<Vec<_>>(), [b"good"]);
    store.done(&me, vec![Op::Settle { event: events[0].number }]).unwrap();
    assert_eq!(*store.due().borrow(), Some(START + 2 * MINUTE));
    assert_eq!(store.schedule(&me, "bad").unwrap().unwrap().next, None);
    store.done(&me, vec![set_schedule("bad", &every)]).unwrap();
    assert_eq!(store.schedule(&me, "bad").unwrap().unwrap().next, Some(START + 2 * MINUTE));
    store.done(&me, vec![Op::DeleteSchedule { name: "bad".into() }]).unwrap();
}

#[test]
fn t2_a_store_from_before_there_were_schedules_is_given_their_tables() {
    let folder = tempfile::tempdir().unwrap();
    let me = owner("guild:1");
    let (_, settings) = clock(START);
    let open = || Local::open(folder.path(), &settings).unwrap();
    open().done(&me, vec![set("s", b"k", b"v")]).unwrap();
    let database = redb::Database::open(folder.path().join("data.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let bytes = |name| TableDefinition::<'_, &[u8], &[u8]>::new(name);
    transaction.delete_table(bytes("schedules")).unwrap();
    transaction.delete_table(TableDefinition::<'_, (u64, u64), &[u8]>::new("runs")).unwrap();
    transaction.delete_table(TableDefinition::<'_, &str, (u64, u64)>::new("schedules usage")).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let store = open();
    assert_eq!((store.value(&me, "s", b"k"), store.schedules(&me, None).unwrap()), (Some(b"v".to_vec()), vec![]));
    store.done(&me, vec![set_schedule("a", &plan("* * * * *", Missed::Once))]).unwrap();
    assert_eq!(*store.due().borrow(), Some(START + MINUTE));
}

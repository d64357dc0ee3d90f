//! Opening: what is ours, what isn't, who may read it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use redb::TableDefinition;

use super::*;

fn refused(path: &std::path::Path) -> OpenError {
    Local::open(path, &Settings::default()).err().expect("it opens")
}

#[test]
fn what_is_not_ours_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    // a folder of something else
    fs::write(folder.path().join("diary.txt"), "mine").unwrap();
    assert!(matches!(refused(folder.path()), OpenError::NotOurs(_)));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    // not a folder
    let error = refused(&folder.path().join("diary.txt"));
    assert!(matches!(error, OpenError::NoFolder(_)), "{error}");
    // files that are no database, or none of ours
    let inner = folder.path().join("kv");
    fs::create_dir(&inner).unwrap();
    let data = inner.join("data.redb");
    fs::write(&data, vec![b'x'; 10_000]).unwrap();
    assert!(matches!(refused(&inner), OpenError::NotOurs(_)));
    assert_eq!(fs::read(&data).unwrap(), vec![b'x'; 10_000]);
    fs::write(&data, b"").unwrap();
    assert!(matches!(refused(&inner), OpenError::NotOurs(_)));
    fs::remove_file(&data).unwrap();
    let other: TableDefinition<'_, u64, u64> = TableDefinition::new("theirs");
    let database = redb::Database::create(&data).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(other).unwrap().insert(1, 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(matches!(refused(&inner), OpenError::NotOurs(_)));
}

#[test]
fn a_later_format_is_refused_with_both_numbers() {
    let folder = tempfile::tempdir().unwrap();
    drop(Local::open(folder.path(), &Settings::default()).unwrap());
    let database = redb::Database::open(folder.path().join("data.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta: TableDefinition<'_, &str, u64> = TableDefinition::new("motu");
    transaction.open_table(meta).unwrap().insert("format", 3).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::Newer { found: 3, known: 2, .. }), "{error}");
    assert!(error.to_string().contains("has format 3, and this Motu knows up to 2"));
}

#[test]
fn only_the_user_can_read_it_and_one_at_a_time_opens_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/kv");
    let store = Local::open(&path, &Settings::default()).unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for item in fs::read_dir(&path).unwrap() {
        assert_eq!(mode(&item.unwrap().path()), 0o600);
    }
    let error = refused(&path);
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    store.done(&owner("user:1"), vec![set("s", b"k", b"v")]).unwrap();
    drop(store);
    // what a process that was killed while it made a database leaves is no hindrance
    fs::write(path.join("data.redb.new"), b"half").unwrap();
    let store = Local::open(&path, &Settings::default()).unwrap();
    assert_eq!(store.value(&owner("user:1"), "s", b"k").as_deref(), Some(&b"v"[..]));
    drop(store);
    fs::remove_file(path.join("data.redb")).unwrap();
    let store = Local::open(&path, &Settings::default()).unwrap();
    assert_eq!(store.value(&owner("user:1"), "s", b"k"), None);
    assert!(!path.join("data.redb.new").exists());
}

#[test]
fn a_damaged_file_is_an_error_or_repaired_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let me = owner("user:1");
    let store = Local::open(folder.path(), &Settings::default()).unwrap();
    for part in 0..5 {
        store.done(&me, (0..100).map(|i| set("s", format!("{part}-{i}").as_bytes(), &[9; 200])).collect()).unwrap();
    }
    drop(store);
    let data = folder.path().join("data.redb");
    let good = fs::read(&data).unwrap();
    let mut bad: Vec<Vec<u8>> = [10, 500, 4_096, good.len() / 2].iter().map(|end| good[..*end].to_vec()).collect();
    for page in 0..good.len() / 4_096 {
        let mut bytes = good.clone();
        bytes[page * 4_096 + 64..][..256].fill(0xaa);
        bad.push(bytes);
    }
    let verified = Settings { verify: true, ..Settings::default() };
    for settings in [Settings::default(), verified] {
        let (mut opened, mut refused) = (0, 0);
        for bytes in &bad {
            fs::write(&data, bytes).unwrap();
            let Ok(store) = Local::open(folder.path(), &settings) else {
                refused += 1;
                continue;
            };
            opened += 1;
            let page = store.list(&me, &scope("s"), &all());
            if settings.verify {
                let entries = page.unwrap().entries;
                assert!(entries.len() == 500 && entries.iter().all(|(_, entry)| entry.value == [9; 200]));
                assert_eq!(store.usage(&me).unwrap().keys, 500);
            }
            for part in 0..5 {
                let _ = store.get(&me, &scope("s"), format!("{part}-7").as_bytes());
                let _ = store.done(&me, vec![set("s", format!("{part}-8").as_bytes(), b"v")]);
            }
        }
        println!("verify: {}; {opened} were opened, {refused} refused", settings.verify);
        assert!(refused > 0);
    }
}

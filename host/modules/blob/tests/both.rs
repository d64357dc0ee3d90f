//! One set of names over disk and memory; links from end to end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::both::{Both, New, Page, Place, Quotas};
use super::super::link::LinkError;
use super::super::memory::Memory;
use super::*;
use crate::store::blobs::{BlobQuota, BlobUsage, Changed, ContentType, Names};
use crate::store::{Local, Settings, Store, StoreError};

fn wait<T>(pending: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(pending)
}

struct Lab {
    time: Arc<AtomicU64>,
    both: Both,
    quotas: Quotas,
}

fn lab() -> Lab {
    let (time, clock) = clock(1_000);
    let settings = Settings { clock: clock.clone(), ..Settings::default() };
    let disk: Arc<dyn Store> = Arc::new(Local::in_memory(&settings).unwrap());
    let both = Both { disk, memory: Arc::new(Memory::new(clock, Memory::BYTES_MAX)) };
    Lab { time, both, quotas: Quotas { disk: BlobQuota::default(), memory: Memory::QUOTA } }
}

fn place(of: &str) -> Place {
    Place { owner: owner("guild:1"), scope: scope("s"), name: name(of) }
}

impl Lab {
    fn put(&self, of: &str, bytes: &str, memory: bool, expires: Option<u64>) -> Result<(), StoreError> {
        let new =
            New { bytes: bytes.into(), content_type: Some(ContentType::new("text/plain").unwrap()), expires, memory };
        wait(self.both.put(&place(of), &self.quotas, new)).map(drop)
    }

    fn get(&self, of: &str) -> Option<(String, bool)> {
        let kept = self.both.get(&place(of), &all()).unwrap()?;
        Some((String::from_utf8(kept.of.bytes).unwrap(), kept.memory))
    }

    fn open(&self, token: &str) -> Result<Option<String>, LinkError> {
        let now = UNIX_EPOCH + Duration::from_millis(self.time.load(Ordering::SeqCst));
        let part = self.both.open_link(token, now, &all()).unwrap()?;
        Ok(part.map(|part| String::from_utf8(part.bytes).unwrap()))
    }

    fn link(&self, of: &str, expires: u64, revision: Option<u64>) -> Option<String> {
        wait(self.both.link(&place(of), expires, revision)).unwrap()
    }
}

/// The call is given up as soon as it has been asked for, as the task or the event that made it may end.
#[test]
fn k5_a_put_that_is_given_up_leaves_one_blob_too() {
    let lab = lab();
    let given_up = |what: &dyn Fn()| {
        what();
        lab.put("last", "x", false, None).unwrap(); // behind it in the queue
    };
    lab.put("a", "memory", true, Some(9_000)).unwrap();
    given_up(&|| {
        let new = New { bytes: b"disk".to_vec(), content_type: None, expires: None, memory: false };
        drop(wait(async { tokio::time::timeout(Duration::ZERO, lab.both.put(&place("a"), &lab.quotas, new)).await }));
    });
    assert_eq!(lab.both.memory.usage(&owner("guild:1")).blobs, 0);
    assert_eq!(lab.get("a"), Some(("disk".into(), false)));

    lab.put("b", "memory", true, Some(9_000)).unwrap();
    given_up(&|| {
        let rename =
            async { tokio::time::timeout(Duration::ZERO, lab.both.rename(&place("a"), &name("b"), &lab.quotas)).await };
        drop(wait(rename));
    });
    assert_eq!(lab.both.memory.usage(&owner("guild:1")).blobs, 0);
    assert_eq!((lab.get("a"), lab.get("b")), (None, Some(("disk".into(), false))));
}

#[test]
fn k5_a_name_has_one_blob() {
    let lab = lab();
    let refused = lab.put("a", "m", true, None).unwrap_err().to_string();
    assert!(refused.contains("give it a ttl"), "{refused}");
    lab.put("a", "m", true, Some(9_000)).unwrap();
    assert_eq!(lab.get("a"), Some(("m".into(), true)));
    lab.put("a", "d", false, None).unwrap();
    assert_eq!(lab.get("a"), Some(("d".into(), false)));
    assert_eq!(lab.both.usage(&owner("guild:1")).unwrap().1, BlobUsage::default());
    let refused = lab.put("a", "m", true, Some(9_000)).unwrap_err().to_string();
    assert!(refused.contains("Name(a) in the scope s is a blob on disk") && refused.contains("delete it first"));
    // renamed, either takes the place of one in memory
    lab.put("m", "m", true, Some(9_000)).unwrap();
    assert!(wait(lab.both.rename(&place("m"), &name("a"), &lab.quotas)).is_err());
    assert!(matches!(wait(lab.both.rename(&place("a"), &name("m"), &lab.quotas)), Ok(Changed::Done(_))));
    assert_eq!((lab.get("a"), lab.get("m")), (None, Some(("d".into(), false))));
    assert!(wait(lab.both.delete(&place("m"), &lab.quotas)).unwrap());
    assert!(!wait(lab.both.delete(&place("m"), &lab.quotas)).unwrap());
    assert_eq!(lab.get("m"), None);
    // each grows where it is
    lab.put("x", "1", true, Some(9_000)).unwrap();
    lab.put("y", "1", false, None).unwrap();
    for of in ["x", "y", "z"] {
        let added = wait(lab.both.append(&place(of), &lab.quotas, b"2".into(), 1)).unwrap();
        assert_eq!(matches!(added, Changed::Done(_)), of != "z");
    }
    assert_eq!((lab.get("x"), lab.get("y")), (Some(("12".into(), true)), Some(("12".into(), false))));
    lab.time.store(9_000, Ordering::SeqCst);
    assert_eq!((lab.get("x"), lab.get("y").is_some()), (None, true));
}

#[test]
fn k5_a_listing_has_both_kinds_in_order() {
    let lab = lab();
    let mut expected = Vec::new();
    for i in 0..40_u32 {
        let (of, memory) = (format!("n{i:02}"), i % 3 == 0 || (10..20).contains(&i));
        lab.put(&of, "x", memory, Some(if i % 5 == 0 { 1_500 } else { 9_000 })).unwrap();
        if i % 5 != 0 {
            expected.push((of, memory));
        }
    }
    lab.time.store(2_000, Ordering::SeqCst);
    for max in [1, 2, 7, 100] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let query = Names { prefix: b"n", after: after.as_deref(), max };
            let Page { blobs, more_after, .. } = lab.both.list(&owner("guild:1"), &scope("s"), &query).unwrap();
            assert!(blobs.len() <= max);
            seen.extend(blobs.into_iter().map(|(name, kept)| (String::from_utf8(name).unwrap(), kept.memory)));
            after = more_after;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected);
    }
}

#[test]
fn k5_a_link_reads_its_blob_until_it_ends() {
    let lab = lab();
    assert_eq!(lab.link("a", 5_000, None), None);
    lab.put("a", "one", false, None).unwrap();
    lab.put("m", "mem", true, Some(4_000)).unwrap();
    let (any, memory) = (lab.link("a", 5_000, None).unwrap(), lab.link("m", 5_000, None).unwrap());
    let revision = lab.both.get(&place("a"), &all()).unwrap().unwrap().of.stat.revision;
    let this = lab.link("a", 5_000, Some(revision)).unwrap();
    assert_eq!(lab.link("a", 5_000, Some(revision + 1)), None);
    for (token, says) in [(&any, "one"), (&this, "one"), (&memory, "mem")] {
        assert_eq!(lab.open(token), Ok(Some(says.into())));
    }
    // one follows the name, the other doesn't
    lab.put("a", "two", false, None).unwrap();
    assert_eq!((lab.open(&any), lab.open(&this)), (Ok(Some("two".into())), Ok(None)));
    wait(lab.both.delete(&place("a"), &lab.quotas)).unwrap();
    assert_eq!(lab.open(&any), Ok(None));
    lab.put("a", "three", false, None).unwrap();
    // old secrets are good while they are kept
    wait(lab.both.rotate(1)).unwrap();
    let new = lab.link("a", 9_000, None).unwrap();
    assert_eq!((lab.open(&any), lab.open(&new)), (Ok(Some("three".into())), Ok(Some("three".into()))));
    lab.time.store(5_000, Ordering::SeqCst);
    assert_eq!((lab.open(&any), lab.open(&memory)), (Err(LinkError::Expired), Err(LinkError::Expired)));
    wait(lab.both.rotate(0)).unwrap();
    assert_eq!((lab.open(&any), lab.open(&new)), (Err(LinkError::Forged), Err(LinkError::Forged)));
    assert_eq!(lab.both.disk.link_secrets().unwrap().len(), 1);
    assert!(lab.both.open_link("x", SystemTime::now(), &all()).unwrap().is_err());
}

#[test]
fn k5_the_wit_is_one() {
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("blob.wit", include_str!("../blob.wit")).unwrap();
    let interface = resolve.packages[package].interfaces["blobs"];
    let functions: Vec<_> = resolve.interfaces[interface].functions.keys().map(String::as_str).collect();
    assert_eq!(functions, ["put", "append", "get", "stat", "delete", "rename", "list", "link", "usage"]);
    assert!(resolve.interfaces[interface].functions.values().all(|function| function.docs.contents.is_some()));
}

//! Blobs (K5): what is refused, ranges, pieces, quotas to the byte, listings.

use super::super::blobs::*;
use super::super::error::Quantity;
use super::super::local::Local;
use super::faults::{Bus, Disk, FOREVER};
use super::*;

pub(super) fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

pub(super) fn put(of: &str, bytes: &[u8]) -> Change {
    Change::Put { scope: scope("s"), name: name(of), bytes: bytes.to_vec(), content_type: None, expires: None }
}

pub(super) fn put_until(of: &str, bytes: &[u8], expires: u64) -> Change {
    let bytes = bytes.to_vec();
    Change::Put { scope: scope("s"), name: name(of), bytes, content_type: None, expires: Some(expires) }
}

pub(super) fn append(of: &str, bytes: &[u8], size: usize) -> Change {
    Change::Append { scope: scope("s"), name: name(of), bytes: bytes.to_vec(), size: size as u64 }
}

pub(super) fn rename(from: &str, to: &str) -> Change {
    Change::Rename { scope: scope("s"), from: name(from), to: name(to) }
}

pub(super) fn remove(of: &str) -> Change {
    Change::Delete { scope: scope("s"), name: name(of) }
}

pub(super) fn range(offset: u64, length: Option<u64>) -> Range {
    Range { offset, length, bytes_max: u64::MAX }
}

pub(super) fn every() -> Names<'static> {
    Names { prefix: b"", after: None, max: usize::MAX }
}

/// Bytes that differ from place to place.
pub(super) fn bytes(seed: u64, size: usize) -> Vec<u8> {
    (0..size as u64).map(|at| (at.wrapping_mul(at) >> 3).wrapping_add(at).wrapping_add(seed) as u8).collect()
}

impl Local {
    pub(super) fn changed(&self, owner: &Owner, change: Change) -> Result<Changed, StoreError> {
        wait(self.change_blob(owner, &BlobQuota::default(), change))
    }

    pub(super) fn content(&self, owner: &Owner, of: &str) -> Option<Vec<u8>> {
        self.blob(owner, &scope("s"), &name(of), &range(0, None)).unwrap().map(|part| part.bytes)
    }

    /// Frees all that can be freed, as the host does.
    pub(super) fn swept(&self) {
        while *self.due().borrow() == Some(0) {
            assert_eq!(wait(self.claim(0)).unwrap().len(), 0);
        }
    }

    pub(super) fn chunks(&self) -> u64 {
        self.read(|snapshot, _| snapshot.blobs.chunks()).unwrap()
    }
}

pub(super) fn done(changed: Result<Changed, StoreError>) -> Stat {
    match changed {
        Ok(Changed::Done(stat)) => stat,
        other => panic!("{other:?}"),
    }
}

pub(super) fn used(blobs: u64, bytes: u64) -> BlobUsage {
    BlobUsage { blobs, bytes }
}

#[test]
fn k5_what_cannot_be_is_refused_by_name() {
    let store = memory();
    let me = owner("guild:1");
    for (name, says) in [(vec![], "has 0"), (vec![b'n'; 513], "1 to 512 bytes, this one has 513")] {
        assert!(Name::new(&name).unwrap_err().to_string().contains(says));
    }
    assert!(Name::new(&[0xff; 512]).is_ok());
    for wrong in ["", "png", "/", "a/", "/b", "text/html\r\nx: y", "text/h\u{e9}", &"a/".repeat(65), "text/\u{7f}"] {
        assert!(ContentType::new(wrong).is_err(), "{wrong:?}");
    }
    assert!(ContentType::new("text/plain; charset=utf-8").is_ok());
    let most = BlobQuota::CHANGE_BYTES_MAX as usize;
    done(store.changed(&me, put("a", &vec![1; most])));
    let too_much = StoreError::Quota { quantity: Quantity::ChangeBytes, limit: most as u64, asked: most as u64 + 1 };
    assert_eq!(store.changed(&me, put("b", &vec![1; most + 1])).unwrap_err(), too_much);
    assert_eq!(store.changed(&me, append("a", &vec![1; most + 1], most)).unwrap_err(), too_much);
    assert_eq!(store.changed(&me, append("b", b"x", 0)).unwrap(), Changed::Absent);
    assert_eq!(store.changed(&me, append("a", b"x", 7)).unwrap(), Changed::OtherSize(most as u64));
    assert_eq!(store.changed(&me, rename("b", "c")).unwrap(), Changed::Absent);
    assert_eq!(store.changed(&me, remove("b")).unwrap(), Changed::Absent);
    let part = Range { bytes_max: 10, ..range(5, Some(11)) };
    let refused = store.blob(&me, &scope("s"), &name("a"), &part).unwrap_err().to_string();
    assert!(refused.contains("has 11 bytes, and 10 can be read at once"), "{refused}");
}

#[test]
fn k5_every_range_is_what_it_is_of_the_whole() {
    let store = memory();
    let me = owner("guild:1");
    for size in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 17] {
        let whole = bytes(size as u64, size);
        let stat = done(store.changed(&me, put("a", &whole)));
        assert_eq!((stat.size, store.content(&me, "a").as_ref()), (size as u64, Some(&whole)));
        let places = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, size, usize::MAX];
        for offset in places {
            for length in places {
                let part = range(offset as u64, Some(length as u64));
                let part = store.blob(&me, &scope("s"), &name("a"), &part).unwrap().unwrap();
                let start = offset.min(size);
                assert_eq!(part.bytes, &whole[start..start.saturating_add(length).min(size)]);
                assert_eq!(part.stat, stat);
            }
        }
    }
}

#[test]
fn k5_pieces_of_any_size_make_the_whole() {
    let store = memory();
    let me = owner("guild:1");
    let whole = bytes(9, 5 * CHUNK_BYTES);
    done(store.changed(&me, put("a", b"")));
    let (mut size, mut revision) = (0, 0);
    for length in [1, 0, CHUNK_BYTES - 1, 1, CHUNK_BYTES - 2, 2, CHUNK_BYTES + 1, 2 * CHUNK_BYTES - 2] {
        let piece = append("a", &whole[size..size + length], size);
        let stat = done(store.changed(&me, piece.clone()));
        // sent twice, it is added once
        if length > 0 {
            assert_eq!(store.changed(&me, piece).unwrap(), Changed::OtherSize(stat.size));
        }
        size += length;
        assert!(stat.size == size as u64 && stat.revision > revision);
        assert_eq!(store.content(&me, "a").unwrap(), &whole[..size]);
        revision = stat.revision;
    }
    assert_eq!((size, store.chunks()), (whole.len(), 5));
    let renamed = done(store.changed(&me, rename("a", "b")));
    assert!(renamed.revision > revision && renamed.size == size as u64);
    assert_eq!((store.content(&me, "a"), store.content(&me, "b")), (None, Some(whole)));
    assert_eq!(done(store.changed(&me, rename("b", "b"))).size, size as u64);
    assert_eq!(store.blob_usage(&me).unwrap(), used(1, 2 + size as u64 + BlobQuota::BLOB_BYTES));
}

#[test]
fn k5_a_range_reads_its_chunks_alone() {
    let disk = Disk::new(FOREVER, false);
    let settings = Settings { cache_bytes: 0, ..Settings::default() };
    let store = Local::start(Box::new(Bus(disk.clone())), std::path::Path::new("test"), &settings).unwrap();
    let me = owner("guild:1");
    let piece = bytes(1, 4 << 20);
    done(store.changed(&me, put("a", &piece)));
    for size in [4, 8, 12] {
        done(store.changed(&me, append("a", &piece, size << 20)));
    }
    let read = |offset, length| {
        disk.read.store(0, Ordering::SeqCst);
        let part = store.blob(&me, &scope("s"), &name("a"), &range(offset, length)).unwrap().unwrap();
        (part.bytes.len(), disk.read.load(Ordering::SeqCst))
    };
    let chunk = 64_u64 << 10;
    for (offset, length, chunks) in [(0, 0, 0), (9 << 20, 1, 1), (9 << 20, CHUNK_BYTES as u64, 2), (1 << 24, 9, 0)] {
        let (_, bytes) = read(offset, Some(length));
        // beside them: a few pages of 4 KiB on the way down
        assert!((chunks * chunk..chunks * chunk + (64 << 10)).contains(&bytes), "{offset}, {length}: {bytes}");
    }
    let (size, bytes) = read(0, None);
    assert!(size == 16 << 20 && bytes > 16 << 20);
}

#[test]
fn k5_quotas_hold_to_the_byte_and_are_freed_on_delete() {
    let store = memory();
    let (me, other) = (owner("guild:1"), owner("guild:10"));
    let each = 2 + 100 + BlobQuota::BLOB_BYTES;
    let quota = BlobQuota { blobs: 3, bytes: 3 * each, blob_bytes: 100 };
    let change = |change| wait(store.change_blob(&me, &quota, change));
    let over = |quantity, limit, asked| StoreError::Quota { quantity, limit, asked };
    for of in ["a", "b", "c"] {
        done(change(put(of, &[7; 100])));
    }
    assert_eq!(store.blob_usage(&me).unwrap(), used(3, 3 * each));
    assert_eq!(change(put("d", b"")).unwrap_err(), over(Quantity::Blobs, 3, 4));
    assert_eq!(change(put("a", &[7; 101])).unwrap_err(), over(Quantity::BlobBytes, 100, 101));
    assert_eq!(change(append("a", b"x", 100)).unwrap_err(), over(Quantity::BlobBytes, 100, 101));
    // a longer name is more
    assert_eq!(change(rename("a", "aa")).unwrap_err(), over(Quantity::BlobsBytes, 3 * each, 3 * each + 1));
    assert_eq!(store.content(&me, "a").unwrap(), [7; 100]);
    // what is overwritten counts once
    done(change(put("a", &[8; 100])));
    done(change(put("b", &[8; 99])));
    done(change(append("b", b"x", 99)));
    let typed = Change::Put {
        scope: scope("s"),
        name: name("c"),
        bytes: vec![0; 98],
        content_type: Some(ContentType::new("a/b").unwrap()),
        expires: None,
    };
    assert_eq!(change(typed).unwrap_err(), over(Quantity::BlobsBytes, 3 * each, 3 * each + 1));
    assert_eq!(store.blob_usage(&me).unwrap(), used(3, 3 * each));
    assert_eq!(store.blob_usage(&other).unwrap(), used(0, 0));
    done(change(remove("a")));
    assert_eq!(store.blob_usage(&me).unwrap(), used(2, 2 * each));
    done(change(rename("b", "c"))); // in place of it
    assert_eq!(store.blob_usage(&me).unwrap(), used(1, each));
    done(change(put("a", &[9; 100])));
    // lowered below what there is: less is allowed, more is not
    let low = BlobQuota { blobs: 1, bytes: 10, blob_bytes: 100 };
    assert_eq!(
        wait(store.change_blob(&me, &low, append("a", b"", 100))).map(|_| ()),
        Ok(()),
        "nothing more is nothing more"
    );
    done(wait(store.change_blob(&me, &low, put("a", &[1; 50]))));
    assert!(wait(store.change_blob(&me, &low, append("a", b"x", 50))).is_err());
    done(wait(store.change_blob(&me, &low, remove("a"))));
    store.swept();
    assert_eq!(store.chunks(), 1);
}

#[test]
fn k5_listing_by_prefix_goes_on_where_a_page_ended() {
    let (time, settings) = clock(1_000);
    let store = Local::in_memory(&settings).unwrap();
    let me = owner("guild:1");
    let names: Vec<String> = (0..25).map(|i| format!("in/{i:02}")).collect();
    for of in &names {
        done(store.changed(&me, put(of, b"x")));
        done(store.changed(&me, put_until(&format!("{of}-gone"), b"x", 1_500)));
    }
    for of in ["im", "in", "in.", "in0", "io"] {
        done(store.changed(&me, put(of, b"x")));
    }
    done(store.changed(&owner("guild:10"), put("in/other", b"x")));
    time.store(2_000, Ordering::SeqCst);
    for max in [1, 7, 100] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let query = Names { prefix: b"in/", after: after.as_deref(), max };
            let page = store.blobs(&me, &scope("s"), &query).unwrap();
            assert!(page.blobs.len() <= max);
            seen.extend(page.blobs.into_iter().map(|(name, _)| String::from_utf8(name).unwrap()));
            after = page.more_after;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, names);
    }
    for after in [&b"io"[..], b"in/\xff", b"z"] {
        let query = Names { prefix: b"in/", after: Some(after), max: 10 };
        assert_eq!(store.blobs(&me, &scope("s"), &query).unwrap(), Stats::default());
    }
    let query = Names { prefix: b"in/24", after: Some(b"a"), max: 10 };
    assert_eq!(store.blobs(&me, &scope("s"), &query).unwrap().blobs.len(), 1);
}

//! The bundles that are loaded, each once: whoever asks for one that is being loaded waits for the same load.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::oneshot;

use crate::bundle::{Bundle, Digest};
use crate::error::Error;
use crate::load::{Load, Wanted};
use crate::motu::{Bundled, Shared};
use crate::queue::Queue;
use crate::share::Share;
use crate::tenant::Tenant;

/// Loaded bundles, by digest. Failed loads are not cached. An entry lives as long as its bundle is in use; images of tenants'
/// bundles stay longer, within a budget that the tenants share.
pub(crate) struct Bundles {
    entries: Mutex<HashMap<Digest, Entry>>,
    /// Least recently used first.
    kept: Mutex<VecDeque<Kept>>,
    /// What the images that are kept may take, in bytes.
    kept_bytes_max: u64,
    /// How many were begun.
    loads: AtomicU64,
}

struct Kept {
    bundled: Arc<Bundled>,
    /// The tenant that it is charged to: the first that asked for it.
    tenant: Tenant,
}

enum Entry {
    Loading {
        waiters: Vec<Waiter>,
        /// Tells it from one that begins after it has failed.
        number: u64,
        /// None until it has begun: who came before has no turns for it yet.
        load: Option<Weak<Load>>,
        late: Vec<(Arc<Queue>, Share, Wanted)>,
    },
    Loaded(Weak<Bundled>),
}

/// Who is told what a load came to.
pub(crate) struct Waiter {
    /// Whether it still wants to know.
    pub(crate) wanted: Wanted,
    pub(crate) tell: Box<dyn FnOnce(Result<Arc<Bundled>, Error>) + Send>,
}

impl Bundles {
    pub(crate) fn new(kept_bytes_max: u64) -> Bundles {
        Bundles { entries: Mutex::default(), kept: Mutex::default(), kept_bytes_max, loads: AtomicU64::new(0) }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Digest, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a bundle's image for a tenant although nobody may be using it now. Over the budget, images are evicted: the least
    /// recently used of the tenant whose images take most, so that no tenant evicts those of others that take less.
    pub(crate) fn keep(&self, bundled: &Arc<Bundled>, tenant: &Tenant) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kept.iter().position(|other| Arc::ptr_eq(&other.bundled, bundled)).and_then(|at| kept.remove(at));
        kept.push_back(before.unwrap_or_else(|| Kept { bundled: bundled.clone(), tenant: tenant.clone() }));
        let mut bytes: u64 = kept.iter().map(|kept| kept.bundled.image_bytes()).sum();
        let mut gone = Vec::new();
        while bytes > self.kept_bytes_max {
            let Some(evicted) = largest(&kept).and_then(|at| kept.remove(at)) else { break };
            bytes -= evicted.bundled.image_bytes();
            gone.push(evicted);
        }
        drop(kept);
        drop(gone); // outside of the lock
    }

    /// The bundle, if it is loaded.
    pub(crate) fn find(&self, bundle: &Bundle) -> Option<Arc<Bundled>> {
        match self.entries().get(&bundle.digest())? {
            Entry::Loaded(bundled) => bundled.upgrade(),
            Entry::Loading { .. } => None,
        }
    }

    /// The bundle, loaded on this queue unless it is already.
    pub(crate) async fn get(
        shared: &Arc<Shared>,
        queue: &Arc<Queue>,
        share: &Share,
        bundle: &Bundle,
    ) -> Result<Arc<Bundled>, Error> {
        let (sender, answer) = oneshot::channel();
        let sender = Arc::new(Mutex::new(Some(sender)));
        let watched = sender.clone();
        let take = move || sender.lock().unwrap_or_else(PoisonError::into_inner).take();
        let is_open = move |sender: &oneshot::Sender<_>| !sender.is_closed();
        let waiter = Waiter {
            wanted: Arc::new(move || {
                watched.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(is_open)
            }),
            tell: Box::new(move |loaded| {
                if let Some(sender) = take() {
                    let _ = sender.send(loaded); // nobody waits for it any more
                }
            }),
        };
        Bundles::ask(shared, queue, share, bundle, waiter);
        answer.await.map_err(|_| Error::internal("the load was given up"))?
    }

    /// Tells the waiter of the bundle, when it is loaded: at once if it is already, else a load starts on this queue.
    pub(crate) fn ask(shared: &Arc<Shared>, queue: &Arc<Queue>, share: &Share, bundle: &Bundle, waiter: Waiter) {
        let mut entries = shared.bundles.entries();
        match entries.get_mut(&bundle.digest()) {
            Some(Entry::Loading { waiters, load, late, .. }) => {
                let wanted = waiter.wanted.clone();
                waiters.push(waiter);
                match load {
                    // it runs in this one's turns too, so that who began it keeps nobody waiting
                    Some(load) => {
                        let load = load.upgrade();
                        drop(entries);
                        if let Some(load) = load {
                            load.join(queue, share, wanted);
                        }
                    }
                    None => late.push((queue.clone(), share.clone(), wanted)),
                }
                return;
            }
            Some(Entry::Loaded(bundled)) => {
                if let Some(bundled) = bundled.upgrade() {
                    drop(entries);
                    return (waiter.tell)(Ok(bundled));
                }
            }
            None => (),
        }
        entries.retain(|_, entry| !matches!(entry, Entry::Loaded(bundled) if bundled.strong_count() == 0));
        let (number, wanted) = (shared.bundles.loads.fetch_add(1, Ordering::Relaxed), waiter.wanted.clone());
        entries.insert(bundle.digest(), Entry::Loading { waiters: vec![waiter], number, load: None, late: Vec::new() });
        drop(entries);

        let (of, bundle_of) = (shared.clone(), bundle.clone());
        let done = Box::new(move |left, usage| {
            let made = Bundled::new(&of, &bundle_of, left, usage).map(Arc::new);
            of.bundles.finish(&bundle_of, made);
        });
        let (of, digest) = (Arc::downgrade(shared), bundle.digest());
        let unwanted = Box::new(move || of.upgrade().is_none_or(|shared| shared.bundles.give_up(digest)));
        match Load::start(shared, queue, share, bundle, false, (wanted, unwanted), done) {
            Ok(begun) => {
                let mut entries = shared.bundles.entries();
                let Some(Entry::Loading { number: of, load, late, .. }) = entries.get_mut(&bundle.digest()) else {
                    return;
                };
                if *of != number {
                    return;
                }
                *load = Some(Arc::downgrade(&begun));
                let late = std::mem::take(late);
                drop(entries);
                late.into_iter().for_each(|(queue, share, wanted)| begun.join(&queue, &share, wanted));
            }
            Err(error) => shared.bundles.finish(bundle, Err(error)),
        }
    }

    /// Whether nobody waits for the load any more; it is forgotten then.
    fn give_up(&self, digest: Digest) -> bool {
        let mut entries = self.entries();
        let Some(Entry::Loading { waiters, .. }) = entries.get(&digest) else { return true };
        let unwanted = !waiters.iter().any(|waiter| (waiter.wanted)());
        if unwanted {
            entries.remove(&digest);
        }
        unwanted
    }

    fn finish(&self, bundle: &Bundle, made: Result<Arc<Bundled>, Error>) {
        let mut entries = self.entries();
        let before = match &made {
            Ok(bundled) => entries.insert(bundle.digest(), Entry::Loaded(Arc::downgrade(bundled))),
            Err(_) => entries.remove(&bundle.digest()),
        };
        drop(entries);
        if let Some(Entry::Loading { waiters, .. }) = before {
            // nothing of it is left here when they are told: one that uses it shortly is the last to have it
            let told: Vec<_> = waiters.into_iter().map(|waiter| (waiter, made.clone())).collect();
            drop(made);
            told.into_iter().for_each(|(waiter, made)| (waiter.tell)(made));
        }
    }
}

/// The least recently used image of the tenant whose images take most.
fn largest(kept: &VecDeque<Kept>) -> Option<usize> {
    let mut bytes = HashMap::<&Tenant, u64>::new();
    for kept in kept {
        *bytes.entry(&kept.tenant).or_default() += kept.bundled.image_bytes();
    }
    let most = bytes.values().copied().max()?;
    kept.iter().position(|kept| bytes.get(&kept.tenant) == Some(&most))
}

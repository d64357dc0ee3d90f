//! The bundles that are loaded, each once: whoever asks for one that is being loaded waits for the same load.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::oneshot;

use crate::bundle::{Bundle, Digest};
use crate::error::Error;
use crate::load::Load;
use crate::motu::{Bundled, Shared};
use crate::queue::Queue;
use crate::share::Share;

/// By digest. Nothing is kept that nobody uses, and no load that failed.
#[derive(Default)]
pub(crate) struct Bundles(Mutex<HashMap<Digest, Entry>>);

enum Entry {
    Loading(Vec<Waiter>),
    Loaded(Weak<Bundled>),
}

type Waiter = oneshot::Sender<Result<Arc<Bundled>, Error>>;

impl Bundles {
    fn entries(&self) -> MutexGuard<'_, HashMap<Digest, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bundle, if it is loaded.
    pub(crate) fn find(&self, bundle: &Bundle) -> Option<Arc<Bundled>> {
        match self.entries().get(&bundle.digest())? {
            Entry::Loaded(bundled) => bundled.upgrade(),
            Entry::Loading(_) => None,
        }
    }

    /// The bundle, loaded on this queue unless it is already.
    pub(crate) async fn get(
        shared: &Arc<Shared>,
        queue: &Arc<Queue>,
        share: &Arc<Share>,
        bundle: &Bundle,
    ) -> Result<Arc<Bundled>, Error> {
        let (waiter, answer) = oneshot::channel();
        if let Some(bundled) = shared.bundles.ask(shared, queue, share, bundle, waiter)? {
            return Ok(bundled);
        }
        answer.await.map_err(|_| Error::internal("the load was given up"))?
    }

    fn ask(
        &self,
        shared: &Arc<Shared>,
        queue: &Arc<Queue>,
        share: &Arc<Share>,
        bundle: &Bundle,
        waiter: Waiter,
    ) -> Result<Option<Arc<Bundled>>, Error> {
        let mut entries = self.entries();
        match entries.get_mut(&bundle.digest()) {
            Some(Entry::Loading(waiters)) => {
                waiters.push(waiter);
                return Ok(None);
            }
            Some(Entry::Loaded(bundled)) => {
                if let Some(bundled) = bundled.upgrade() {
                    return Ok(Some(bundled));
                }
            }
            None => (),
        }
        entries.retain(|_, entry| !matches!(entry, Entry::Loaded(bundled) if bundled.strong_count() == 0));
        entries.insert(bundle.digest(), Entry::Loading(vec![waiter]));
        drop(entries);

        let (of, bundle_of) = (shared.clone(), bundle.clone());
        let done = Box::new(move |left, usage| {
            let made = Bundled::new(&of, &bundle_of, left, usage).map(Arc::new);
            of.bundles.finish(&bundle_of, &made);
        });
        let (of, digest) = (Arc::downgrade(shared), bundle.digest());
        let unwanted = Box::new(move || of.upgrade().is_none_or(|shared| shared.bundles.give_up(digest)));
        let started = Load::start(shared, queue, share.clone(), bundle, false, unwanted, done);
        if let Err(error) = started {
            self.finish(bundle, &Err(error.clone()));
            return Err(error);
        }
        Ok(None)
    }

    /// Whether nobody waits for the load any more; it is forgotten then.
    fn give_up(&self, digest: Digest) -> bool {
        let mut entries = self.entries();
        let Some(Entry::Loading(waiters)) = entries.get(&digest) else { return true };
        let unwanted = waiters.iter().all(Waiter::is_closed);
        if unwanted {
            entries.remove(&digest);
        }
        unwanted
    }

    fn finish(&self, bundle: &Bundle, made: &Result<Arc<Bundled>, Error>) {
        let mut entries = self.entries();
        let before = match made {
            Ok(bundled) => entries.insert(bundle.digest(), Entry::Loaded(Arc::downgrade(bundled))),
            Err(_) => entries.remove(&bundle.digest()),
        };
        drop(entries);
        if let Some(Entry::Loading(waiters)) = before {
            for waiter in waiters {
                let _ = waiter.send(made.clone()); // nobody waits for it any more
            }
        }
    }
}

//! The tenants of a Motu: which bundles each has, and events to all of them at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bundle::Bundle;
use crate::bundles::Bundles;
use crate::door::{Call, Door, Request, Status};
use crate::error::{Error, ErrorKind};
use crate::grant::Grants;
use crate::instance::{outcome, read, refused};
use crate::limits::Limits;
use crate::log::LogFeed;
use crate::motu::Motu;
use crate::outcome::Outcome;
use crate::share::Share;
use crate::store::{Owner, StoreError};
use crate::strategy::{Command, Origin, Spec};
use crate::tenant::Tenant;
use crate::value::Value;
use crate::wire;

/// A tenant of a [`Motu`]: its bundles, its limits, and events to them. Cheap to clone; made by [`Motu::tenant`].
///
/// Each of its bundles runs in an instance of its own, which starts with the first event that it handles.
#[derive(Clone)]
pub struct TenantRef {
    motu: Motu,
    tenant: Arc<Registered>,
}

/// What one instance came to, of an event that was dispatched to a tenant.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer<T> {
    /// The name that its bundle was deployed under.
    pub bundle: String,
    /// What it answered.
    pub result: Result<T, Error>,
}

/// All tenants that were asked for.
#[derive(Default)]
pub(crate) struct Tenants(Mutex<HashMap<Tenant, Arc<Registered>>>);

struct Registered {
    id: Tenant,
    /// Kept, so that what it has burnt is known as long as it is.
    share: Share,
    state: Mutex<State>,
    paused: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Instead of those of its kind.
    limits: Option<Arc<Limits>>,
    /// Instead of those of its kind.
    grants: Option<Grants>,
    bundles: BTreeMap<String, Arc<Deployed>>,
}

/// A bundle of a tenant's. Replaced whole, never changed: an event is handled by exactly one.
struct Deployed {
    spec: Spec,
    handlers: Arc<[String]>,
    door: Mutex<Option<Arc<Door>>>,
}

impl Tenants {
    pub(crate) fn get(motu: &Motu, tenant: &Tenant) -> TenantRef {
        let mut tenants = motu.registry().0.lock().unwrap_or_else(PoisonError::into_inner);
        let registered = tenants.entry(tenant.clone()).or_insert_with(|| {
            let shared = motu.shared();
            let share = shared.shares.of(tenant, shared.limits_of(tenant));
            let (state, paused) = (Mutex::default(), AtomicBool::new(false));
            Arc::new(Registered { id: tenant.clone(), share, state, paused })
        });
        TenantRef { motu: motu.clone(), tenant: registered.clone() }
    }

    pub(crate) fn known(&self, motu: &Motu, tenant: &Tenant) -> Option<TenantRef> {
        let tenants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Some(TenantRef { motu: motu.clone(), tenant: tenants.get(tenant)?.clone() })
    }

    pub(crate) fn all(&self) -> Vec<Tenant> {
        let mut all: Vec<Tenant> = self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        all.sort_unstable();
        all
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(crate) fn remove(&self, tenant: &Tenant) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(tenant).is_some()
    }
}

impl State {
    fn doors(&self) -> Vec<Arc<Door>> {
        self.bundles.values().filter_map(|deployed| deployed.opened()).collect()
    }
}

impl Registered {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deployed {
    /// Its instance, opened if it isn't, and then with these grants. Whether the tenant is paused is looked at under the lock: who
    /// pauses it now finds the instance there, or has been seen.
    fn door(&self, motu: &Motu, paused: &AtomicBool, grants: Grants) -> Result<Arc<Door>, Error> {
        let mut door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(door) = &*door {
            return Ok(door.clone());
        }
        let opened = Door::open(motu.shared(), motu.strategy(), Spec { grants, ..self.spec.clone() })?;
        if paused.load(Ordering::Acquire) {
            opened.tell(Command::Pause);
        }
        *door = Some(opened.clone());
        Ok(opened)
    }

    fn opened(&self) -> Option<Arc<Door>> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn handles(&self, event: &str) -> bool {
        self.handlers.binary_search_by(|name| name.as_str().cmp(event)).is_ok()
    }
}

impl TenantRef {
    /// Who it is.
    pub fn id(&self) -> &Tenant {
        &self.tenant.id
    }

    /// Gives the tenant a bundle under a name, in place of the one that it has under that name. The new one is loaded first;
    /// if that fails, nothing has changed. Then it is put in the place of the old one, whole: what was dispatched before is
    /// handled by the old version, to its end, and what comes after by the new one. What the old one left waiting behind its
    /// events ends with the last of them.
    ///
    /// # Errors
    ///
    /// Those of [`Motu::load`], and [`Usage`](crate::ErrorKind::Usage) for a name that is empty, longer than 255 bytes, or has
    /// control characters.
    pub async fn deploy(&self, name: &str, bundle: &Bundle) -> Result<(), Error> {
        if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
            let why = "is empty, longer than 255 bytes, or has control characters";
            return Err(Error::usage_error(format!("the name {name:?} of a bundle {why}")));
        }
        let (shared, id) = (self.motu.shared(), &self.tenant.id);
        let share = self.tenant.share.within(&self.shared_limits());
        let bundled = Bundles::get(shared, self.motu.strategy().loads(), &share, bundle).await?;
        shared.bundles.keep(&bundled, id);
        let mut state = self.tenant.state();
        let limits = state.limits.clone().unwrap_or_else(|| shared.limits_of(id).clone());
        let (tenant, grants) = (id.clone(), Grants::default());
        let spec = Spec { tenant, name: name.into(), bundle: bundle.clone(), limits, seed: None, grants };
        let deployed = Deployed { spec, handlers: bundled.handlers.clone(), door: Mutex::default() };
        let before = state.bundles.insert(name.to_owned(), Arc::new(deployed));
        drop(state);
        drop(before); // outside of the lock: it may be the end of an instance
        Ok(())
    }

    /// Takes a bundle away. Its events that were dispatched before go on to their end. Whether there was one.
    pub fn remove(&self, name: &str) -> bool {
        let before = self.tenant.state().bundles.remove(name);
        before.is_some()
    }

    /// The names that its bundles were deployed under, sorted.
    pub fn bundles(&self) -> Vec<String> {
        self.tenant.state().bundles.keys().cloned().collect()
    }

    /// Its limits: its own, else those of its kind, else the Motu's.
    pub fn limits(&self) -> Limits {
        (*self.shared_limits()).clone()
    }

    fn shared_limits(&self) -> Arc<Limits> {
        let own = self.tenant.state().limits.clone();
        own.unwrap_or_else(|| self.motu.shared().limits_of(&self.tenant.id).clone())
    }

    /// Gives it limits of its own, or takes them away. Its instances start anew with their next events, as if their bundles
    /// had been deployed again.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::ErrorKind::Usage) for a limit that can't be held to.
    pub fn set_limits(&self, limits: Option<Limits>) -> Result<(), Error> {
        if let Some(limits) = &limits {
            limits.check()?;
        }
        self.change(|state| state.limits = limits.map(Arc::new));
        Ok(())
    }

    /// What it may call of the host: its own grants, else those of its kind, else nothing.
    pub fn grants(&self) -> Grants {
        let own = self.tenant.state().grants.clone();
        own.unwrap_or_else(|| self.motu.shared().grants_of(&self.tenant.id))
    }

    /// Gives it grants of its own, or takes them away. What runs goes on: its next call of a host function goes by the new
    /// ones. A call that is under way is not ended.
    pub fn set_grants(&self, grants: Option<Grants>) {
        let mut state = self.tenant.state();
        state.grants = grants;
        let grants = state.grants.clone().unwrap_or_else(|| self.motu.shared().grants_of(&self.tenant.id));
        // told under the lock: of two changes at once, the last one holds
        state.doors().iter().for_each(|door| door.tell(Command::Grant { grants: grants.clone() }));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.tenant.state();
        change(&mut state);
        let limits = state.limits.clone().unwrap_or_else(|| self.motu.shared().limits_of(&self.tenant.id).clone());
        let mut before = Vec::new();
        for deployed in state.bundles.values_mut() {
            let spec = Spec { limits: limits.clone(), ..deployed.spec.clone() };
            let fresh = Deployed { spec, handlers: deployed.handlers.clone(), door: Mutex::default() };
            before.push(std::mem::replace(deployed, Arc::new(fresh)));
        }
        drop(state);
        drop(before); // outside of the lock
    }

    /// Runs the handlers of an event, in each of the tenant's instances whose bundle handles it, all at once, and waits for
    /// them all. One answer for each, in the order of the bundles' names; none when nobody handles the event, and then
    /// nothing is started either.
    ///
    /// The results are decoded on the thread that polls this, as [`Instance::dispatch`](crate::Instance::dispatch) says.
    ///
    /// When the future is dropped, what waits in a mailbox is never started. What was started goes on to its end.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::ErrorKind::Usage) or [`Limit`](crate::ErrorKind::Limit) for a payload that can't cross, or is over the limits. All
    /// else is in the answers.
    pub async fn dispatch<R: DeserializeOwned>(
        &self,
        event: &str,
        payload: &(impl Serialize + ?Sized),
    ) -> Result<Vec<Answer<Outcome<R>>>, Error> {
        self.dispatch_within(event, payload, None).await
    }

    /// [`dispatch`](Self::dispatch) with a deadline of its own, if that is sooner than the limit's.
    ///
    /// # Errors
    ///
    /// As for [`dispatch`](Self::dispatch).
    pub async fn dispatch_within<R: DeserializeOwned>(
        &self,
        event: &str,
        payload: &(impl Serialize + ?Sized),
        deadline: Option<Duration>,
    ) -> Result<Vec<Answer<Outcome<R>>>, Error> {
        let payload = self.encode(event, payload)?;
        let mut answers = Vec::new();
        for (bundle, call) in self.call(event, &payload, deadline) {
            let result = match call {
                Ok(call) => read(self.motu.shared(), &self.tenant.id, event, call.answer().await),
                Err(error) => Err(error),
            };
            answers.push(Answer { bundle, result });
        }
        Ok(answers)
    }

    /// [`dispatch`](Self::dispatch) with values as Luau has them. A result of more than 512 values, or of over 64 KiB, is decoded
    /// on a blocking thread of the [host functions' runtime](crate::MotuBuilder::runtime), in turns of the tenants by weight. One that is decoded only after the
    /// event's deadline is refused with the kind [`Deadline`](crate::ErrorKind::Deadline); what the handler did is done.
    ///
    /// # Errors
    ///
    /// As for [`dispatch`](Self::dispatch).
    pub async fn dispatch_value(&self, event: &str, payload: &Value) -> Result<Vec<Answer<Outcome<Value>>>, Error> {
        let limits = self.shared_limits();
        let payload = wire::encode(payload, limits.payload_depth, limits.payload_bytes)
            .map_err(|error| refused(&error).with_event(event))?;
        let mut answers = Vec::new();
        for (bundle, call) in self.call(event, &payload, None) {
            let result = match call {
                Ok(call) => {
                    let deadline = call.deadline();
                    let (answer, usage) = call.answer().await;
                    match answer {
                        Ok(bytes) => {
                            outcome(self.motu.shared(), (&self.tenant.id, deadline), Some(event), bytes, usage).await
                        }
                        Err(error) => Err(error),
                    }
                }
                Err(error) => Err(error),
            };
            answers.push(Answer { bundle, result });
        }
        Ok(answers)
    }

    /// Puts an event into the mailboxes of the instances that handle it, and waits for nothing. Errors of the handlers are
    /// logged. One answer for each instance: whether its mailbox took the event.
    ///
    /// # Errors
    ///
    /// As for [`dispatch`](Self::dispatch).
    pub fn post(&self, event: &str, payload: &(impl Serialize + ?Sized)) -> Result<Vec<Answer<()>>, Error> {
        let payload = self.encode(event, payload)?;
        let post = |(bundle, door): (String, Result<Arc<Door>, Error>)| {
            let request = Request::Event { name: event.into(), payload: payload.clone(), origin: None };
            let result = door.and_then(|door| door.post(request, None)).map_err(|error| error.with_event(event));
            Answer { bundle, result }
        };
        Ok(self.doors(event).into_iter().map(post).collect())
    }

    /// The lines that its scripts log from now on, at most so many of them kept for a reader that is slow (1 to
    /// [`LogFeed::LINES_MAX`], of [`LogFeed::BYTES_MAX`] together). Other readers of this tenant share what the first one asked for.
    pub fn logs(&self, lines: usize) -> LogFeed {
        self.motu.shared().feeds.subscribe(&self.tenant.id, lines)
    }

    /// Deletes all that the tenant keeps with `motu:kv`, `motu:blob` and `motu:cron`, in steps: after an error, or a crash, some may be left. What its
    /// scripts set meanwhile may go or stay.
    ///
    /// # Errors
    ///
    /// [`Host`](crate::ErrorKind::Host) when the store can't be written.
    pub async fn delete_state(&self) -> Result<(), Error> {
        let failed = |error: StoreError| Error::new(ErrorKind::Host, error.to_string());
        let owner = Owner::new(&self.tenant.id.to_string()).map_err(failed)?;
        let kept = &self.motu.shared().kept;
        kept.blobs.memory.delete_owner(&owner);
        kept.store.delete_owner(&owner).await.map_err(failed)
    }

    /// Runs nothing of the tenant until [`resume`](Self::resume). What comes meanwhile waits, and deadlines go on.
    pub fn pause(&self) {
        self.tenant.paused.store(true, Ordering::Release);
        self.tell(&Command::Pause);
    }

    /// Goes on after [`pause`](Self::pause), where it was. Ends quarantines too.
    pub fn resume(&self) {
        self.tenant.paused.store(false, Ordering::Release);
        self.tell(&Command::Resume);
    }

    /// Ends the tenant's instances as they are: events that were started end with
    /// [`InstanceLost`](crate::ErrorKind::InstanceLost), the others are answered by fresh ones.
    pub fn kill(&self) {
        self.tell(&Command::Kill { cause: "it was killed".to_owned() });
    }

    /// What its instances are doing now, by the names of their bundles. Those that never had an event are left out.
    pub fn status(&self) -> BTreeMap<String, Status> {
        let opened = |(name, deployed): (&String, &Arc<Deployed>)| Some((name.clone(), deployed.opened()?.status()));
        self.tenant.state().bundles.iter().filter_map(opened).collect()
    }

    /// All the fuel that the tenant has burnt since something of it is there: events, loads, and what they left behind.
    pub fn fuel(&self) -> u64 {
        self.tenant.share.fuel()
    }

    /// All the time that the tenant has taken of threads that tenants share, since something of it is there: of processors, not
    /// of the clock. Its share of the workers goes by this time; its bill, [`fuel`](Self::fuel), doesn't.
    pub fn time(&self) -> Duration {
        self.tenant.share.time()
    }

    fn tell(&self, command: &Command) {
        let doors = self.tenant.state().doors();
        doors.iter().for_each(|door| door.tell(command.clone()));
    }

    fn encode(&self, event: &str, payload: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, Error> {
        let limits = self.shared_limits();
        wire::to_wire(payload, limits.payload_depth, limits.payload_bytes)
            .map_err(|error| refused(&error).with_event(event))
    }

    /// The doors of the bundles that handle an event.
    fn doors(&self, event: &str) -> Vec<(String, Result<Arc<Door>, Error>)> {
        let state = self.tenant.state();
        let handling = state.bundles.iter().filter(|(_, deployed)| deployed.handles(event));
        let handling: Vec<_> = handling.map(|(name, deployed)| (name.clone(), deployed.clone())).collect();
        drop(state);
        let open = |(name, deployed): (String, Arc<Deployed>)| {
            let opened = match deployed.opened() {
                Some(door) => Ok(door),
                None => self.open(&deployed),
            };
            (name, opened)
        };
        handling.into_iter().map(open).collect()
    }

    fn open(&self, deployed: &Deployed) -> Result<Arc<Door>, Error> {
        let before = self.grants();
        let door = deployed.door(&self.motu, &self.tenant.paused, before.clone())?;
        let now = self.grants();
        if now != before {
            // they were changed when the door couldn't be told yet
            door.tell(Command::Grant { grants: now });
        }
        Ok(door)
    }

    /// Dispatches what the store had to the bundles that haven't done it, and waits until it has ended. With one bundle that
    /// handles it, the store's event is its origin.
    pub(crate) async fn deliver(
        &self,
        event: &str,
        payload: &impl Serialize,
        origin: Origin,
        done: &mut Done,
    ) -> Delivered {
        let failed = |bundle: &str, error: Error| {
            if self.motu.shared().warnings.may_warn(&self.tenant.id) {
                tracing::warn!(tenant = %self.tenant.id, bundle, event, %error, "an event failed");
            }
        };
        let limits = self.shared_limits();
        let payload = match wire::to_wire(payload, limits.payload_depth, limits.payload_bytes) {
            Ok(payload) => payload,
            Err(error) => {
                failed("", refused(&error));
                return Delivered::Ended;
            }
        };
        tokio::task::yield_now().await;
        let doors = self.doors(event);
        let origin = origin.filter(|_| doors.len() == 1);
        let mut calls = Vec::new();
        for (bundle, door) in doors.into_iter().filter(|(bundle, _)| !done.bundles.contains(bundle)) {
            let request = Request::Event { name: event.into(), payload: payload.clone(), origin };
            calls.push((bundle, door.and_then(|door| door.call(request, None))));
        }
        let mut delivered = Delivered::Ended;
        for (bundle, call) in calls {
            let (error, was_started) = match call {
                Ok(call) => match call.end().await {
                    ((Ok(_), _), _) => {
                        done.bundles.insert(bundle);
                        continue;
                    }
                    ((Err(error), _), was_started) => (error, was_started),
                },
                Err(error) => (error, false),
            };
            let came_to = match error.kind() {
                ErrorKind::QueueFull | ErrorKind::Quarantined if !was_started => Delivered::NotYet,
                ErrorKind::Stopped if !was_started => Delivered::Drained,
                ErrorKind::InstanceLost if self.motu.is_draining() => Delivered::Drained,
                _ => Delivered::Ended,
            };
            match came_to {
                Delivered::Ended => {
                    failed(&bundle, error);
                    done.bundles.insert(bundle);
                }
                _ => {
                    tracing::debug!(tenant = %self.tenant.id, bundle, event, %error, "an event of the store stays there")
                }
            }
            delivered = delivered.max(came_to);
        }
        delivered
    }

    fn call(&self, event: &str, payload: &[u8], time: Option<Duration>) -> Vec<(String, Result<Call, Error>)> {
        let call = |(name, door): (String, Result<Arc<Door>, Error>)| {
            let request = Request::Event { name: event.into(), payload: payload.to_vec(), origin: None };
            (name, door.and_then(|door| door.call(request, time)).map_err(|error| error.with_event(event)))
        };
        self.doors(event).into_iter().map(call).collect()
    }
}

impl fmt::Debug for TenantRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantRef").field("tenant", &self.tenant.id).finish_non_exhaustive()
    }
}

/// The bundles whose handlers of an event of the store have ended, while others could not be started.
#[derive(Default)]
pub(crate) struct Done {
    bundles: BTreeSet<String>,
}

impl Done {
    pub(crate) fn is_empty(&self) -> bool {
        self.bundles.is_empty()
    }
}

/// What came of an event of the store. Of two answers the later one here holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Delivered {
    /// Its handlers have ended, as they did.
    Ended,
    /// An instance had no room for it, or is in quarantine: nothing was started there.
    NotYet,
    /// The Motu takes no more events: it was not started, or ended by that.
    Drained,
}

/// What [`Motu::drain`] left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// The events that had not ended in time. They ended with [`InstanceLost`](crate::ErrorKind::InstanceLost), or
    /// [`Stopped`](crate::ErrorKind::Stopped) if they had not been started.
    pub unfinished: Vec<Unfinished>,
}

/// An event that a drain didn't wait for any longer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unfinished {
    /// Whose.
    pub tenant: Tenant,
    /// Its name; none was a bundle's value.
    pub event: Option<String>,
}

//! `motu:kv`: keys and values of a tenant's own, that outlive instances and the process. What keeps them is `store`.

mod types;

use std::sync::Arc;

use types::{Applied, Conflict, Entry, Expected, Key, ListOptions, Operation, Operations, Page, SetOptions, Usage};

use super::kept::{READ, READ_ROW, Rate, Steps, WRITE, WRITE_BYTE, expiry, failed, milliseconds, never, owner, page};
use crate::context::CallContext;
use crate::error::{Error, ErrorKind};
use crate::kept::Kept;
use crate::limits::Limits;
use crate::module::HostModule;
use crate::store::{self, Applied as Done, Op, Owner, Query, Quota, Scope, Store, StoreError};
use crate::wire::Encoded;

pub(super) fn module(kept: &Arc<Kept>) -> Result<HostModule, Error> {
    let rate = Rate::new("kv_operations_per_second", kept.clock.clone());
    let kv = Arc::new(Kv { kept: kept.clone(), store: kept.store.clone(), rate });
    let module = methods!(HostModule::from_wit(include_str!("kv.wit"))?, kv: {
        "get" => get,
        "lookup" => lookup,
        "set" => set,
        "delete" => delete,
        "compare-and-set" => compare_and_set,
        "increment" => increment,
        "list" => list,
        "apply" => apply,
        "usage" => usage,
    });
    Ok(module.all_never_granted(never))
}

struct Kv {
    kept: Arc<Kept>,
    store: Arc<dyn Store>,
    rate: Rate,
}

/// Where a call goes: the tenant's own, and never another's (M7).
struct Place {
    owner: Owner,
    scope: Scope,
}

impl Kv {
    /// Counts the operations of a call against the tenant's rate.
    fn place(&self, context: &CallContext, scope: &str, operations: usize) -> Result<Place, Error> {
        self.take(context, operations)?;
        Ok(Place { owner: owner(context)?, scope: Scope::new(scope).map_err(failed)? })
    }

    fn take(&self, context: &CallContext, operations: usize) -> Result<(), Error> {
        self.rate.take(context, context.limits().kv_operations_per_second, operations)
    }

    /// What is stored of a key.
    fn entry(&self, context: &CallContext, scope: &str, key: &[u8]) -> Result<Option<store::Entry>, Error> {
        let place = self.place(context, scope, 1)?;
        context.charge(READ);
        self.store.get(&place.owner, &place.scope, key).map_err(failed)
    }

    async fn get(&self, context: &CallContext, (scope, Key(key)): (String, Key)) -> Result<Encoded, Error> {
        match self.entry(context, &scope, &key)? {
            Some(entry) => Steps::new(context).decoded(entry.value).await,
            None => Ok(Encoded::default()),
        }
    }

    async fn lookup(&self, context: &CallContext, (scope, Key(key)): (String, Key)) -> Result<Option<Entry>, Error> {
        match self.entry(context, &scope, &key)? {
            Some(entry) => Entry::new(&mut Steps::new(context), key, entry).await.map(Some),
            None => Ok(None),
        }
    }

    async fn set(
        &self,
        context: &CallContext,
        (scope, Key(key), value, options): (String, Key, Encoded, Option<SetOptions>),
    ) -> Result<u64, Error> {
        let place = self.place(context, &scope, 1)?;
        let op = set(&mut Steps::new(context), &place, key, &value, options.unwrap_or_default()).await?;
        let applied = self.change(context, &place, vec![op]).await.map_err(failed)?;
        Ok(applied.revisions.first().copied().flatten().unwrap_or_default())
    }

    async fn delete(&self, context: &CallContext, (scope, Key(key)): (String, Key)) -> Result<(), Error> {
        let place = self.place(context, &scope, 1)?;
        let op = Op::Delete { scope: place.scope.clone(), key };
        self.change(context, &place, vec![op]).await.map(drop).map_err(failed)
    }

    async fn compare_and_set(
        &self,
        context: &CallContext,
        (scope, Key(key), expected, value): (String, Key, Expected, Encoded),
    ) -> Result<bool, Error> {
        let place = self.place(context, &scope, 2)?;
        let mut steps = Steps::new(context);
        let expected = expected.encoded(&mut steps).await?;
        let check = Op::Check { scope: place.scope.clone(), key: key.clone(), expected };
        let set = set(&mut steps, &place, key, &value, SetOptions::default()).await?;
        match self.change(context, &place, vec![check, set]).await {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    async fn increment(
        &self,
        context: &CallContext,
        (scope, Key(key), by): (String, Key, Option<f64>),
    ) -> Result<f64, Error> {
        let place = self.place(context, &scope, 1)?;
        let op = Op::Add { scope: place.scope.clone(), key, by: by.unwrap_or(1.0) };
        let applied = self.change(context, &place, vec![op]).await.map_err(failed)?;
        applied.sums.first().copied().ok_or_else(|| failed(StoreError::Unknown("its answers got mixed up".into())))
    }

    async fn list(
        &self,
        context: &CallContext,
        (scope, options): (String, Option<ListOptions>),
    ) -> Result<Page, Error> {
        let options = options.unwrap_or_default();
        let entries_max = page(options.limit)?;
        let place = self.place(context, &scope, 1)?;
        let prefix = options.prefix.unwrap_or_default();
        let query = Query {
            prefix: &prefix.0,
            after: options.after.as_ref().map(|key| key.0.as_slice()),
            values: options.values.unwrap_or(true),
            entries_max,
            // half: keys and values are written with names around them
            bytes_max: context.limits().payload_bytes as usize / 2,
        };
        context.charge(READ);
        let page = self.store.list(&place.owner, &place.scope, &query).map_err(failed)?;
        let mut steps = Steps::new(context);
        steps.did(READ_ROW.saturating_mul(page.passed as u64)).await;
        let mut entries = Vec::with_capacity(page.entries.len());
        for (key, entry) in page.entries {
            entries.push(match query.values {
                true => Entry::new(&mut steps, key, entry).await?,
                false => Entry::without_value(key, &entry),
            });
            steps.did(READ_ROW).await;
        }
        Ok(Page { entries, more_after: page.more_after.map(Key) })
    }

    async fn apply(&self, context: &CallContext, (scope, operations): (String, Operations)) -> Result<Applied, Error> {
        let Operations { kept, count } = operations;
        let place = self.place(context, &scope, count.max(1))?;
        Quota::default().allows_ops(count).map_err(failed)?;
        let mut steps = Steps::new(context);
        let mut ops = Vec::with_capacity(kept.len());
        for operation in kept {
            ops.push(match operation {
                Operation::Set(setting) => {
                    let options = setting.options.unwrap_or_default();
                    set(&mut steps, &place, setting.key.0, &setting.value, options).await?
                }
                Operation::Delete(Key(key)) => Op::Delete { scope: place.scope.clone(), key },
                Operation::Check(check) => {
                    let expected = check.expected.encoded(&mut steps).await?;
                    Op::Check { scope: place.scope.clone(), key: check.key.0, expected }
                }
            });
        }
        match self.change(context, &place, ops).await {
            Ok(done) => Ok(Ok(done.revisions.into_iter().map(Option::unwrap_or_default).collect())),
            Err(StoreError::Conflict { index }) => {
                let operation = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
                let message = format!("the check at operation {operation} failed: nothing was done");
                Ok(Err(Conflict { message, operation }))
            }
            Err(error) => Err(failed(error)),
        }
    }

    async fn usage(&self, context: &CallContext, (): ()) -> Result<Usage, Error> {
        self.take(context, 1)?;
        context.charge(READ);
        let usage = self.store.usage(&owner(context)?).map_err(failed)?;
        let limits = context.limits();
        Ok(Usage { keys: usage.keys, bytes: usage.bytes, keys_max: limits.kv_keys, bytes_max: limits.kv_bytes })
    }

    /// Does a list, which is charged before anybody knows whether it will be refused: a refusal is as much work.
    async fn change(&self, context: &CallContext, place: &Place, ops: Vec<Op>) -> Result<Done, StoreError> {
        context.charge(ops.iter().map(price).fold(0, u64::saturating_add));
        self.kept.change(context.origin, &place.owner, &quota(context.limits()), ops).await
    }
}

/// What an operation costs beside the call.
fn price(op: &Op) -> u64 {
    let bytes = match op {
        Op::Set { key, value, .. } | Op::Check { key, expected: store::Expected::Value(value), .. } => {
            key.len().saturating_add(value.len())
        }
        Op::Check { key, .. } | Op::Delete { key, .. } | Op::Add { key, .. } => key.len(),
        Op::Settle { .. } | Op::SetSchedule { .. } | Op::DeleteSchedule { .. } => 0,
    };
    WRITE.saturating_add(WRITE_BYTE.saturating_mul(bytes as u64))
}

async fn set(
    steps: &mut Steps<'_>,
    place: &Place,
    key: Vec<u8>,
    value: &Encoded,
    options: SetOptions,
) -> Result<Op, Error> {
    if value.is_nil() {
        return Err(Error::new(ErrorKind::Script, "nil is no value of a key: delete the key"));
    }
    let expires = match (options.ttl, options.expires) {
        (None, None) => None,
        (Some(ttl), None) => Some(expiry(steps.context(), ttl)?),
        (None, Some(at)) => Some(milliseconds(at, "expires")?),
        (Some(_), Some(_)) => return Err(Error::new(ErrorKind::Script, "give ttl or expires, not both")),
    };
    let (scope, value) = (place.scope.clone(), steps.encoded(value).await?);
    Ok(Op::Set { scope, key, value, expires, resume: options.resume.unwrap_or_default() })
}

fn quota(limits: &Limits) -> Quota {
    Quota {
        keys: limits.kv_keys,
        bytes: limits.kv_bytes,
        value_bytes: limits.kv_value_bytes as usize,
        ..Quota::default()
    }
}

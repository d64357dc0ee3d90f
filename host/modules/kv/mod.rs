//! `motu:kv`: keys and values of a tenant's own, that outlive instances and the process. What keeps them is `store`.

mod types;

use std::sync::Arc;

use types::{Applied, Conflict, Entry, Expected, Key, ListOptions, Operation, Page, SetOptions, Usage};

use super::kept::{decoded, encoded, failed, milliseconds, now, owner};
use crate::context::CallContext;
use crate::error::{Error, ErrorKind};
use crate::kept::Kept;
use crate::limits::Limits;
use crate::module::HostModule;
use crate::rates::Rates;
use crate::store::{self, Op, Owner, Query, Quota, Scope, Store, StoreError};
use crate::value::Value;

/// The most entries of a page, and how many there are if nobody says.
const PAGE_MAX: u32 = 1_000;
const PAGE: u32 = 100;

/// How often an `increment` tries again when others were faster.
const TRIES_MAX: u32 = 1_000;

pub(super) fn module(kept: &Arc<Kept>) -> Result<HostModule, Error> {
    let kv = Arc::new(Kv { kept: kept.clone(), store: kept.store.clone(), rates: Rates::new(kept.clock.clone()) });
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
    Ok(module)
}

struct Kv {
    kept: Arc<Kept>,
    store: Arc<dyn Store>,
    rates: Rates<()>,
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
        let Some(most) = context.limits().kv_operations_per_second else { return Ok(()) };
        self.rates.take((), context.tenant(), most, operations).map_err(|_| {
            let message = format!("over the limit kv_operations_per_second of {most}: wait, and try again");
            Error::new(ErrorKind::Limit, message)
        })
    }

    async fn get(&self, context: &CallContext, (scope, Key(key)): (String, Key)) -> Result<Value, Error> {
        let place = self.place(context, &scope, 1)?;
        match self.store.get(&place.owner, &place.scope, &key).map_err(failed)? {
            Some(entry) => decoded(&entry.value),
            None => Ok(Value::Nil),
        }
    }

    async fn lookup(&self, context: &CallContext, (scope, Key(key)): (String, Key)) -> Result<Option<Entry>, Error> {
        let place = self.place(context, &scope, 1)?;
        let found = self.store.get(&place.owner, &place.scope, &key).map_err(failed)?;
        found.map(|entry| Entry::new(key, &entry)).transpose()
    }

    async fn set(
        &self,
        context: &CallContext,
        (scope, Key(key), value, options): (String, Key, Value, Option<SetOptions>),
    ) -> Result<u64, Error> {
        let place = self.place(context, &scope, 1)?;
        let op = set(context, &place, key, &value, options.unwrap_or_default())?;
        let applied = self.change(context, &place, vec![op]).await.map_err(failed)?;
        Ok(applied.first().copied().unwrap_or_default())
    }

    async fn delete(&self, context: &CallContext, (scope, Key(key)): (String, Key)) -> Result<(), Error> {
        let place = self.place(context, &scope, 1)?;
        let op = Op::Delete { scope: place.scope.clone(), key };
        self.change(context, &place, vec![op]).await.map(drop).map_err(failed)
    }

    async fn compare_and_set(
        &self,
        context: &CallContext,
        (scope, Key(key), expected, value): (String, Key, Expected, Value),
    ) -> Result<bool, Error> {
        let place = self.place(context, &scope, 2)?;
        let check = Op::Check { scope: place.scope.clone(), key: key.clone(), expected: expected.encoded()? };
        let set = set(context, &place, key, &value, SetOptions::default())?;
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
        let by = by.unwrap_or(1.0);
        for _ in 0..TRIES_MAX {
            let place = self.place(context, &scope, 2)?;
            let found = self.store.get(&place.owner, &place.scope, &key).map_err(failed)?;
            let (number, expected) = match &found {
                None => (0.0, store::Expected::Absent),
                Some(entry) => match decoded(&entry.value)? {
                    Value::Number(number) => (number, store::Expected::Revision(entry.revision)),
                    other => {
                        let what = other.type_name();
                        return Err(Error::new(ErrorKind::Script, format!("the key has a {what}, not a number")));
                    }
                },
            };
            let sum = number + by;
            let (expires, resume) = found.map_or((None, false), |entry| (entry.expires, entry.resume));
            let value = encoded(&Value::Number(sum))?;
            let ops = vec![
                Op::Check { scope: place.scope.clone(), key: key.clone(), expected },
                Op::Set { scope: place.scope.clone(), key: key.clone(), value, expires, resume },
            ];
            match self.change(context, &place, ops).await {
                Ok(_) => return Ok(sum),
                Err(StoreError::Conflict { .. }) => (), // another one was faster
                Err(error) => return Err(failed(error)),
            }
        }
        Err(Error::new(ErrorKind::Limit, format!("others changed the key {TRIES_MAX} times meanwhile: try again")))
    }

    async fn list(
        &self,
        context: &CallContext,
        (scope, options): (String, Option<ListOptions>),
    ) -> Result<Page, Error> {
        let options = options.unwrap_or_default();
        let entries = options.limit.unwrap_or(PAGE);
        if entries > PAGE_MAX {
            return Err(Error::new(ErrorKind::Limit, format!("a page has {PAGE_MAX} entries at most, not {entries}")));
        }
        let place = self.place(context, &scope, 1)?;
        let prefix = options.prefix.unwrap_or_default();
        let query = Query {
            prefix: &prefix.0,
            after: options.after.as_ref().map(|key| key.0.as_slice()),
            values: options.values.unwrap_or(true),
            entries_max: entries as usize,
            // half: keys and values are written with names around them
            bytes_max: context.limits().payload_bytes as usize / 2,
        };
        let page = self.store.list(&place.owner, &place.scope, &query).map_err(failed)?;
        let entry = |(key, entry): (Vec<u8>, store::Entry)| match query.values {
            true => Entry::new(key, &entry),
            false => Ok(Entry::without_value(key, &entry)),
        };
        let entries = page.entries.into_iter().map(entry).collect::<Result<_, _>>()?;
        Ok(Page { entries, more_after: page.more_after.map(Key) })
    }

    async fn apply(
        &self,
        context: &CallContext,
        (scope, operations): (String, Vec<Operation>),
    ) -> Result<Applied, Error> {
        let place = self.place(context, &scope, operations.len().max(1))?;
        let op = |operation: Operation| match operation {
            Operation::Set(setting) => {
                set(context, &place, setting.key.0, &setting.value, setting.options.unwrap_or_default())
            }
            Operation::Delete(Key(key)) => Ok(Op::Delete { scope: place.scope.clone(), key }),
            Operation::Check(check) => {
                let expected = check.expected.encoded()?;
                Ok(Op::Check { scope: place.scope.clone(), key: check.key.0, expected })
            }
        };
        let ops = operations.into_iter().map(op).collect::<Result<Vec<_>, Error>>()?;
        match self.change(context, &place, ops).await {
            Ok(revisions) => Ok(Ok(revisions)),
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
        let usage = self.store.usage(&owner(context)?).map_err(failed)?;
        let limits = context.limits();
        Ok(Usage { keys: usage.keys, bytes: usage.bytes, keys_max: limits.kv_keys, bytes_max: limits.kv_bytes })
    }

    /// Does a list, and says the revisions, 0 where there is none.
    async fn change(&self, context: &CallContext, place: &Place, ops: Vec<Op>) -> Result<Vec<u64>, StoreError> {
        let applied = self.kept.change(context.origin, &place.owner, &quota(context.limits()), ops).await?;
        Ok(applied.revisions.into_iter().map(Option::unwrap_or_default).collect())
    }
}

fn set(context: &CallContext, place: &Place, key: Vec<u8>, value: &Value, options: SetOptions) -> Result<Op, Error> {
    if *value == Value::Nil {
        return Err(Error::new(ErrorKind::Script, "nil is no value of a key: delete the key"));
    }
    let expires = match (options.ttl, options.expires) {
        (None, None) => None,
        (Some(ttl), None) => Some(milliseconds(now(context) + ttl, "ttl")?),
        (None, Some(at)) => Some(milliseconds(at, "expires")?),
        (Some(_), Some(_)) => return Err(Error::new(ErrorKind::Script, "give ttl or expires, not both")),
    };
    let (scope, value) = (place.scope.clone(), encoded(value)?);
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

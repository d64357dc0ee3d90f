//! A provider's resources. A script holds a handle of Motu's; behind it is one of wasmtime's, which means something in the store
//! where it was made, and nowhere else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use wasmtime::component::{ResourceAny, Val};

use crate::context::CallContext;
use crate::error::Error;
use crate::wit::{Function, Handle, Resource, Ty};

/// Of one store: the resources of which scripts have no handle any more. The next call ends them.
#[derive(Default)]
pub(super) struct Home(Mutex<Vec<ResourceAny>>);

impl Home {
    fn left(&self) -> MutexGuard<'_, Vec<ResourceAny>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self) -> Vec<ResourceAny> {
        std::mem::take(&mut *self.left())
    }
}

/// What is behind a handle.
pub(super) struct Held {
    /// None once it was given away.
    any: Mutex<Option<ResourceAny>>,
    home: Weak<Home>,
}

impl Held {
    fn new(any: ResourceAny, home: &Arc<Home>) -> Held {
        Held { any: Mutex::new(Some(any)), home: Arc::downgrade(home) }
    }

    fn any(&self) -> MutexGuard<'_, Option<ResourceAny>> {
        self.any.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let (Some(any), Some(home)) = (self.any().take(), self.home.upgrade()) {
            home.left().push(any);
        }
    }
}

/// The resources among the arguments of a call.
#[derive(Default)]
pub(super) struct Passed(Vec<Argument>);

struct Argument {
    handle: Handle,
    is_given_away: bool,
    held: Arc<Held>,
}

impl Passed {
    /// What a handle stands for. It is known to be open.
    pub(super) fn pass(&mut self, context: &CallContext, handle: Handle, is_given_away: bool) -> Option<ResourceAny> {
        let held = context.get::<Held>(handle)?;
        let any = *held.any();
        self.0.push(Argument { handle, is_given_away, held });
        any
    }

    /// The store that they are all of; none if there are none.
    pub(super) fn home(&self) -> Result<Option<Arc<Home>>, &'static str> {
        let mut found: Option<Arc<Home>> = None;
        for argument in &self.0 {
            let home = argument.held.home.upgrade().ok_or("it was in a store that has ended: make another one")?;
            match &found {
                Some(other) if !Arc::ptr_eq(other, &home) => {
                    return Err("they are of two stores, made by calls at the same time");
                }
                _ => found = Some(home),
            }
        }
        Ok(found)
    }

    /// Takes those away from the script that the function takes over. With an error, those before it are closed.
    pub(super) fn give_away(self, context: &CallContext) -> Result<(), &'static str> {
        let mut taken = Vec::new();
        for argument in self.0.iter().filter(|argument| argument.is_given_away) {
            // none if another call has closed it, or it is there twice
            taken.push(context.take::<Held>(argument.handle).ok_or("it was given away")?);
        }
        taken.iter().for_each(|held| *held.any() = None);
        Ok(())
    }
}

/// Makes handles of the resources in a result: each is then its handle's number. With an error, there are none.
pub(super) fn open(
    context: &CallContext,
    function: &Function,
    results: &mut [Val],
    home: &Arc<Home>,
) -> Result<Vec<Handle>, Error> {
    let (mut opened, mut failed) = (Vec::new(), None);
    let mut each = |resource: &Resource, val: &mut Val| {
        let Val::Resource(any) = *val else { return };
        let held = Held::new(any, home);
        if failed.is_none() {
            match context.open(&resource.name.kebab, held) {
                Ok(handle) => {
                    opened.push(handle);
                    *val = Val::U32(handle.0);
                }
                Err(error) => failed = Some(error),
            }
        }
    };
    if let (Some(ty), Some(result)) = (&function.result, results.first_mut()) {
        visit(ty, result, &mut each);
    }
    match failed {
        None => Ok(opened),
        Some(error) => {
            close(context, &opened);
            Err(error)
        }
    }
}

pub(super) fn close(context: &CallContext, opened: &[Handle]) {
    for handle in opened {
        drop(context.take::<Held>(*handle));
    }
}

/// Visits the resources in a value of this type.
fn visit(ty: &Ty, val: &mut Val, each: &mut impl FnMut(&Resource, &mut Val)) {
    match (ty.peeled(), val) {
        (Ty::Own(resource), val) => each(resource, val),
        (Ty::List(item), Val::List(vals)) => vals.iter_mut().for_each(|val| visit(item, val, each)),
        (Ty::Tuple(types), Val::Tuple(vals)) => {
            types.iter().zip(vals).for_each(|(ty, val)| visit(ty, val, each));
        }
        (Ty::Map(entry), Val::Map(vals)) => vals.iter_mut().for_each(|(_, val)| visit(&entry.1, val, each)),
        (Ty::Record(record), Val::Record(vals)) => {
            record.fields.iter().zip(vals).for_each(|(field, (_, val))| visit(&field.ty, val, each));
        }
        (Ty::Option(inner), Val::Option(Some(val))) => visit(inner, val, each),
        (Ty::Variant(variant), Val::Variant(name, Some(val))) => {
            let case = variant.cases.iter().find(|case| case.name.kebab == *name);
            if let Some(ty) = case.and_then(|case| case.ty.as_ref()) {
                visit(ty, val, each);
            }
        }
        (Ty::Result(either), Val::Result(Ok(Some(val)))) => {
            if let Some(ty) = &either.ok {
                visit(ty, val, each);
            }
        }
        (Ty::Result(either), Val::Result(Err(Some(val)))) => {
            if let Some(ty) = &either.err {
                visit(ty, val, each);
            }
        }
        _ => (),
    }
}

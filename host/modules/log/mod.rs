//! `motu:log`: lines with a level and fields, to where `print` goes.

use std::future::{Ready, ready};

use serde_bytes::ByteBuf;

use crate::context::CallContext;
use crate::error::{Error, ErrorKind};
use crate::log::LogLevel;
use crate::module::HostModule;
use crate::value::Value;

pub(super) fn module() -> Result<HostModule, Error> {
    Ok(HostModule::from_wit(include_str!("log.wit"))?
        .function("debug", at(LogLevel::Debug))
        .function("info", at(LogLevel::Info))
        .function("warn", at(LogLevel::Warn))
        .function("error", at(LogLevel::Error)))
}

fn at(level: LogLevel) -> impl Fn(CallContext, (ByteBuf, Value)) -> Ready<Result<(), Error>> {
    move |context, (message, fields)| ready(write(&context, level, message.into_vec(), fields))
}

fn write(context: &CallContext, level: LogLevel, message: Vec<u8>, fields: Value) -> Result<(), Error> {
    let unreadable = |error: crate::WireError| Error::new(ErrorKind::Script, error.to_string());
    let fields = match fields {
        Value::Nil => None,
        fields => {
            let bytes = fields.encode().map_err(unreadable)?.len();
            Some((fields, bytes))
        }
    };
    let bytes = message.len();
    context.log(level, message, fields).map_err(|over| {
        let left = over.left;
        Error::new(ErrorKind::Limit, format!("over the limit log_bytes: a line of {bytes} bytes with {left} left"))
    })
}

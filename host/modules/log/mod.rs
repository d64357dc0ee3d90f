//! `motu:log`: lines with a level and fields, to where `print` goes.

use serde_bytes::ByteBuf;

use crate::context::CallContext;
use crate::error::{Error, ErrorKind};
use crate::log::LogLevel;
use crate::module::HostModule;
use crate::wire::Encoded;

pub(super) fn module() -> Result<HostModule, Error> {
    let module = HostModule::from_wit(include_str!("log.wit"))?
        .unread_function("debug", |context, line| write(context, LogLevel::Debug, line))
        .unread_function("info", |context, line| write(context, LogLevel::Info, line))
        .unread_function("warn", |context, line| write(context, LogLevel::Warn, line))
        .unread_function("error", |context, line| write(context, LogLevel::Error, line));
    Ok(module.all_pure()) // as `print` is
}

/// Fuel for each byte of a message that isn't UTF-8. The log counts what such a message becomes, and copies it, with U+FFFD for
/// each wrong byte.
const REWRITTEN_BYTE: u64 = 40;

/// The fields are read only if there is room for the line, which is taken first: calls that wait for their fields to be read hold no
/// more of them than may be logged. It isn't given back if they can't be read.
async fn write(context: CallContext, level: LogLevel, (message, fields): (ByteBuf, Encoded)) -> Result<(), Error> {
    let fields = if fields.is_nil() { None } else { Some(fields) };
    let bytes = fields.as_ref().map_or(0, |fields| fields.bytes().len());
    if std::str::from_utf8(&message).is_err() {
        context.charge(REWRITTEN_BYTE.saturating_mul(message.len() as u64));
    }
    let text = context.take_log_room(message.into_vec(), bytes);
    let text = text.map_err(|over| Error::new(ErrorKind::Limit, format!("over the limit log_bytes: {over}")))?;
    match fields {
        None => context.log(level, text, None),
        Some(fields) => {
            let (fields, _held) = context.read(fields).await?;
            context.log(level, text, Some(fields));
        }
    }
    Ok(())
}

//! `motu:log`: lines with a level and fields, to where `print` goes.

use serde_bytes::ByteBuf;

use crate::context::CallContext;
use crate::error::{Error, ErrorKind};
use crate::log::{LogLevel, OverLog};
use crate::module::HostModule;
use crate::wire::Encoded;

pub(super) fn module() -> Result<HostModule, Error> {
    Ok(HostModule::from_wit(include_str!("log.wit"))?
        .unread_function("debug", |context, line| write(context, LogLevel::Debug, line))
        .unread_function("info", |context, line| write(context, LogLevel::Info, line))
        .unread_function("warn", |context, line| write(context, LogLevel::Warn, line))
        .unread_function("error", |context, line| write(context, LogLevel::Error, line)))
}

/// Fuel for each byte of a message that isn't UTF-8. The log copies such a message, with U+FFFD for each wrong byte.
const REWRITTEN_BYTE: u64 = 20;

/// The fields are read only if the line may be logged: until then, they are the bytes that count for it.
async fn write(context: CallContext, level: LogLevel, (message, fields): (ByteBuf, Encoded)) -> Result<(), Error> {
    let fields = if fields.is_nil() { None } else { Some(fields) };
    let (length, bytes) = (message.len(), fields.as_ref().map_or(0, |fields| fields.bytes().len()));
    let over = |over: OverLog| Error::new(ErrorKind::Limit, format!("over the limit log_bytes: {over}"));
    context.has_room_to_log(length.saturating_add(bytes)).map_err(over)?;
    let fields = match fields {
        Some(fields) => Some((context.read(fields).await?, bytes)),
        None => None,
    };
    if std::str::from_utf8(&message).is_err() {
        context.charge(REWRITTEN_BYTE.saturating_mul(length as u64));
    }
    context.log(level, message.into_vec(), fields).map_err(over)
}

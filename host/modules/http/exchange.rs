//! One request and its response on one connection, which serves for nothing else.

use std::convert::Infallible;
use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

use super::client::By;
use super::deadline::Deadline;
use super::limits::{HEADER_BYTES_MAX, HEADERS_MAX, HttpLimits};
use super::prepare::Prepared;
use super::stream::{Received, Stream, TOO_MUCH};
use super::target::Target;
use super::types::{Failure, FailureKind};

/// The least that hyper may read ahead.
const BUFFER_BYTES_MIN: usize = 8 << 10;

/// A body has room for so much more at a time, at least.
const PIECE_BYTES: usize = 64 << 10;

/// Pieces of a body that are read before others have a turn: in chunks of one byte, these take 40 us.
const FRAMES: u32 = 128;

/// Bytes of a body that are read before others have a turn: over TLS, these take 200 us.
const TURN_BYTES: usize = 128 << 10;

/// A response, before it is looked at.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Empty if it is a redirect that is followed: nobody reads that.
    pub(crate) body: Vec<u8>,
    /// Where it leads, if it is a redirect that is to be followed.
    pub(crate) location: Option<HeaderValue>,
}

/// What a call has, whichever hop it is at.
pub(crate) struct Call<'a> {
    pub(crate) prepared: &'a Prepared,
    pub(crate) limits: &'a HttpLimits,
    pub(crate) deadline: &'a Deadline,
    pub(crate) by: &'a By,
}

/// Sends the request and reads the response.
pub(crate) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    target: &Target,
    call: &Call<'_>,
    received: &Received,
) -> Result<Answer, Failure> {
    let Call { prepared, limits, deadline, by } = *call;
    let request = request(target, prepared)?;
    let header_bytes = limits.header_bytes.min(HEADER_BYTES_MAX) as usize;
    let mut builder = http1::Builder::new();
    // no less than the headers may have
    let buffer_bytes = (header_bytes + 1).max(BUFFER_BYTES_MIN);
    builder.max_headers(HEADERS_MAX).max_header_size(header_bytes).max_buf_size(buffer_bytes);
    let broken = |error: hyper::Error| broken(&error, limits, received);
    let stream = Stream::new(stream, received.clone());
    let (mut sender, connection) = builder.handshake(stream).await.map_err(broken)?;

    let talk = async {
        let response = deadline.hold("the response", sender.send_request(request)).await?.map_err(broken)?;
        let (head, body) = response.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(protocol("the server answered with another protocol"));
        }
        check_framing(&head.headers)?;
        let location = if prepared.redirects > 0 { location(head.status, &head.headers)? } else { None };
        let body = match location {
            None => deadline.hold("the response's body", read(body, limits, broken, by, received)).await??,
            Some(_) => Vec::new(),
        };
        Ok(Answer { status: head.status, headers: head.headers, body, location })
    };
    driven(connection, talk).await
}

/// Does `talk` while the connection is driven. Nothing of either is left behind, also when this future is dropped.
async fn driven<T>(connection: impl Future, talk: impl Future<Output = T>) -> T {
    let (mut connection, mut talk) = (pin!(connection), pin!(talk));
    let mut is_open = true;
    poll_fn(|cx| {
        if is_open {
            is_open = connection.as_mut().poll(cx).is_pending(); // what it ended with, `talk` is told
        }
        talk.as_mut().poll(cx)
    })
    .await
}

fn request(target: &Target, prepared: &Prepared) -> Result<Request<Whole>, Failure> {
    let path = target.path_and_query();
    let unfit = |what: &str| Failure::new(FailureKind::InvalidUrl, format!("the URL's {what} can't be sent"));
    let mut request = Request::new(Whole(prepared.body.clone()));
    *request.method_mut() = prepared.method.clone();
    *request.uri_mut() = path.parse().map_err(|_| unfit("path"))?;
    let mut headers = HeaderMap::with_capacity(prepared.headers.len().saturating_add(4));
    headers.insert(header::HOST, HeaderValue::try_from(target.authority()).map_err(|_| unfit("host"))?);
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("motu/", env!("CARGO_PKG_VERSION"))));
    headers.extend(prepared.headers.clone());
    *request.headers_mut() = headers;
    Ok(request)
}

/// Refuses a response of which it is not plain where its body ends, or that is packed in a way that nobody asked for. RFC
/// 9112, 6.3.
fn check_framing(headers: &HeaderMap) -> Result<(), Failure> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if headers.contains_key(header::CONTENT_LENGTH) {
        return Err(protocol(
            "the server sent both transfer-encoding and content-length, which may name two ends of its body",
        ));
    }
    if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Err(protocol(
            "the server sent its body in other transfer codings than chunked, which is all that can be read",
        ));
    }
    Ok(())
}

/// Where a redirect leads. A status that redirects, without saying where, is an answer like others.
fn location(status: StatusCode, headers: &HeaderMap) -> Result<Option<HeaderValue>, Failure> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let mut locations = headers.get_all(header::LOCATION).iter();
    let location = locations.next();
    match locations.next() {
        Some(_) => Err(protocol("the server redirects to two places at once")),
        None => Ok(location.cloned()),
    }
}

/// The whole body, counted as it comes: what the headers say of its length is believed only if it is too much. What has come is
/// memory of the instance (M4).
async fn read(
    mut body: Incoming,
    limits: &HttpLimits,
    broken: impl Fn(hyper::Error) -> Failure,
    by: &By,
    received: &Received,
) -> Result<Vec<u8>, Failure> {
    let most = limits.response_bytes as usize;
    let too_large = || {
        let message = format!("the response's body is larger than {most} bytes, which is all that it may have");
        Failure::new(FailureKind::TooLarge, message)
    };
    if body.size_hint().lower() > limits.response_bytes.into() {
        return Err(too_large());
    }
    let longest = body.size_hint().upper().map_or(most, |upper| most.min(usize::try_from(upper).unwrap_or(most)));
    let (mut whole, mut held) = (Vec::new(), Vec::new());
    let (mut frames, mut bytes): (u32, usize) = (0, 0);
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame.map_err(&broken)?.into_data() else { continue }; // trailers are left out
        received.add_body(data.len());
        if data.len() > most.saturating_sub(whole.len()) {
            return Err(too_large());
        }
        let lacking = data.len().saturating_sub(whole.capacity() - whole.len());
        if lacking > 0 {
            // half as much again, so that little is copied
            let more = PIECE_BYTES.max(whole.capacity() / 2).min(longest.saturating_sub(whole.capacity())).max(lacking);
            held.push(by.hold(more)?);
            whole.reserve_exact(whole.capacity() - whole.len() + more);
        }
        whole.extend_from_slice(&data);
        (frames, bytes) = (frames + 1, bytes + data.len());
        if frames >= FRAMES || bytes >= TURN_BYTES {
            (frames, bytes) = (0, 0);
            by.spent.give_way().await; // a body is work, and others have turns
        }
    }
    whole.shrink_to_fit(); // it is weighed by its length from here on
    Ok(whole)
}

/// What went wrong with a connection.
fn broken(error: &hyper::Error, limits: &HttpLimits, received: &Received) -> Failure {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    let kind = cause.map(io::Error::kind);
    if kind == Some(TOO_MUCH) {
        let around = received.around();
        let message =
            format!("the server sent {around} bytes that are not of the body, and that was no whole response");
        return Failure::new(FailureKind::TooLarge, message);
    }
    if error.is_parse_too_large() {
        let bytes = limits.header_bytes.min(HEADER_BYTES_MAX);
        let message = format!("the response's headers are more than {HEADERS_MAX}, or larger than {bytes} bytes");
        return Failure::new(FailureKind::TooLarge, message);
    }
    if error.is_parse() {
        return protocol(format!("what the server sent is no HTTP/1: {error}"));
    }
    if error.is_incomplete_message() || kind == Some(io::ErrorKind::UnexpectedEof) {
        return protocol("the server closed the connection before the response was whole");
    }
    match cause {
        Some(cause) => protocol(format!("the connection broke: {cause}")),
        None => protocol(format!("the connection broke: {error}")),
    }
}

fn protocol(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Protocol, message)
}

/// A body that is there already. `None` is none at all, not even an empty one.
struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.get_mut().0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

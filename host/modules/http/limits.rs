//! What a request and its response may take.

/// The most headers of a request, and of a response.
pub(crate) const HEADERS_MAX: usize = 100;

/// The most bytes of headers, whatever the limits say: a name of more than that panics in hyper's debug builds.
pub(crate) const HEADER_BYTES_MAX: u32 = 65_535;

/// The limits of one call, redirects included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HttpLimits {
    /// The request's body, in bytes.
    pub(crate) request_bytes: u32,
    /// The response's body, in bytes, as it comes over the connection.
    pub(crate) response_bytes: u32,
    /// The headers of the request, each with the four bytes around it; and all of what comes before the response's body.
    /// At most [`HEADER_BYTES_MAX`].
    pub(crate) header_bytes: u32,
    /// How many redirects are followed.
    pub(crate) redirects: u32,
    /// From the call to the last byte of the body, in milliseconds.
    pub(crate) timeout_ms: u64,
}

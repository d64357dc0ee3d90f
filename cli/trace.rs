//! `-v`: Motu's own log on stderr. What scripts log is there without it.

use std::io::{self, Write};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::report;

/// Writes what Motu logs from here on: of level info and above, if `-v` is given once, and of level debug too, if it is
/// given more often. At level debug each event has a line when it ends. Without `-v` it is only what people would wait for,
/// or pay for again and again, without knowing why: that the VM was compiled, and where that is kept.
pub(crate) fn start(verbose: u8) {
    let level = match verbose {
        0 => return notes(),
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let lines =
        tracing_subscriber::fmt::layer().with_ansi(false).with_span_events(FmtSpan::CLOSE).with_writer(|| Escaped(""));
    let targets = Targets::new().with_target("motu", level);
    // It fails only if another is there, which nobody has made.
    let _ = tracing_subscriber::registry().with(targets).with(lines).try_init();
}

fn notes() {
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).without_time().with_level(false).with_target(false);
    let targets = Targets::new().with_target("motu::compile", LevelFilter::INFO);
    let lines = lines.with_writer(|| Escaped("note: "));
    let _ = tracing_subscriber::registry().with(targets).with(lines).try_init(); // as above
}

/// stderr, with what scripts may have put into a line escaped, and this before it. It is given whole lines.
struct Escaped(&'static str);

impl Write for Escaped {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = format!("{}{}", self.0, String::from_utf8_lossy(line));
        io::stderr().lock().write_all(report::plain(&text).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! Log lines on stderr: as text, or one JSON object per line, whose `event`s are listed in docs/audit.md. Only targets
//! of this program are logged, because other crates log request bodies.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, LogLevel};
use crate::domain::{printable, without_errno};

/// Which program writes the lines: decides how a text line begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `secret-exec: `; the container runtime adds the time.
    Exec,
    /// `secret-inject: ` and the time, because a server's log is often read much later.
    Inject,
}

/// The target of warnings that no log level suppresses, so that whoever weakens the protection cannot hide it.
pub const ALWAYS: &str = "secret_exec::always";

/// Installs the process's log subscriber; a second call has no effect.
pub fn start(program: Program, format: LogFormat, level: LogLevel) {
    let level = match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    let targets = Targets::new().with_target("secret_exec", level).with_target(ALWAYS, level.max(Level::WARN));
    let registry = tracing_subscriber::registry().with(targets);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    // A second start in one process (only tests do that) keeps the first subscriber.
    let _ = match format {
        LogFormat::Text => registry.with(layer.event_format(Line(program))).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true).with_target(false)).try_init(),
    };
}

/// Formats `secret-exec: warning: cannot read …; trying again in 120 ms`, followed by the fields that the message does
/// not contain.
struct Line(Program);

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    /// Writes an event as one line of text: program, level, message, and fields whose value is not in the message.
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        match self.0 {
            Program::Exec => out.write_str("secret-exec: ")?,
            Program::Inject => {
                SystemTime.format_time(&mut out)?;
                out.write_str(" secret-inject: ")?;
            }
        }
        out.write_str(match *event.metadata().level() {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            Level::INFO => "",
            Level::DEBUG => "debug: ",
            Level::TRACE => "trace: ",
        })?;
        let mut read = Read::default();
        event.record(&mut read);
        read.message = without_errno(read.message);
        out.write_str(&printable(&read.message))?;
        // A field whose value is in the message is only needed in JSON, which programs read.
        for (name, value) in read.fields.iter().filter(|(_, value)| !read.message.contains(value)) {
            write!(out, " {name}={}", printable(value))?;
        }
        writeln!(out)
    }
}

/// The parts of an event: its message, and its other fields.
#[derive(Default)]
struct Read {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Visit for Read {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "event" => {} // for JSON: the message says it to people
            name => self.fields.push((name, format!("{value:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_others_wrote_makes_no_line_of_its_own() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer =
            tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).event_format(Line(Program::Exec));
        let hostile = "x\n\u{1b}[31msecret-exec: forged\u{202e}";
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(lease = hostile, reference = "vault:a", "renewed vault:a of {hostile}!");
        });
        let escaped = "x\\n\\u{1b}[31msecret-exec: forged\\u{202e}";
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, format!("secret-exec: renewed vault:a of {escaped}!\n"));
    }
}

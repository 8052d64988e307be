//! Log lines on stderr: for people, or one JSON object a line. Only our own targets; foreign crates log bodies.

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

/// Which program writes the lines, and so what a text line begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `secret-exec: `; whoever runs the container adds the time.
    Exec,
    /// `secret-inject: ` and the time: a server's log is read long after.
    Inject,
}

/// Sets the process's log up, once; a second call changes nothing.
pub fn start(program: Program, format: LogFormat, level: LogLevel) {
    let level = match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    let targets = Targets::new().with_target("secret_exec", level);
    let registry = tracing_subscriber::registry().with(targets);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    // A second start in one process (only tests do that) keeps the first subscriber.
    let _ = match format {
        LogFormat::Text => registry.with(layer.event_format(Line(program))).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true).with_target(false)).try_init(),
    };
}

/// `secret-exec: warning: cannot read …; trying again in 120 ms`. The message says it all: the fields of an event are for
/// JSON, where programs read them.
struct Line(Program);

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
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
        let mut message = Message { out: out.by_ref(), written: Ok(()) };
        event.record(&mut message);
        message.written?;
        writeln!(out)
    }
}

/// Writes the message of an event and none of its fields.
struct Message<'a> {
    out: Writer<'a>,
    written: fmt::Result,
}

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.written = write!(self.out, "{value:?}");
        }
    }
}

//! Where logs go: to journald with structured fields when it reads our stderr, to stderr as text else.

use std::io::IsTerminal as _;
use std::os::unix::fs::MetadataExt as _;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

/// Begins to log. A second call changes nothing.
pub(super) fn begin() {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .with_env_var("SUPERVISOR_LOG")
        .from_env_lossy()
        // The libraries below tell of every connection.
        .add_directive(LevelFilter::WARN.into())
        .add_directive(own_level());
    let journal = reads_our_stderr()
        .then(tracing_journald::layer)
        .and_then(Result::ok);
    let layer = match journal {
        Some(journal) => journal.with_field_prefix(None).boxed(),
        None => tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .boxed(),
    };
    let _ = tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init();
}

/// `SUPERVISOR_LOG` is the level of our own lines: `error`, `warn`, `info` (default), `debug` or `trace`.
fn own_level() -> tracing_subscriber::filter::Directive {
    let level = std::env::var("SUPERVISOR_LOG")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(LevelFilter::INFO);
    format!("validator_supervisor={level}")
        .parse()
        .unwrap_or_else(|_| level.into())
}

/// systemd names the device and inode of the stream that it connected; another stderr was redirected since.
fn reads_our_stderr() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let stderr = std::fs::metadata("/proc/self/fd/2");
    stderr.is_ok_and(|stderr| stream == format!("{}:{}", stderr.dev(), stderr.ino()))
}

//! What the service manager is told. Without one, nothing is sent; one that does not listen holds up no vote.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use sd_notify::NotifyState;

/// More than the loop takes from one call to the next, and the most that is asked for at a time.
const ROUND: Duration = Duration::from_secs(5);
const EXTENSION: Duration = Duration::from_secs(30);
/// How long the loop waits for room in a service manager's queue with what is said once only.
const ROOM_WITHIN: Duration = Duration::from_millis(200);

/// The unit's watchdog, if it has one.
#[must_use]
pub(super) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// The child's admin RPC answers.
pub(super) fn ready() {
    send(&[NotifyState::Ready], ROOM_WITHIN);
}

/// One line about the present state.
pub(super) fn status(text: &str) {
    send(&[NotifyState::Status(text)], Duration::ZERO);
}

/// The loop and the gate make progress.
pub(super) fn alive() {
    send(&[NotifyState::Watchdog], Duration::ZERO);
}

/// The end has begun.
pub(super) fn stopping() {
    send(&[NotifyState::Stopping], ROOM_WITHIN);
}

/// The end goes on, and may take this long from here.
pub(super) fn extend(by: Duration) {
    send(
        &[NotifyState::ExtendTimeoutUsec(by.as_micros() as u32)],
        Duration::ZERO,
    );
}

/// What to ask for at a time while an end has lasted for `lasted`; nothing where that is longer than `in_reason`.
#[must_use]
pub(super) fn extension(lasted: Duration, in_reason: Duration) -> Option<Duration> {
    let left = in_reason.checked_sub(lasted)?;
    Some(EXTENSION.min(left + ROUND))
}

/// The configuration is being read again. [`ready`] ends it.
pub(super) fn reloading() {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    let states = [
        NotifyState::Reloading,
        NotifyState::MonotonicUsec(now.as_micros() as i128),
    ];
    send(&states, ROOM_WITHIN);
}

/// A service manager that does not listen is not our failure.
fn send(states: &[NotifyState<'_>], room_within: Duration) {
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET") {
        let _ = send_to(&socket, states, room_within);
    }
}

/// One datagram, as sd_notify(3) has it. A name that begins with `@` is an abstract one.
fn send_to(to: &OsStr, states: &[NotifyState<'_>], room_within: Duration) -> io::Result<()> {
    let to = match to.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(to)?,
    };
    let socket = UnixDatagram::unbound()?;
    if room_within.is_zero() {
        socket.set_nonblocking(true)?;
    } else {
        socket.set_write_timeout(Some(room_within))?;
    }
    let text: String = states.iter().map(|state| format!("{state}\n")).collect();
    socket.send_to_addr(text.as_bytes(), &to).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [NotifyState<'_>; 2] = [NotifyState::Ready, NotifyState::Status("active")];

    fn heard_by(socket: &UnixDatagram) -> io::Result<String> {
        let mut bytes = [0; 100];
        let len = socket.recv(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes[..len]).into_owned())
    }

    #[test]
    fn a_socket_is_a_path_or_an_abstract_name() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path)?;
        send_to(path.as_os_str(), &STATES, Duration::ZERO)?;
        assert_eq!(heard_by(&manager)?, "READY=1\nSTATUS=active\n");

        let name = format!("supervisor-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        send_to(OsStr::new(&format!("@{name}")), &STATES, ROOM_WITHIN)?;
        assert_eq!(heard_by(&manager)?, "READY=1\nSTATUS=active\n");
        Ok(())
    }

    #[test]
    fn an_end_is_given_time_within_reason_and_none_after() {
        let (second, reason) = (Duration::from_secs(1), Duration::from_secs(100));
        assert_eq!(extension(second, reason), Some(EXTENSION));
        assert_eq!(extension(90 * second, reason), Some(15 * second));
        assert_eq!(extension(reason, reason), Some(ROUND));
        assert_eq!(extension(reason + second, reason), None);
        let asked_in_all =
            (0..1_000).map(|at| extension(at * second, reason).map(|more| at * second + more));
        assert_eq!(asked_in_all.flatten().max(), Some(reason + ROUND));
    }

    #[test]
    fn a_full_queue_is_an_error_soon() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("notify");
        let _manager = UnixDatagram::bind(&path)?;
        while send_to(path.as_os_str(), &STATES, Duration::ZERO).is_ok() {}
        let begun = std::time::Instant::now();
        assert!(send_to(path.as_os_str(), &STATES, ROOM_WITHIN).is_err());
        assert!(begun.elapsed() >= ROOM_WITHIN);
        Ok(())
    }
}

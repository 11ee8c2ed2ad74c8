//! The gate with a process of our own behind it, and a keeper that does as it is told.

use std::ffi::CString;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeValLike as _;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use tempfile::TempDir;

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);
const HOLD_MAX: Duration = Duration::from_millis(300);
/// Long enough for several looks at what is waited for.
const RETRIES: Duration = Duration::from_millis(100);
const NOBODYS: &str = "vote_history-11111111111111111111111111111111.bin";
const VOTER: &str = "BKikUk3eqXkpwWe7WTbsPsb5J2cKbvsdrRwPm4rjJVMX";

/// A forked process that renames one file whenever it is told.
struct Renamer {
    pid: Pid,
    socket: UnixStream,
}

impl Renamer {
    fn start(source: &Path, target: &Path) -> (Self, Listener) {
        let filter = Filter::new();
        let [source, target] =
            [source, target].map(|path| CString::new(path.as_os_str().as_bytes()).expect("a path"));
        let (socket, theirs) = UnixStream::pair().expect("a socket");
        // SAFETY: the child calls only `rename_when_told`, which allocates nothing, takes no lock and never returns.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "no fork");
        if pid == 0 {
            rename_when_told(&filter, &theirs, &source, &target);
        }
        let pid = Pid::from_raw(pid);
        let listener = await_some(|| pass_fd::receive(socket.as_fd()).expect("a message"));
        socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        (Self { pid, socket }, Listener::new(listener))
    }

    fn begin(&mut self) {
        self.socket.write_all(&[0]).expect("a renamer");
    }

    /// The error code of the rename; 0 when it was done.
    fn end(&mut self) -> i32 {
        let mut code = [0; 4];
        self.socket.read_exact(&mut code).expect("an answer");
        i32::from_ne_bytes(code)
    }
}

impl Drop for Renamer {
    fn drop(&mut self) {
        let _ = kill(self.pid, Signal::SIGKILL);
        let _ = waitpid(self.pid, None);
    }
}

fn rename_when_told(filter: &Filter, socket: &UnixStream, from: &CString, to: &CString) -> ! {
    // SAFETY: takes integers only.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let sent = filter
        .install()
        .is_ok_and(|listener| pass_fd::send(socket.as_fd(), listener.as_fd()).is_ok());
    let fd = socket.as_raw_fd();
    let mut byte = 0u8;
    // SAFETY: one byte is read into a place that we own.
    while sent && unsafe { libc::read(fd, (&raw mut byte).cast(), 1) } == 1 {
        // SAFETY: both are strings with an end.
        let done = unsafe { libc::rename(from.as_ptr(), to.as_ptr()) } == 0;
        let code = match std::io::Error::last_os_error().raw_os_error() {
            Some(code) if !done => code,
            _ => 0,
        };
        let bytes = code.to_ne_bytes();
        // SAFETY: four bytes are read from a place that we own.
        unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    }
    // SAFETY: ends the process without running anything of the parent's.
    unsafe { libc::_exit(0) }
}

fn await_some<T>(mut find: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < until, "it does not come");
        std::thread::yield_now();
    }
}

fn await_that(is: impl Fn() -> bool) {
    await_some(|| is().then_some(()));
}

/// What comes after a vote: hangs while the test holds the lock.
#[derive(Default)]
struct After {
    hangs: Mutex<()>,
    begun: AtomicU64,
}

/// Answers what the test sends, and hangs until it does.
struct Told(Receiver<Kept>, Arc<After>);

impl Keeper for Told {
    fn keep(&mut self, _: RecordMark, _: &[u8]) -> Kept {
        self.0
            .recv()
            .unwrap_or_else(|_| Kept::Unsettled("the test has ended".into()))
    }

    fn rest(&mut self) {
        self.1.begun.fetch_add(1, Ordering::Relaxed);
        drop(lock(&self.1.hangs));
    }
}

/// Dropped in this order: the process goes before the directory.
struct Lab {
    gate: Gate,
    meter: Arc<Meter>,
    events: events::UnboundedReceiver<GateEvent>,
    kept: Sender<Kept>,
    after: Arc<After>,
    renamer: Renamer,
    target: PathBuf,
    _dir: TempDir,
}

impl Lab {
    /// With a child that renames a real tower to this name.
    fn new(name: &str, hold_max: Duration) -> Self {
        let dir = TempDir::new().expect("a directory");
        let (source, target) = (dir.path().join("new"), dir.path().join(name));
        let tower = include_bytes!(
            "../../../tests/fixtures/records/tower-1_9-BKikUk3eqXkpwWe7WTbsPsb5J2cKbvsdrRwPm4rjJVMX.bin"
        );
        std::fs::write(&source, tower).expect("a file");
        let (renamer, listener) = Renamer::start(&source, &target);
        let (facts, _) = watch::channel(GateFacts::default());
        let (sender, events) = events::unbounded_channel();
        let meter = Arc::new(Meter::aged(Duration::from_secs(9)).expect("a clock"));
        let reports = Reports {
            facts,
            events: sender,
            meter: Arc::clone(&meter),
        };
        let (kept, answers) = channel();
        let voter = VOTER.parse().expect("a key");
        let after = Arc::<After>::default();
        let keeper = Box::new(Told(answers, Arc::clone(&after)));
        let gate = Gate::start(listener, voter, hold_max, keeper, reports);
        Self {
            gate: gate.expect("a gate"),
            meter,
            events,
            kept,
            after,
            renamer,
            target,
            _dir: dir,
        }
    }

    fn voting(hold_max: Duration) -> Self {
        let lab = Self::new(&format!("tower-1_9-{VOTER}.bin"), hold_max);
        lab.gate.open(Term(1), None);
        lab
    }

    fn refusal(&mut self) -> String {
        await_some(|| match self.events.try_recv() {
            Ok(GateEvent::Refused { why, .. }) => Some(why),
            _ => None,
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.gate.end();
    }
}

#[test]
fn a_vote_goes_on_when_it_is_committed_and_not_before() {
    let mut lab = Lab::voting(DEADLINE);
    lab.renamer.begin();
    await_that(|| lab.meter.waiting() == 1);
    assert!(!lab.target.exists());
    lab.kept.send(Kept::Committed).expect("a keeper");
    assert_eq!(lab.renamer.end(), 0);
    assert!(lab.target.exists());
    await_that(|| lab.meter.read().commits == 1);
}

#[test]
fn a_commit_that_hangs_is_refused_and_seen_as_a_stall_until_it_returns() {
    let mut lab = Lab::voting(HOLD_MAX);
    lab.renamer.begin();
    assert_eq!(lab.renamer.end(), libc::EIO);
    assert!(!lab.target.exists());
    let why = lab.refusal();
    assert!(why.contains("did not return"), "{why}");
    // While nothing is committed there is a sign of life more often.
    await_that(|| lab.meter.stalled() > SIGN_OF_LIFE * 3);
    lab.kept.send(Kept::Committed).expect("a keeper");
    await_that(|| lab.meter.stalled() < SIGN_OF_LIFE);
    assert!(!lab.target.exists(), "its answer was a refusal");
    assert_eq!(lab.meter.waiting(), 0);
}

#[test]
fn what_comes_after_a_vote_delays_the_next_one_alone_and_no_longer_than_it_may_wait() {
    let mut lab = Lab::voting(HOLD_MAX);
    let after = Arc::clone(&lab.after);
    let hangs = lock(&after.hangs);
    lab.kept.send(Kept::Committed).expect("a keeper");
    lab.renamer.begin();
    assert_eq!(lab.renamer.end(), 0, "the vote before it is out");
    await_that(|| after.begun.load(Ordering::Relaxed) == 1);
    std::fs::copy(&lab.target, lab.target.with_file_name("new")).expect("the next vote");
    lab.renamer.begin();
    assert_eq!(lab.renamer.end(), libc::EIO);
    assert!(lab.refusal().contains("did not return"));
    await_that(|| lab.meter.stalled() > SIGN_OF_LIFE * 3);
    drop(hangs);
    await_that(|| lab.meter.stalled() < SIGN_OF_LIFE);
    assert_eq!(lab.meter.waiting(), 0);
    assert_eq!(lab.meter.read().refused, 1, "it is answered once");
    // The one that was refused is not committed afterwards: this answer is for the next.
    lab.kept.send(Kept::Committed).expect("a keeper");
    lab.renamer.begin();
    assert_eq!(lab.renamer.end(), 0);
    await_that(|| lab.meter.read().commits == 2);
}

#[test]
fn a_gate_that_holds_has_a_vote_wait_until_it_is_opened_and_refuses_it_when_that_takes_long() {
    let mut lab = Lab::new(&format!("tower-1_9-{VOTER}.bin"), DEADLINE);
    lab.gate.hold();
    lab.kept.send(Kept::Committed).expect("a keeper");
    lab.renamer.begin();
    await_that(|| lab.meter.waiting() == 1);
    std::thread::sleep(RETRIES);
    assert!(!lab.target.exists());
    lab.gate.open(Term(1), None);
    assert_eq!(lab.renamer.end(), 0);
    await_that(|| lab.meter.read().commits == 1);

    let mut lab = Lab::new(&format!("tower-1_9-{VOTER}.bin"), HOLD_MAX);
    lab.gate.hold();
    lab.renamer.begin();
    assert_eq!(lab.renamer.end(), libc::EIO);
    let why = lab.refusal();
    assert!(why.contains("the gate is not open yet"), "{why}");
}

#[test]
fn a_commit_is_told_of_before_its_vote_goes_out() {
    let mut lab = Lab::voting(DEADLINE);
    let facts = lab.gate.shared.reports.facts.subscribe();
    let unchanged = facts.borrow();
    lab.kept.send(Kept::Committed).expect("a keeper");
    lab.renamer.begin();
    await_that(|| lab.meter.waiting() == 1);
    std::thread::sleep(RETRIES);
    assert!(!lab.target.exists(), "out, and not told of");
    drop(unchanged);
    assert_eq!(lab.renamer.end(), 0);
    assert!(facts.borrow().last.is_some());
}

#[test]
fn questions_that_cannot_be_taken_are_not_asked_for_without_a_pause() {
    let lab = Lab::voting(DEADLINE);
    // Ready to be read for ever, and no listener.
    let broken = nix::sys::eventfd::EventFd::from_value(1).expect("an event");
    let reports = lab.gate.shared.reports.clone();
    let keeper = Box::new(Told(channel().1, Arc::default()));
    let listener = Listener::new(broken.into());
    let gate = Gate::start(listener, Pubkey::new([1; 32]), DEADLINE, keeper, reports);
    let gate = gate.expect("a gate");
    let shared = Arc::clone(&gate.shared);
    let thread = std::thread::spawn(move || {
        receiver::listen(&shared, &mut PathBuffer::new());
        getrusage(UsageWho::RUSAGE_THREAD)
    });
    std::thread::sleep(RETRIES * 3);
    gate.end();
    let used = thread.join().expect("the thread").expect("its usage");
    // However little of a processor it was given: it slept between any two tries.
    let time = used.user_time() + used.system_time();
    let slept = used.voluntary_context_switches();
    assert!(time.num_milliseconds() <= slept + 1, "{used:?}");
}

#[test]
fn threads_that_have_ended_are_seen_as_a_stall() {
    let lab = Lab::voting(HOLD_MAX);
    await_that(|| lab.meter.stalled() < SIGN_OF_LIFE);
    lab.gate.end();
    await_that(|| lab.meter.stalled() > SIGN_OF_LIFE * 3);
}

#[test]
fn a_lost_term_is_reported_by_its_number() {
    let mut lab = Lab::voting(DEADLINE);
    lab.kept
        .send(Kept::TermLost("taken over".into()))
        .expect("a keeper");
    lab.renamer.begin();
    assert_eq!(lab.renamer.end(), libc::EIO);
    let lost = await_some(|| lab.events.try_recv().ok());
    assert!(
        matches!(lost, GateEvent::TermLost { term: Term(1), .. }),
        "{lost:?}"
    );
}

#[test]
fn the_vote_of_the_migration_passes_only_while_the_gate_is_open() {
    let mut lab = Lab::new(NOBODYS, DEADLINE);
    lab.renamer.begin();
    assert_eq!(lab.renamer.end(), libc::EIO);
    assert!(lab.refusal().contains("holds no term"));
    lab.gate.open(Term(1), None);
    lab.renamer.begin();
    assert_eq!(lab.renamer.end(), 0);
    assert!(lab.target.exists());
    await_that(|| lab.meter.waiting() == 0);
    let reading = lab.meter.read();
    assert_eq!((reading.commits, reading.refused), (0, 1));
}

#[test]
fn a_vote_waits_while_the_loop_hangs_and_goes_on_when_it_turns() {
    let mut lab = Lab::voting(DEADLINE);
    lab.kept.send(Kept::Committed).expect("a keeper");
    lab.meter.loop_was_alive_long_ago();
    lab.renamer.begin();
    let waiting = await_some(|| lab.events.try_recv().ok());
    assert!(
        matches!(&waiting, GateEvent::Waiting { why, .. } if why.contains("loop hangs")),
        "{waiting:?}"
    );
    assert!(!lab.target.exists());
    lab.meter.loop_is_alive();
    assert_eq!(lab.renamer.end(), 0);
}

#[test]
fn a_vote_is_refused_when_the_loop_hangs_for_longer_than_it_may_wait() {
    for name in [&format!("tower-1_9-{VOTER}.bin"), NOBODYS] {
        let mut lab = Lab::new(name, HOLD_MAX);
        lab.gate.open(Term(1), None);
        lab.kept.send(Kept::Committed).expect("a keeper");
        lab.meter.loop_was_alive_long_ago();
        let begun = Instant::now();
        lab.renamer.begin();
        assert_eq!(lab.renamer.end(), libc::EIO, "{name}");
        assert!(begun.elapsed() >= HOLD_MAX, "{name} was refused at once");
        assert!(lab.refusal().contains("loop hangs"));
    }
}

#[test]
fn gates_that_share_their_reports_are_told_apart() {
    let lab = Lab::voting(HOLD_MAX);
    assert_ne!(lab.gate.id(), lab.meter.next_gate());
}

#[tokio::test]
async fn closing_lets_a_vote_pass_that_was_built_just_before_however_long_none_had_come() {
    const QUIET: Duration = Duration::from_secs(2);
    let mut lab = Lab::voting(DEADLINE);
    assert!(lab.meter.silence() > QUIET);
    lab.kept.send(Kept::Committed).expect("a keeper");
    let gate = lab.gate.clone();
    let vote = async {
        lab.renamer.begin();
        lab.renamer.end()
    };
    let ((), code) = tokio::join!(gate.close(QUIET), vote);
    assert_eq!(code, 0);
}

#[tokio::test]
async fn closing_waits_for_the_vote_that_was_just_let_go_to_be_sent() {
    const QUIET: Duration = Duration::from_millis(400);
    let mut lab = Lab::voting(DEADLINE);
    lab.renamer.begin();
    await_that(|| lab.meter.waiting() == 1 && lab.meter.silence() > QUIET);
    let kept = lab.kept.clone();
    let answered = std::thread::spawn(move || {
        kept.send(Kept::Committed).expect("a keeper");
        Instant::now()
    });
    lab.gate.close(QUIET).await;
    let closed = Instant::now();
    let answered = answered.join().expect("a thread");
    let between = closed.saturating_duration_since(answered);
    // Its clock counts whole milliseconds.
    assert!(between + Duration::from_millis(2) >= QUIET, "{between:?}");
    assert_eq!(lab.renamer.end(), 0);
}

//! A program that is held where it opens a file: what it does before has happened, and nothing after it.
//!
//! The kernel asks (fanotify(7), which takes root) before it lets the file be opened. Other programs, and other files, pass.

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::fanotify::{
    EventFFlags, Fanotify, FanotifyEvent, FanotifyResponse, InitFlags, MarkFlags, MaskFlags,
    Response,
};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

const LOOK_EVERY_MS: u16 = 20;

/// Where a program is to be held.
#[derive(Clone, Debug)]
pub struct Point {
    pub dir: PathBuf,
    /// The file in it that is opened.
    pub file: String,
    /// How many times it is let through before.
    pub skip: usize,
    /// Not there, but where the same thread opens the directory next: the file is whole, and has its name.
    pub named: bool,
}

/// Holds a program until it is dropped. See the module.
#[derive(Debug)]
pub struct Held {
    reached: Arc<AtomicBool>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Held {
    /// From here on the process `pid` is held when it comes to `point`.
    ///
    /// # Errors
    /// It takes root, and a kernel that asks.
    pub fn at(pid: i32, point: Point) -> io::Result<Self> {
        let flags = InitFlags::FAN_CLASS_CONTENT
            | InitFlags::FAN_REPORT_TID
            | InitFlags::FAN_NONBLOCK
            | InitFlags::FAN_CLOEXEC;
        let group = Fanotify::init(flags, EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC)?;
        let opens = MaskFlags::FAN_OPEN_PERM | MaskFlags::FAN_EVENT_ON_CHILD | MaskFlags::FAN_ONDIR;
        group.mark(MarkFlags::FAN_MARK_ADD, opens, AT_FDCWD, Some(&point.dir))?;
        let (reached, ends) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let watch = Watch {
            pid,
            point,
            group,
            reached: Arc::clone(&reached),
            opened_by: None,
            held: Vec::new(),
        };
        let ending = Arc::clone(&ends);
        Ok(Self {
            reached,
            ends,
            thread: Some(thread::spawn(move || watch.run(&ending))),
        })
    }

    /// Whether it stands there.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.reached.load(Ordering::Acquire)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // The kernel lets everybody through once nobody listens.
            let _ = thread.join();
        }
    }
}

struct Watch {
    pid: i32,
    point: Point,
    group: Fanotify,
    reached: Arc<AtomicBool>,
    /// The thread whose next look at the directory is meant.
    opened_by: Option<i32>,
    held: Vec<FanotifyEvent>,
}

impl Watch {
    fn run(mut self, ends: &AtomicBool) {
        while !ends.load(Ordering::Acquire) {
            let mut ready = [PollFd::new(self.group.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut ready, PollTimeout::from(LOOK_EVERY_MS));
            match self.group.read_events() {
                Ok(events) => events.into_iter().for_each(|event| self.ask(event)),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(error) => panic!("the files of a program that is to be held: {error}"),
            }
        }
        for event in std::mem::take(&mut self.held) {
            self.let_through(&event);
        }
    }

    fn ask(&mut self, event: FanotifyEvent) {
        if !self.is_reached() && self.is_there(&event) {
            self.held.push(event);
            return self.reached.store(true, Ordering::Release);
        }
        self.let_through(&event);
    }

    fn is_reached(&self) -> bool {
        self.reached.load(Ordering::Acquire)
    }

    fn is_there(&mut self, event: &FanotifyEvent) -> bool {
        let Some(path) = opened(event).filter(|_| self.is_of_it(event.pid())) else {
            return false;
        };
        if self.opened_by == Some(event.pid()) && path == self.point.dir {
            return true;
        }
        if path != self.point.dir.join(&self.point.file) {
            return false;
        }
        if self.point.skip > 0 {
            self.point.skip -= 1;
            return false;
        }
        if self.point.named {
            self.opened_by = Some(event.pid());
        }
        !self.point.named
    }

    fn is_of_it(&self, thread: i32) -> bool {
        Path::new(&format!("/proc/{}/task/{thread}", self.pid)).exists()
    }

    fn let_through(&self, event: &FanotifyEvent) {
        if let Some(file) = event.fd() {
            let response = FanotifyResponse::new(file, Response::FAN_ALLOW);
            // One that was killed meanwhile needs no answer.
            let _ = self.group.write_response(response);
        }
    }
}

fn opened(event: &FanotifyEvent) -> Option<PathBuf> {
    let file = event.fd()?.as_raw_fd();
    std::fs::read_link(format!("/proc/self/fd/{file}")).ok()
}

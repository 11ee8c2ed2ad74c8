//! What joins the hosts of a test's network: a thread that carries each packet from one device to another, or does not.
//!
//! Loss, delay and cuts are decided here, for each direction of each pair alone, so that they need nothing from the kernel
//! (`tc netem`, iptables) and no link can be left cut on the machine. No routing, no fragments, IPv4 only.

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Packets taken from one device before the others have their turn.
const BURST: usize = 64;
const PACKET_BYTES_MAX: usize = 65_536;

/// One direction between two hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Nothing passes, and nobody is told: as a cable cut somewhere on the way.
    pub cut: bool,
    pub delay_ms: u64,
    /// Up to so much more delay, each packet its own: packets overtake each other.
    pub jitter_ms: u64,
    /// 0 to 100.
    pub loss_percent: u8,
}

/// What became of the packets of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub passed: u64,
    pub dropped: u64,
}

/// The links and counts, by sender and receiver.
#[derive(Debug, Default)]
pub(crate) struct Links {
    pub(crate) shapes: BTreeMap<(usize, usize), Link>,
    pub(crate) counts: BTreeMap<(usize, usize), Count>,
}

/// Carries packets until dropped.
#[derive(Debug)]
pub(crate) struct Switch {
    links: Arc<Mutex<Links>>,
    /// Closed to end the thread.
    open: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Switch {
    pub(crate) fn start(devices: Vec<(Ipv4Addr, File)>) -> io::Result<Self> {
        let links = Arc::new(Mutex::new(Links::default()));
        let (ended, open) = io::pipe()?;
        let addresses = devices.iter().enumerate();
        let mut carrier = Carrier {
            addresses: addresses.map(|(index, (ip, _))| (*ip, index)).collect(),
            devices: devices.into_iter().map(|(_, device)| device).collect(),
            links: Arc::clone(&links),
            waiting: BinaryHeap::new(),
            taken: 0,
            dice: 0x9E37_79B9_7F4A_7C15,
            ended,
        };
        let thread = thread::Builder::new().name("switch".into());
        let thread = thread.spawn(move || while carrier.carry() {})?;
        Ok(Self {
            links,
            open: Some(open),
            thread: Some(thread),
        })
    }

    /// A change holds for every packet that is taken after it; those under way arrive.
    pub(crate) fn links(&self) -> MutexGuard<'_, Links> {
        locked(&self.links)
    }
}

fn locked(links: &Mutex<Links>) -> MutexGuard<'_, Links> {
    links.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Switch {
    fn drop(&mut self) {
        drop(self.open.take());
        // It panics over nothing; if it did, the test has failed by what it did not carry.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Due when, in which order, for whom, what.
type Waiting = Reverse<(Instant, u64, usize, Vec<u8>)>;

struct Carrier {
    devices: Vec<File>,
    addresses: BTreeMap<Ipv4Addr, usize>,
    links: Arc<Mutex<Links>>,
    waiting: BinaryHeap<Waiting>,
    taken: u64,
    dice: u64,
    ended: PipeReader,
}

impl Carrier {
    /// One turn: waits for packets, or for one to fall due. False at the end.
    fn carry(&mut self) -> bool {
        let Some(ready) = self.wait() else {
            return false;
        };
        for from in ready {
            self.take_from(from);
        }
        self.deliver_due();
        true
    }

    /// The devices with packets; none when the switch is to end.
    fn wait(&self) -> Option<Vec<usize>> {
        let first = self.waiting.peek();
        let timeout = first.map(|Reverse((due, ..))| {
            TimeSpec::from(due.saturating_duration_since(Instant::now()))
        });
        let mut polled = vec![PollFd::new(self.ended.as_fd(), PollFlags::POLLIN)];
        let devices = self.devices.iter();
        polled.extend(devices.map(|device| PollFd::new(device.as_fd(), PollFlags::POLLIN)));
        // Interrupted by a signal: nothing is ready, and the next turn waits again.
        let _ = ppoll(&mut polled, timeout, None);
        let ready = |at: &PollFd| at.any() == Some(true);
        if ready(&polled[0]) {
            return None;
        }
        let devices = polled[1..].iter().enumerate();
        Some(
            devices
                .filter(|(_, at)| ready(at))
                .map(|(index, _)| index)
                .collect(),
        )
    }

    fn take_from(&mut self, from: usize) {
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        for _ in 0..BURST {
            let Ok(length) = (&self.devices[from]).read(&mut buffer) else {
                return;
            };
            let packet = &buffer[..length];
            if let Some(to) = receiver(packet).and_then(|ip| self.addresses.get(&ip).copied()) {
                self.take(from, to, packet);
            }
        }
    }

    fn take(&mut self, from: usize, to: usize, packet: &[u8]) {
        let loss = self.roll(100);
        let jitter = self.roll(1_000_000);
        let mut links = locked(&self.links);
        let link = links.shapes.get(&(from, to)).copied().unwrap_or_default();
        let count = links.counts.entry((from, to)).or_default();
        if link.cut || loss < u64::from(link.loss_percent) {
            count.dropped += 1;
            return;
        }
        count.passed += 1;
        drop(links);
        let delay_us = link.delay_ms * 1000 + link.jitter_ms * jitter / 1000;
        if delay_us == 0 {
            deliver(&self.devices[to], packet);
            return;
        }
        self.taken += 1;
        let due = Instant::now() + Duration::from_micros(delay_us);
        self.waiting
            .push(Reverse((due, self.taken, to, packet.to_vec())));
    }

    fn deliver_due(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((due, ..))) = self.waiting.peek()
            && *due <= now
        {
            if let Some(Reverse((_, _, to, packet))) = self.waiting.pop() {
                deliver(&self.devices[to], &packet);
            }
        }
    }

    /// A number below `sides`, by xorshift.
    fn roll(&mut self, sides: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % sides
    }
}

/// A device that does not take a packet loses it, as a real one does.
fn deliver(mut device: &File, packet: &[u8]) {
    let _ = device.write(packet);
}

/// Where an IPv4 packet goes: bytes 16 to 19 of its header.
fn receiver(packet: &[u8]) -> Option<Ipv4Addr> {
    let version_4 = packet.first()? >> 4 == 4;
    let address: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    version_4.then(|| Ipv4Addr::from(address))
}

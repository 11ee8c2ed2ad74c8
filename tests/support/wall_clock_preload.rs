//! A library for `LD_PRELOAD`: the wall clock of the programs it is loaded into is off by what a file says.
//!
//! The file that `TESTKIT_WALL_CLOCK` names holds nanoseconds, signed, 64 bit, in the machine's order; it is mapped, so that a
//! change holds at once. Only `clock_gettime` of the real-time clock is met: programs that ask the kernel themselves (Go's,
//! and static ones), and the other clocks, keep their time. Nothing here allocates or locks: it may run anywhere.

use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicPtr, Ordering};

const VARIABLE: &CStr = c"TESTKIT_WALL_CLOCK";
const SECOND_NS: i64 = 1_000_000_000;

static NO_OFFSET: AtomicI64 = AtomicI64::new(0);
/// The mapped file, or [`NO_OFFSET`] when there is none; null until the first question.
static OFFSET: AtomicPtr<AtomicI64> = AtomicPtr::new(ptr::null_mut());

/// # Safety
/// As of clock_gettime(2): `time` is valid for a write, or null where the kernel takes that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    // SAFETY: the caller's own arguments, which the kernel checks.
    let outcome = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
    let wall = clock == libc::CLOCK_REALTIME || clock == libc::CLOCK_REALTIME_COARSE;
    if outcome == 0 && wall {
        // SAFETY: the kernel has written to it, so it is valid and nobody else's.
        shift(unsafe { &mut *time }, offset().load(Ordering::Relaxed));
    }
    if outcome == 0 { 0 } else { -1 }
}

fn shift(time: &mut libc::timespec, offset_ns: i64) {
    let shifted_ns = time.tv_nsec + offset_ns % SECOND_NS;
    time.tv_sec += offset_ns / SECOND_NS + shifted_ns.div_euclid(SECOND_NS);
    time.tv_nsec = shifted_ns.rem_euclid(SECOND_NS);
}

fn offset() -> &'static AtomicI64 {
    let mut known = OFFSET.load(Ordering::Acquire);
    if known.is_null() {
        // Two threads at once map it twice, which does no harm.
        known = mapped().unwrap_or((&raw const NO_OFFSET).cast_mut());
        OFFSET.store(known, Ordering::Release);
    }
    // SAFETY: either a static, or a mapping of at least eight bytes that is never undone.
    unsafe { &*known }
}

fn mapped() -> Option<*mut AtomicI64> {
    // SAFETY: the names are C strings, the descriptor is ours until it is closed, and a page mapped by the kernel is aligned.
    unsafe {
        let path = libc::getenv(VARIABLE.as_ptr());
        if path.is_null() {
            return None;
        }
        let file = libc::open(path, libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return None;
        }
        let length = size_of::<AtomicI64>();
        let page = libc::mmap(
            ptr::null_mut(),
            length,
            libc::PROT_READ,
            libc::MAP_SHARED,
            file,
            0,
        );
        libc::close(file);
        (page != libc::MAP_FAILED).then_some(page.cast())
    }
}

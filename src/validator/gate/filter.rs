//! The seccomp program that makes a child ask before it renames or makes a directory.
//!
//! It is built before the fork and installed between fork and exec, where nothing may allocate. Every other system call
//! is allowed by one comparison chain of at most six instructions.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

use libc::{c_long, sock_filter, sock_fprog};

#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;

/// The calls that wait for an answer.
#[cfg(target_arch = "x86_64")]
pub(super) const GATED: [c_long; 5] = [
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
];
#[cfg(target_arch = "aarch64")]
pub(super) const GATED: [c_long; 3] = [libc::SYS_renameat, libc::SYS_renameat2, libc::SYS_mkdirat];

/// Offsets in `struct seccomp_data`.
const NR_OFFSET: u32 = 0;
const ARCH_OFFSET: u32 = 4;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const ABOVE: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const ANSWER: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// On x86-64 the same kernel serves a second ABI whose call numbers carry this bit.
const X32_BIT: u32 = 0x4000_0000;

/// A filter ready to be installed. Holds plain memory only.
#[derive(Debug)]
pub struct Filter {
    program: Vec<sock_filter>,
}

impl Filter {
    /// Builds the program for this machine.
    #[must_use]
    pub fn new() -> Self {
        let gated = GATED.len() as u8;
        let step = |code, k, jt, jf| sock_filter { code, jt, jf, k };
        let mut program = vec![
            step(LOAD, ARCH_OFFSET, 0, 0),
            // A call of another architecture could rename under another number: it fails.
            step(EQUAL, ARCH, 0, gated + 3),
            step(LOAD, NR_OFFSET, 0, 0),
            step(ABOVE, X32_BIT, gated + 1, 0),
        ];
        for (at, nr) in (0u8..).zip(GATED) {
            program.push(step(EQUAL, nr as u32, gated - at + 1, 0));
        }
        program.push(step(ANSWER, libc::SECCOMP_RET_ALLOW, 0, 0));
        program.push(step(
            ANSWER,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32,
            0,
            0,
        ));
        program.push(step(ANSWER, libc::SECCOMP_RET_USER_NOTIF, 0, 0));
        Self { program }
    }

    /// Installs the filter on the calling thread and all it will start, and returns the listener. Allocates nothing.
    ///
    /// Without the right to install filters it gives up, for good, the right to gain privileges by exec.
    ///
    /// # Errors
    /// What the kernel answers: `ENOSYS` or `EINVAL` on a kernel before 5.0, `EBUSY` where a filter of a surrounding
    /// service manager listens already.
    pub fn install(&self) -> io::Result<OwnedFd> {
        match self.try_install() {
            Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
                // SAFETY: prctl with these constants reads no memory.
                if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
                    return Err(io::Error::last_os_error());
                }
                self.try_install()
            }
            other => other,
        }
    }

    fn try_install(&self) -> io::Result<OwnedFd> {
        let base = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
        // Kernels before 5.19 do not know the second flag; without it a signal to the waiting thread repeats the question.
        match self.seccomp(base | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => self.seccomp(base),
            other => other,
        }
    }

    fn seccomp(&self, flags: libc::c_ulong) -> io::Result<OwnedFd> {
        let program = sock_fprog {
            len: self.program.len() as u16,
            filter: self.program.as_ptr().cast_mut(),
        };
        // SAFETY: `program` and the instructions it points to live across the call, and the kernel only reads them.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const program,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor, and nobody else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program as the kernel would, for a call of this machine's architecture.
    fn answer(program: &[sock_filter], arch: u32, nr: u32) -> u32 {
        let (mut at, mut loaded) = (0, 0);
        loop {
            let step = &program[at];
            at += 1;
            let jump = match step.code {
                LOAD => {
                    loaded = if step.k == ARCH_OFFSET { arch } else { nr };
                    0
                }
                EQUAL => {
                    if loaded == step.k {
                        step.jt
                    } else {
                        step.jf
                    }
                }
                ABOVE => {
                    if loaded >= step.k {
                        step.jt
                    } else {
                        step.jf
                    }
                }
                ANSWER => return step.k,
                other => panic!("unknown instruction {other}"),
            };
            at += usize::from(jump);
        }
    }

    #[test]
    fn gated_calls_ask_and_all_others_pass() {
        let program = Filter::new().program;
        for nr in 0..600 {
            let expected = if GATED.contains(&nr) {
                libc::SECCOMP_RET_USER_NOTIF
            } else {
                libc::SECCOMP_RET_ALLOW
            };
            assert_eq!(answer(&program, ARCH, nr as u32), expected, "call {nr}");
        }
    }

    #[test]
    fn calls_of_other_architectures_fail() {
        let program = Filter::new().program;
        let refused = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
        assert_eq!(answer(&program, 0x4000_0003, 38), refused);
        assert_eq!(answer(&program, ARCH, X32_BIT | 82), refused);
    }
}

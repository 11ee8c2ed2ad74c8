//! Machines that cannot gate votes: a seccomp filter in front of the supervisor plays their kernel.

use crate::lab::{Lab, said};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use testkit::stand_in::Protocol;

#[test]
fn a_kernel_that_knows_no_such_filter_is_named_with_the_version_it_takes() {
    let text = refused(libc::SYS_seccomp, libc::EINVAL);
    assert!(
        text.contains("refuses the vote gate's seccomp filter") && text.contains("Linux 5.5"),
        "{text}"
    );
}

#[test]
fn a_missing_right_to_read_the_validators_memory_is_named_with_its_settings() {
    let text = refused(libc::SYS_process_vm_readv, libc::EPERM);
    assert!(
        text.contains("cannot be read") && text.contains("kernel.yama.ptrace_scope"),
        "{text}"
    );
}

/// What `run` and `check` say where this system call fails. Neither may start anything.
fn refused(call: libc::c_long, errno: i32) -> String {
    let lab = Lab::new(Protocol::Tower);
    let [run, check] = ["run", "check"].map(|what| {
        let output = without(&lab, what, call, errno);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{what}: {text}");
        text
    });
    assert!(!lab.path("state").exists(), "something was begun: {run}");
    check
}

fn without(lab: &Lab, what: &str, call: libc::c_long, errno: i32) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_supervisor"));
    command.arg(what).arg("--config").arg(lab.config());
    command.arg("--").args(lab.words());
    // SAFETY: the closure makes system calls only.
    unsafe { command.pre_exec(move || deny(call, errno)) };
    command.output().expect("the supervisor")
}

/// From here on `call` fails with `errno`, in this process and all that it starts.
fn deny(call: libc::c_long, errno: i32) -> io::Result<()> {
    let step = |code: u32, k: u32, jf: u8| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf,
        k,
    };
    let mut program = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, call as u32, 1),
        step(
            libc::BPF_RET | libc::BPF_K,
            libc::SECCOMP_RET_ERRNO | errno as u32,
            0,
        ),
        step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the kernel reads the program during the second call, and nothing in the first.
    let failed = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const filter,
            ) != 0
    };
    if failed {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

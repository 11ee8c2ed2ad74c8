//! Machines that cannot gate votes, and clocks: where this one is not like that, a seccomp filter in front of the supervisor
//! plays the kernel.

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

/// What glibc's adjtimex may call.
const CLOCK_CALLS: [libc::c_long; 2] = [libc::SYS_adjtimex, libc::SYS_clock_adjtime];

#[test]
fn check_says_of_the_clock_what_the_kernel_says() {
    // SAFETY: the structure consists of integers, and with no modes set the kernel only writes to it.
    let unsynchronized = unsafe {
        let mut state: libc::timex = std::mem::zeroed();
        assert!(libc::adjtimex(&raw mut state) >= 0, "a clock to ask for");
        state.status & libc::STA_UNSYNC != 0
    };
    let found = of_the_clock(&[]);
    assert_eq!(found.is_some(), unsynchronized, "{found:?}");
    let named = |text: &str| text.contains("not synchronized: run chrony");
    assert!(found.as_deref().is_none_or(named), "{found:?}");
}

/// A call that is answered with success, and writes nothing, tells of a clock without any flag.
#[test]
fn check_says_nothing_of_a_clock_that_is_synchronized() {
    assert_eq!(of_the_clock(&CLOCK_CALLS.map(|call| (call, 0))), None);
}

#[test]
fn check_tells_a_clock_that_it_may_not_ask_from_one_that_is_wrong() {
    let text = of_the_clock(&CLOCK_CALLS.map(|call| (call, libc::EPERM)));
    let text = text.expect("a finding");
    assert!(
        text.contains("cannot be asked (Operation not permitted") && text.contains("ProtectClock="),
        "{text}"
    );
}

/// What `check` finds wrong with the clock where these calls fail, the same as text and as JSON. It is never a reason not to run.
fn of_the_clock(denied: &[(libc::c_long, i32)]) -> Option<String> {
    let lab = Lab::new(Protocol::Tower);
    let json = without(&lab, &["check", "--json"], denied);
    let answer: serde_json::Value = serde_json::from_slice(&json.stdout).expect("one JSON object");
    let findings = answer["findings"].as_array().expect("findings");
    let mut of_clock = findings.iter().filter(|finding| finding["item"] == "clock");
    let finding = of_clock.next();
    let text = finding.map(|finding| finding["text"].as_str().expect("a text").to_owned());
    assert!(of_clock.next().is_none(), "{answer}");
    assert!(
        finding.is_none_or(|finding| finding["level"] == "warning"),
        "{answer}"
    );
    let plain = without(&lab, &["check"], denied);
    let lines = String::from_utf8_lossy(&plain.stdout).into_owned();
    let line = text
        .as_ref()
        .map(|text| format!("warning  clock      {text}\n"));
    assert_eq!(lines.contains(" clock "), line.is_some(), "{lines}");
    assert!(line.is_none_or(|line| lines.contains(&line)), "{lines}");
    assert_eq!(
        (json.status.code(), plain.status.code()),
        (Some(0), Some(0))
    );
    text
}

/// What `run` and `check` say where this system call fails. Neither may start anything.
fn refused(call: libc::c_long, errno: i32) -> String {
    let lab = Lab::new(Protocol::Tower);
    let [run, check] = ["run", "check"].map(|what| {
        let output = without(&lab, &[what], &[(call, errno)]);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{what}: {text}");
        text
    });
    assert!(!lab.path("state").exists(), "something was begun: {run}");
    check
}

fn without(lab: &Lab, what: &[&str], denied: &[(libc::c_long, i32)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_supervisor"));
    command.args(what).arg("--config").arg(lab.config());
    command.arg("--").args(lab.words());
    let denied = denied.to_vec();
    let deny_all = move || {
        denied
            .iter()
            .try_for_each(|(call, errno)| deny(*call, *errno))
    };
    // SAFETY: the closure makes system calls only.
    unsafe { command.pre_exec(deny_all) };
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

//! One process under test: its own process group, its output in a file, gone when its value is dropped.
//!
//! Decides nothing about what runs; knows neither validators nor clusters.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use testkit::netns::Namespace;

use crate::until::until;

/// Niceness: gets a tenth of what a thread of ordinary priority gets, so it is slow on a busy machine, not stopped.
const LOW_PRIORITY: libc::c_int = 10;

/// A started process. Dropping it kills its group and reaps it.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `argv` in its own process group with `env` added to ours; both outputs are appended to `log`. Without a
    /// namespace it has the network of the calling thread.
    ///
    /// The process is killed when the calling thread ends, so call it from the thread that runs the test.
    pub(crate) fn spawn(
        name: &str,
        argv: &[OsString],
        env: &[(OsString, OsString)],
        log: &Path,
        namespace: Option<&Namespace>,
    ) -> Self {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .unwrap_or_else(|e| panic!("open log {}: {e}", log.display()));
        let errors = output.try_clone().expect("clone a file handle");
        let mut command = Command::new(&argv[0]);
        command
            .args(&argv[1..])
            .envs(env.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0);
        // SAFETY: prctl with PR_SET_PDEATHSIG is one system call; it allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(
                || match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                    0 => Ok(()),
                    _ => Err(io::Error::last_os_error()),
                },
            );
        }
        if let Some(namespace) = namespace {
            namespace.enter(&mut command);
        }
        let child = command
            .spawn()
            .unwrap_or_else(|e| panic!("start {name} ({}): {e}", argv[0].display()));
        Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has printed so far.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Sends one signal to this process alone, not to its group.
    pub(crate) fn signal(&self, signal: libc::c_int) {
        send(self.pid(), signal);
    }

    /// The exit status, once it has ended by itself.
    pub(crate) fn wait(&mut self, within: Duration) -> ExitStatus {
        let what = format!("{} ends", self.name);
        let child = &mut self.child;
        until(&what, within, || {
            child.try_wait().expect("wait for a child")
        })
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("wait for a child").is_some()
    }

    /// Makes the threads of this name give way to everything else that wants to run.
    pub(crate) fn lower_priority_of_threads(&self, name: &str) {
        let tasks = format!("/proc/{}/task", self.pid());
        for task in fs::read_dir(&tasks).into_iter().flatten().flatten() {
            let comm = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            let id = task.file_name().to_str().and_then(|id| id.parse().ok());
            if let (true, Some(id)) = (comm.trim_end() == name, id) {
                // SAFETY: plain system call; lowering the priority of a thread of our own user is always allowed.
                unsafe { libc::setpriority(libc::PRIO_PROCESS, id, LOW_PRIORITY) };
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // SAFETY: plain system call; the group is ours, and its leader is not reaped yet, so the id is not reused.
            unsafe { libc::kill(-(self.child.id() as libc::pid_t), libc::SIGKILL) };
        }
        let _ = self.child.wait();
    }
}

/// Kills, one by one, every process whose command line names `dir`, and waits until none is left.
///
/// Catches what left its group: a validator whose supervisor was killed, say.
pub(crate) fn kill_all_naming(dir: &Path) {
    let needle = dir.as_os_str().as_bytes();
    for _ in 0..100 {
        let pids = processes_naming(needle);
        if pids.is_empty() {
            return;
        }
        pids.iter().for_each(|&pid| send(pid, libc::SIGKILL));
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn processes_naming(needle: &[u8]) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|&pid| pid != std::process::id())
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.windows(needle.len()).any(|window| window == needle))
        })
        .collect()
}

fn send(pid: u32, signal: libc::c_int) {
    // SAFETY: plain system call. A process that has ended meanwhile answers ESRCH, which is what the caller wants.
    unsafe { libc::kill(pid as libc::pid_t, signal) };
}

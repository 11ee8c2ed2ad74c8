//! A child of this binary that is measured: started behind the gate's filter or bare, told what to do over a socket.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use nix::sys::wait::waitpid;
use validator_supervisor::validator::gate::Listener;
use validator_supervisor::validator::process::{CommandLine, Process};

use crate::AnyError;

const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// How it was started, and so how it is ended.
#[derive(Debug)]
enum Running {
    Gated(Process),
    Bare(Child),
}

/// A running child. Dropping it kills and reaps it.
#[derive(Debug)]
pub(crate) struct Helper {
    running: Running,
    stream: UnixStream,
}

impl Helper {
    /// Behind the filter. Whoever has the listener answers its renames.
    pub(crate) fn gated(socket: &Path, words: &[OsString]) -> Result<(Self, Listener), AnyError> {
        let listening = UnixListener::bind(socket)?;
        let command = CommandLine {
            program: std::env::current_exe()?.into(),
            args: words.to_vec(),
        };
        let (process, listener) = Process::start(&command)?;
        let (stream, _) = listening.accept()?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        Ok((
            Self {
                running: Running::Gated(process),
                stream,
            },
            listener,
        ))
    }

    pub(crate) fn bare(socket: &Path, words: &[OsString]) -> Result<Self, AnyError> {
        let listening = UnixListener::bind(socket)?;
        let child = Command::new(std::env::current_exe()?).args(words).spawn()?;
        let (stream, _) = listening.accept()?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        Ok(Self {
            running: Running::Bare(child),
            stream,
        })
    }

    /// Has it do its work once, and gives what it measured.
    pub(crate) fn ask<const N: usize>(&mut self) -> io::Result<[u64; N]> {
        self.stream.write_all(&[1])?;
        let mut answer = [0; N];
        for value in &mut answer {
            let mut bytes = [0; 8];
            self.stream.read_exact(&mut bytes)?;
            *value = u64::from_le_bytes(bytes);
        }
        Ok(answer)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        match &mut self.running {
            Running::Gated(process) => {
                process.signal(nix::sys::signal::Signal::SIGKILL);
                let _ = waitpid(process.pid(), None);
            }
            Running::Bare(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

/// The child's side: does `work` whenever it is asked, until the socket closes.
pub(crate) fn serve<const N: usize>(
    socket: &Path,
    mut work: impl FnMut() -> io::Result<[u64; N]>,
) -> Result<(), AnyError> {
    let mut stream = UnixStream::connect(socket)?;
    let mut byte = [0];
    while stream.read(&mut byte)? == 1 {
        let answer: Vec<u8> = work()?
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        stream.write_all(&answer)?;
    }
    Ok(())
}

/// The next of the child's arguments.
pub(crate) fn word(args: &mut impl Iterator<Item = OsString>) -> Result<OsString, AnyError> {
    args.next().ok_or_else(|| "an argument is missing".into())
}

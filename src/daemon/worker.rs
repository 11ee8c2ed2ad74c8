//! A thread that does what waits on a disk, one thing after the other, in the order in which it was asked for.
//!
//! Order matters: a release that is overtaken by the next acquisition, or a parking by its end, would undo what came after it.

use std::io;
use std::sync::mpsc::{Sender, channel};

type Job = Box<dyn FnOnce() + Send>;

/// Ends with the last job given when it is dropped; nothing waits for that.
#[derive(Clone, Debug)]
pub(super) struct Worker(Sender<Job>);

impl Worker {
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(name: &str) -> io::Result<Self> {
        let (jobs, inbox) = channel::<Job>();
        std::thread::Builder::new()
            .name(name.into())
            .stack_size(512 * 1024)
            .spawn(move || inbox.into_iter().for_each(|job| job()))?;
        Ok(Self(jobs))
    }

    pub(super) fn run(&self, job: impl FnOnce() + Send + 'static) {
        // The thread lives as long as a sender does.
        let _ = self.0.send(Box::new(job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn jobs_run_in_the_order_given() -> io::Result<()> {
        let worker = Worker::start("test")?;
        let (sender, receiver) = channel();
        for number in 0..100u64 {
            let sender = sender.clone();
            worker.run(move || {
                std::thread::sleep(Duration::from_micros(100 - number));
                let _ = sender.send(number);
            });
        }
        drop(sender);
        assert_eq!(
            receiver.into_iter().collect::<Vec<_>>(),
            (0..100).collect::<Vec<_>>()
        );
        Ok(())
    }
}

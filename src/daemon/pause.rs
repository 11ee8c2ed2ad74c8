//! A pause is written down before it counts, so that it outlives a restart; its end is said.

use super::{Daemon, clock};
use crate::ctl::wire::Reply;
use crate::engine::Input;
use crate::engine::values::{Command, Millis, RequestId, Verdict};

/// Of nobody who waits for an answer.
const NOBODY: RequestId = RequestId(0);

impl Daemon {
    /// Writes it down; it begins when that is done.
    pub(super) fn keep_pause(&mut self, request: RequestId, until: Millis) {
        self.pausing.insert(request);
        let (note, events) = (self.pause.clone(), self.events.clone());
        self.disk.run(move || {
            let kept = note.set(Some(clock::wall(until)));
            let kept = kept.map_err(|error| format!("it cannot be written down: {error}"));
            let _ = events.send(super::event::Event::PauseKept(request, until, kept));
        });
    }

    pub(super) fn pause_kept(
        &mut self,
        request: RequestId,
        until: Millis,
        kept: Result<(), String>,
    ) -> Option<u8> {
        let is_wanted = self.pausing.remove(&request);
        let kept = match kept {
            Ok(()) if !is_wanted => Err("a resume came before it was written down".into()),
            other => other,
        };
        if let Err(why) = kept {
            let text = format!("not paused: {why}");
            tracing::error!(EVENT = "ctl", REQUEST = request.0, "{text}");
            if let Some(replies) = self.calls.remove(&request) {
                replies.finish(Reply::end(Verdict::Refused, text));
            }
            return None;
        }
        tracing::warn!(
            EVENT = "paused",
            "this node decides nothing by itself until {}",
            clock::wall(until)
        );
        self.step(Input::Asked(request, Command::Pause { until }))
    }

    /// Ends it, also one that is being written down.
    pub(super) fn take_back_pause(&mut self) {
        self.pausing.clear();
        self.forget_pause();
    }

    /// What is left of it pauses this node again after a restart: the safe side, where the disk refuses.
    pub(super) fn forget_pause(&self) {
        let note = self.pause.clone();
        self.disk.run(move || {
            if let Err(error) = note.set(None) {
                tracing::warn!("the end of the pause could not be written down: {error}");
            }
        });
    }

    /// Goes on with the pause of an earlier run.
    pub(super) fn resume_pause(&mut self) {
        let until = match self.pause.read() {
            Ok(Some(until)) => until,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(
                    EVENT = "page",
                    "whether this node is paused cannot be read: {error}"
                );
                return;
            }
        };
        let left_ms = until.since(clock::wall(clock::now())).as_millis();
        let left_ms = u64::try_from(left_ms).unwrap_or(u64::MAX);
        if left_ms == 0 {
            return self.forget_pause();
        }
        tracing::warn!(EVENT = "paused", "paused by an operator until {until}");
        let until = clock::now().plus(left_ms);
        self.step(Input::Asked(NOBODY, Command::Pause { until }));
    }

    /// Says that the pause has ended by itself.
    pub(super) fn tell_pause(&mut self, before: Option<Millis>) {
        let ended = before.filter(|at| *at <= clock::now());
        if ended.is_some() && self.engine.paused_until().is_none() {
            tracing::warn!(
                EVENT = "pause-over",
                "the pause is over: this node decides by itself again"
            );
            self.forget_pause();
        }
    }
}

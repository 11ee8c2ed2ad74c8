//! SIGHUP: the configuration is read again, on a thread of its own.
//!
//! Its disk may hang; votes, leases and operators do not wait for it.

use super::event::Event;
use super::perform::chain;
use super::worker::Worker;
use super::{Daemon, service};
use crate::config::{self, ConfigError, Loaded, Reload};

/// What is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reading {
    #[default]
    Nothing,
    Once,
    /// It was asked for anew meanwhile: the file may have changed behind the reader.
    OnceMore,
}

impl Daemon {
    /// Has the file read. [`Event::Reloaded`] comes of it, unless its disk never answers.
    pub(super) fn reload(&mut self) {
        let path = self.config_path.clone();
        if self.reading != Reading::Nothing {
            self.reading = Reading::OnceMore;
            return tracing::warn!(
                EVENT = "reload",
                "the configuration {} is still being read for an earlier SIGHUP, and is read again after that: does its disk answer?",
                path.display()
            );
        }
        let reader = match Worker::start("config") {
            Ok(reader) => reader,
            Err(error) => {
                return tracing::error!(
                    EVENT = "reload",
                    "the configuration is not read again: no thread can be started: {error}"
                );
            }
        };
        if self.told_ready {
            service::reloading();
        }
        self.reading = Reading::Once;
        let events = self.events.clone();
        reader.run(move || {
            let loaded = Loaded::from_file(&path).map(Box::new);
            // The loop owns the receiver, and may have ended.
            let _ = events.send(Event::Reloaded(loaded));
        });
    }

    /// What can change does; the rest is named. A file that cannot be used changes nothing.
    pub(super) fn reloaded(&mut self, loaded: Result<Box<Loaded>, ConfigError>) -> Option<u8> {
        let exit = match loaded {
            Ok(loaded) => self.apply(*loaded),
            Err(error) => {
                tracing::error!(
                    EVENT = "reload",
                    "the configuration is not read again: {}",
                    chain(&error)
                );
                None
            }
        };
        if self.told_ready {
            service::ready();
        }
        if std::mem::take(&mut self.reading) == Reading::OnceMore {
            self.reload();
        }
        exit
    }

    fn apply(&mut self, mut loaded: Loaded) -> Option<u8> {
        // What the command line says is in force too.
        loaded.fill(self.found.clone());
        let changes = config::changes(&self.config, &loaded.config);
        if changes.is_empty() {
            tracing::info!(
                EVENT = "reload",
                "the configuration was read again: nothing has changed"
            );
        }
        for change in changes {
            let (key, to) = (change.key, change.to.as_deref().unwrap_or("not set"));
            match change.reload {
                Reload::Live => {
                    tracing::info!(EVENT = "reload", "{key} is {to} from here on")
                }
                Reload::Restart => tracing::warn!(
                    EVENT = "reload",
                    "{key} cannot change while the supervisor runs: restart it to make it {to}"
                ),
            }
        }
        self.config = config::apply_live(&self.config, &loaded.config);
        if let Some(child) = &self.child {
            child.gate.set_hold_max(self.config.gate.hold_max);
        }
        self.reconfigure()
    }
}

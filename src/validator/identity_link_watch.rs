//! Notices when somebody else changes the identity link.
//!
//! Watches the link's directory, because a replaced link is another file under the same name. It repairs nothing,
//! and says nothing about replacements of our own.

use std::path::PathBuf;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

use super::identity_link::{IdentityLink, Pointed};

/// Why the link is not watched. Everything else works without the watch.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot watch {dir} for changes of the identity link: {source}; if inotify watches are used up, \
     raise fs.inotify.max_user_watches or fs.inotify.max_user_instances"
)]
pub struct WatchError {
    dir: PathBuf,
    #[source]
    source: notify::Error,
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct IdentityLinkWatch {
    _watcher: RecommendedWatcher,
}

impl IdentityLinkWatch {
    /// Calls `on_change`, from a thread of the watcher, with where the link leads whenever that differs from what
    /// we last made of it: once for each different finding, until it is as we made it again.
    pub fn start(
        link: IdentityLink,
        on_change: impl FnMut(Pointed) + Send + 'static,
    ) -> Result<Self, WatchError> {
        let dir = link.dir().to_owned();
        let failed = |source| WatchError {
            dir: dir.clone(),
            source,
        };
        let mut observer = Observer {
            link,
            reported: None,
            on_change,
        };
        // What is there before the first event is what later findings are compared with.
        observer.look();
        let handler = move |event: notify::Result<Event>| observer.handle(event);
        let mut watcher = notify::recommended_watcher(handler).map_err(failed)?;
        watcher
            .watch(&dir, RecursiveMode::NonRecursive)
            .map_err(failed)?;
        Ok(Self { _watcher: watcher })
    }
}

struct Observer<F> {
    link: IdentityLink,
    reported: Option<Pointed>,
    on_change: F,
}

impl<F: FnMut(Pointed)> Observer<F> {
    fn handle(&mut self, event: notify::Result<Event>) {
        // After an error or a lost event anything may have happened.
        let concerns_link = event.map_or(true, |event| {
            event.need_rescan()
                || event.paths.is_empty()
                || event
                    .paths
                    .iter()
                    .any(|path| path == self.link.path() || path == self.link.dir())
        });
        if concerns_link {
            self.look();
        }
    }

    fn look(&mut self) {
        // A link that cannot be read leads nowhere for the validator either.
        let foreign = self.link.foreign().unwrap_or(Some(Pointed::Missing));
        if foreign != self.reported {
            self.reported.clone_from(&foreign);
            if let Some(found) = foreign {
                (self.on_change)(found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;
    use crate::engine::values::Identity;

    const DEADLINE: Duration = Duration::from_secs(10);

    struct Place {
        dir: tempfile::TempDir,
        link: IdentityLink,
        changes: Receiver<Pointed>,
        _watch: IdentityLinkWatch,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let [link, staked, unstaked] =
                ["id.json", "staked.json", "unstaked.json"].map(|name| dir.path().join(name));
            fs::write(&staked, "").unwrap();
            fs::write(&unstaked, "").unwrap();
            let link = IdentityLink::new(&link, &staked, &unstaked).unwrap();
            let (send, changes) = channel();
            let watch = IdentityLinkWatch::start(link.clone(), move |found| {
                // The test may be over.
                let _ = send.send(found);
            });
            Self {
                dir,
                link,
                changes,
                _watch: watch.unwrap(),
            }
        }

        /// As `ln -sfn` does it.
        fn turn_by_hand(&self, target: &str) {
            let new = self.dir.path().join("new");
            symlink(target, &new).unwrap();
            fs::rename(&new, self.link.path()).unwrap();
        }

        fn next(&self) -> Pointed {
            self.changes.recv_timeout(DEADLINE).unwrap()
        }
    }

    #[test]
    fn a_link_turned_or_removed_by_somebody_else_is_reported() {
        let place = Place::new();
        place.link.point_at(Identity::Unstaked).unwrap();
        place.turn_by_hand("staked.json");
        assert_eq!(place.next(), Pointed::Staked);
        place.turn_by_hand("/third");
        assert_eq!(place.next(), Pointed::Elsewhere("/third".into()));
        fs::remove_file(place.link.path()).unwrap();
        assert_eq!(place.next(), Pointed::Missing);
        fs::write(place.link.path(), "").unwrap();
        assert_eq!(place.next(), Pointed::NotALink);
    }

    #[test]
    fn our_own_replacements_are_not_reported() {
        let place = Place::new();
        for _ in 0..100 {
            place.link.point_at(Identity::Staked).unwrap();
            place.link.point_at(Identity::Unstaked).unwrap();
        }
        // Events come in order: the first report is the one that ends the test.
        place.turn_by_hand("/end");
        assert_eq!(place.next(), Pointed::Elsewhere("/end".into()));
        assert!(place.changes.try_recv().is_err());
    }

    #[test]
    fn after_we_put_it_right_the_same_change_is_reported_again() {
        let place = Place::new();
        place.link.point_at(Identity::Unstaked).unwrap();
        for _ in 0..3 {
            place.turn_by_hand("staked.json");
            assert_eq!(place.next(), Pointed::Staked);
            place.link.point_at(Identity::Unstaked).unwrap();
            // A third finding makes sure that the repair was seen before the next change.
            place.turn_by_hand("/third");
            assert_eq!(place.next(), Pointed::Elsewhere("/third".into()));
            place.link.point_at(Identity::Unstaked).unwrap();
        }
    }

    #[test]
    fn other_files_in_the_directory_and_a_link_that_was_there_are_no_news() {
        let place = Place::new();
        for name in ["a", "b"] {
            fs::write(place.dir.path().join(name), "").unwrap();
        }
        place.turn_by_hand("unstaked.json");
        assert_eq!(place.next(), Pointed::Unstaked);
        assert!(place.changes.try_recv().is_err());
    }
}

//! What an authority has told without being asked, for a test to wait for.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use testkit::stand_in::until;
use validator_supervisor::authority::news::News;
use validator_supervisor::engine::AuthorityNews;
use validator_supervisor::engine::values::NodeName;

/// A busy machine takes its time; what comes ends the wait at once.
const SOON_MS: u64 = 40_000;

/// Takes one node's news.
pub(crate) struct Ears {
    news: Receiver<News>,
    heard: Mutex<Vec<News>>,
}

impl Ears {
    /// The ears, and what the authority is to tell them by.
    pub(crate) fn new() -> (Self, Box<dyn Fn(News) + Send + Sync>) {
        let (sender, news) = channel();
        let ears = Self {
            news,
            heard: Mutex::default(),
        };
        let tell = move |told| {
            // Whoever listens may have gone.
            let _ = sender.send(told);
        };
        (ears, Box::new(tell))
    }

    /// Waits until something is told that fits; what was told before counts.
    #[track_caller]
    pub(crate) fn hears(&self, what: &str, fits: impl Fn(&News) -> bool) -> News {
        let mut found = None;
        let heard = until(SOON_MS, || {
            let mut all = self.heard.lock().expect("the lock");
            all.extend(self.news.try_iter());
            found = all.iter().rev().find(|news| fits(news)).cloned();
            found.is_some()
        });
        assert!(heard, "never heard of {what}: {:?}", self.heard);
        found.expect("what was found")
    }

    /// What was told so far is not counted any more.
    pub(crate) fn forget(&self) {
        let mut all = self.heard.lock().expect("the lock");
        self.news.try_iter().for_each(drop);
        all.clear();
    }

    #[track_caller]
    pub(crate) fn hears_of_holder(&self, holder: Option<&str>) {
        let holder = holder.map(|name| NodeName(name.into()));
        let wanted = News::Term(AuthorityNews::Holder(holder));
        self.hears(&format!("{wanted:?}"), |news| *news == wanted);
    }

    #[track_caller]
    pub(crate) fn hears_of_trouble(&self, words: &str) -> String {
        let news = self.hears(
            words,
            |news| matches!(news, News::Trouble { why, .. } if why.contains(words)),
        );
        match news {
            News::Trouble { why, .. } => why,
            _ => String::new(),
        }
    }
}

//! The names of the keys: `<prefix>/<identity>/holder`, `record` and `members/<node>`.

/// The keys of one identity.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    base: String,
    pub(super) holder: String,
    pub(super) record: String,
}

impl Keys {
    /// `identity` in base58; `prefix` without a slash at its end.
    pub(super) fn new(prefix: &str, identity: &str) -> Self {
        let base = format!("{prefix}/{identity}/");
        Self {
            holder: format!("{base}holder"),
            record: format!("{base}record"),
            base,
        }
    }

    /// What all of them begin with.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn member(&self, node: &str) -> String {
        format!("{}members/{node}", self.base)
    }

    /// The node whose member key this is.
    pub(super) fn node_of<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(&self.base)?.strip_prefix("members/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_below_the_prefix_and_the_identity() {
        let keys = Keys::new("/validators", "Vote111");
        assert_eq!(keys.holder, "/validators/Vote111/holder");
        assert_eq!(keys.record, "/validators/Vote111/record");
        let member = keys.member("fra-1");
        assert_eq!(member, "/validators/Vote111/members/fra-1");
        assert_eq!(keys.node_of(&member), Some("fra-1"));
        assert_eq!(keys.node_of(&keys.holder), None);
        assert!(member.starts_with(keys.base()));
    }
}

//! The resource limits that a validator insists on. It inherits ours.

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

/// agave-validator ends at once with fewer open files (`adjust_nofile_limit` in its source).
const OPEN_FILES: u64 = 1_000_000;
/// Locked memory of XDP and io_uring buffers, in bytes: the value its documentation asks for.
const LOCKED_MEMORY: u64 = 2_000_000_000;

/// A limit that could not be raised.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the limit of {what} is {have}, and a validator wants {want}: set `{unit}` in the unit")]
pub struct Shortfall {
    pub what: &'static str,
    pub have: u64,
    pub want: u64,
    pub unit: &'static str,
}

/// Raises what can be raised, for us and what we start, and names the rest.
#[must_use]
pub fn raise() -> Vec<Shortfall> {
    let wanted = [
        (
            Resource::RLIMIT_NOFILE,
            "open files",
            OPEN_FILES,
            "LimitNOFILE=1000000",
        ),
        (
            Resource::RLIMIT_MEMLOCK,
            "locked memory",
            LOCKED_MEMORY,
            "LimitMEMLOCK=2000000000",
        ),
    ];
    let raised = wanted.into_iter().map(|(resource, what, want, unit)| {
        let have = raise_one(resource, want);
        (have < want).then_some(Shortfall {
            what,
            have,
            want,
            unit,
        })
    });
    raised.flatten().collect()
}

/// What the limits are short of, without raising any.
#[must_use]
pub fn shortfalls() -> Vec<Shortfall> {
    let short = |resource, what, want, unit| {
        let (_, hard) = getrlimit(resource).ok()?;
        (hard < want).then_some(Shortfall {
            what,
            have: hard,
            want,
            unit,
        })
    };
    [
        short(
            Resource::RLIMIT_NOFILE,
            "open files",
            OPEN_FILES,
            "LimitNOFILE=1000000",
        ),
        short(
            Resource::RLIMIT_MEMLOCK,
            "locked memory",
            LOCKED_MEMORY,
            "LimitMEMLOCK=2000000000",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The soft limit that results.
fn raise_one(resource: Resource, want: u64) -> u64 {
    let Ok((soft, hard)) = getrlimit(resource) else {
        return 0;
    };
    if soft >= want {
        return soft;
    }
    let higher = if hard == RLIM_INFINITY {
        hard
    } else {
        hard.max(want)
    };
    // Raising the hard limit takes a capability; raising the soft one up to it takes none.
    if setrlimit(resource, want, higher).is_err() {
        let _ = setrlimit(resource, want.min(hard), hard);
    }
    getrlimit(resource).map_or(0, |(soft, _)| soft)
}

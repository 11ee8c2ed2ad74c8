//! The resource limits that a validator insists on. It inherits ours.

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

/// agave-validator ends at once with fewer open files (`adjust_nofile_limit` in its source).
const OPEN_FILES: u64 = 1_000_000;
/// Locked memory of XDP and io_uring buffers, in bytes: the value its documentation asks for.
const LOCKED_MEMORY: u64 = 2_000_000_000;
/// Number of the capability to raise hard limits (linux/capability.h).
const CAP_SYS_RESOURCE: u32 = 24;

/// A limit that could not be raised.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the limit of {what} is {have}, and a validator wants {want}: set `{unit}` in the unit")]
pub struct Shortfall {
    pub what: &'static str,
    pub have: u64,
    pub want: u64,
    pub unit: &'static str,
}

/// One limit that a validator wants.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    resource: Resource,
    what: &'static str,
    want: u64,
    unit: &'static str,
}

const WANTED: [Wanted; 2] = [
    Wanted {
        resource: Resource::RLIMIT_NOFILE,
        what: "open files",
        want: OPEN_FILES,
        unit: "LimitNOFILE=1000000",
    },
    Wanted {
        resource: Resource::RLIMIT_MEMLOCK,
        what: "locked memory",
        want: LOCKED_MEMORY,
        unit: "LimitMEMLOCK=2000000000",
    },
];

impl Wanted {
    fn shortfall(self, have: u64) -> Option<Shortfall> {
        (have < self.want).then_some(Shortfall {
            what: self.what,
            have,
            want: self.want,
            unit: self.unit,
        })
    }
}

/// Raises what can be raised, for us and what we start, and names the rest.
#[must_use]
pub fn raise() -> Vec<Shortfall> {
    let raised = |wanted: Wanted| wanted.shortfall(raise_one(wanted.resource, wanted.want));
    WANTED.into_iter().filter_map(raised).collect()
}

/// What [`raise`] will be short of, without raising any.
#[must_use]
pub fn shortfalls() -> Vec<Shortfall> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let privileged = may_raise_hard_limits(&status);
    let short = |wanted: Wanted| {
        let (_, hard) = getrlimit(wanted.resource).ok()?;
        wanted.shortfall(reachable(hard, wanted.want, privileged))
    };
    WANTED.into_iter().filter_map(short).collect()
}

/// The soft limit that raising ends at.
fn reachable(hard: u64, want: u64, privileged: bool) -> u64 {
    if privileged { hard.max(want) } else { hard }
}

/// Whether the status of a process shows CAP_SYS_RESOURCE among its effective capabilities.
fn may_raise_hard_limits(status: &str) -> bool {
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> CAP_SYS_RESOURCE & 1 == 1)
}

/// Soft and hard limit to ask for, the better ones first. Raising the hard limit takes a capability; raising the soft one up
/// to it takes none.
fn attempts(hard: u64, want: u64) -> [(u64, u64); 2] {
    let higher = if hard == RLIM_INFINITY {
        hard
    } else {
        hard.max(want)
    };
    [(want, higher), (want.min(hard), hard)]
}

/// The soft limit that results.
fn raise_one(resource: Resource, want: u64) -> u64 {
    let Ok((soft, hard)) = getrlimit(resource) else {
        return 0;
    };
    if soft >= want {
        return soft;
    }
    let _ = attempts(hard, want)
        .into_iter()
        .any(|(soft, hard)| setrlimit(resource, soft, hard).is_ok());
    getrlimit(resource).map_or(0, |(soft, _)| soft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raising_lifts_a_soft_limit_to_what_can_be_had_and_names_only_what_is_short() {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        // Enough for the tests that run beside this one.
        setrlimit(Resource::RLIMIT_NOFILE, soft.min(1_000), hard).expect("lowering");
        let short = raise();
        let (after, _) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        assert!(after >= hard.min(OPEN_FILES), "{after} of {hard}");
        let named = short.iter().find(|short| short.what == "open files");
        assert_eq!(
            named.map(|short| short.have),
            (after < OPEN_FILES).then_some(after)
        );
    }

    #[test]
    fn the_soft_limit_is_raised_as_far_as_the_hard_one_when_that_stays() {
        assert_eq!(attempts(500, 1_000), [(1_000, 1_000), (500, 500)]);
        assert_eq!(attempts(2_000, 1_000), [(1_000, 2_000), (1_000, 2_000)]);
        assert_eq!(
            attempts(RLIM_INFINITY, 1_000),
            [(1_000, RLIM_INFINITY), (1_000, RLIM_INFINITY)]
        );
    }

    #[test]
    fn a_hard_limit_that_root_raises_is_no_shortfall() {
        assert_eq!(reachable(500, 1_000, true), 1_000);
        assert_eq!(reachable(500, 1_000, false), 500);
        assert_eq!(reachable(2_000, 1_000, true), 2_000);
        let have = |have| WANTED[0].shortfall(have);
        assert_eq!(have(reachable(500, OPEN_FILES, true)), None);
        let short = have(reachable(500, OPEN_FILES, false)).expect("a shortfall");
        assert_eq!(
            short.to_string(),
            "the limit of open files is 500, and a validator wants 1000000: set `LimitNOFILE=1000000` in the unit"
        );
    }

    #[test]
    fn the_capability_is_read_from_the_effective_set() {
        let status = |effective: &str| {
            format!("CapInh:\t0000000001000000\nCapPrm:\t000001ffffffffff\nCapEff:\t{effective}\n")
        };
        assert!(may_raise_hard_limits(&status("000001ffffffffff")));
        assert!(may_raise_hard_limits(&status("0000000001000000")));
        assert!(!may_raise_hard_limits(&status("0000000000000000")));
        assert!(!may_raise_hard_limits(&status("000001fffeffffff")));
        assert!(!may_raise_hard_limits("CapEff:\tnonsense\n"));
        assert!(!may_raise_hard_limits(""));
    }
}

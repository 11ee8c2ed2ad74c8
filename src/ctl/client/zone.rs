//! The local time zone, as libc knows it (`TZ`, `/etc/localtime`).

use crate::ctl::time::Timestamp;

/// Seconds east of UTC at that moment; 0 when libc cannot tell.
pub(super) fn offset_s(at: Timestamp) -> i32 {
    let seconds: libc::time_t = at.unix_s();
    let mut parts = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to live locals, and libc writes at most one `tm`.
    let filled = unsafe { libc::localtime_r(&raw const seconds, parts.as_mut_ptr()) };
    if filled.is_null() {
        return 0;
    }
    // SAFETY: `localtime_r` filled it, and all zeroes, its state before, is a valid `tm` too.
    let parts = unsafe { parts.assume_init() };
    i32::try_from(parts.tm_gmtoff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_is_one_that_a_zone_can_have() {
        for unix_ms in [0, 1_772_323_200_000, u64::MAX] {
            let offset = offset_s(Timestamp::from_unix_ms(unix_ms));
            assert!((-16 * 3600..=16 * 3600).contains(&offset), "{offset}");
        }
    }
}

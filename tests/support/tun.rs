//! A network device whose other end is a file of this process: what the kernel sends is read there, what is written arrives.

use nix::libc;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

/// What the device is called inside its namespace.
pub(crate) const NAME: &str = "net0";

mod request {
    use nix::libc;
    use std::mem::size_of;

    // TUNSETIFF, `_IOW('T', 202, int)` in linux/if_tun.h, which yet takes a `struct ifreq`.
    nix::ioctl_write_ptr_bad!(
        set_interface,
        nix::request_code_write!(b'T', 202, size_of::<libc::c_int>()),
        libc::ifreq
    );
}

/// Makes the device, of whole IP packets and without their headers, in the calling thread's network namespace. Reads do not
/// wait. The device goes with the file.
#[expect(unsafe_code, reason = "an ioctl")]
pub(crate) fn open() -> io::Result<File> {
    let mut options = File::options();
    let options = options.read(true).write(true);
    let file = options.custom_flags(libc::O_NONBLOCK).open("/dev/net/tun");
    let file = file.map_err(|error| {
        let what = "/dev/net/tun cannot be opened";
        io::Error::other(format!(
            "{what}: {error}; run as root, with the kernel's `tun` (modprobe tun)"
        ))
    })?;
    let mut name = [0; libc::IFNAMSIZ];
    for (to, from) in name.iter_mut().zip(NAME.bytes()) {
        *to = libc::c_char::try_from(from).map_err(io::Error::other)?;
    }
    let flags = i16::try_from(libc::IFF_TUN | libc::IFF_NO_PI).map_err(io::Error::other)?;
    let interface = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: flags },
    };
    // SAFETY: the file is open, and the structure is a whole `ifreq` that outlives the call.
    unsafe { request::set_interface(file.as_raw_fd(), &raw const interface) }?;
    Ok(file)
}

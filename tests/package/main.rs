//! The Debian package on a machine with systemd: installed, configured as its own files say, started, stopped, upgraded,
//! removed and purged. A stand-in validator votes before a chain that judges every vote.
//!
//! Needs root, and the package in `SUPERVISOR_DEB`; `make test-package` gives both.

mod existing;
mod hold;
mod install;
mod journal;
mod machine;
mod unit;
mod voter;

//! What a server has to do with systemd: the socket that it may be given, and telling when it is ready.

use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// The first descriptor that systemd passes.
const FIRST: i32 = 3;

/// The name of ours in `fail2ban.socket` (`FileDescriptorName=`).
const NAME: &str = "fail2ban";

/// The control socket, if systemd has opened it for us.
///
/// Fails if something was passed that cannot be used.
pub(crate) fn passed_socket() -> Result<Option<UnixListener>, String> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<i32>().ok();
    // Meant for another process, which started us.
    if number("LISTEN_PID") != Some(getpid().as_raw_nonzero().get()) {
        return Ok(None);
    }
    let count = number("LISTEN_FDS").unwrap_or(0).clamp(0, 64);
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let named = names.split(':').position(|name| name == NAME);
    let place = named
        .and_then(|place| i32::try_from(place).ok())
        .filter(|place| *place < count);
    let Some(place) = place.or_else(|| (count > 0).then_some(0)) else {
        return Ok(None);
    };
    // A number is made a descriptor by asking the kernel for it: that it is one is checked, and nothing is assumed.
    let taken: Result<OwnedFd, _> = pidfd_open(getpid(), PidfdFlags::empty())
        .and_then(|own| pidfd_getfd(own, FIRST + place, PidfdGetfdFlags::empty()));
    let listener = taken.map(UnixListener::from).map_err(std::io::Error::from);
    let unix = listener.and_then(|listener| listener.local_addr().map(|_| listener));
    unix.map(Some).map_err(|error| {
        format!("the socket that systemd passed cannot be used: {error}; mend: ListenStream=/run/fail2ban/fail2ban.sock in fail2ban.socket")
    })
}

/// Tells systemd of a change (`READY=1`), if it wants to know (`Type=notify`).
pub(crate) fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let path = path.as_bytes();
    let address = match path.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path)),
    };
    // If it fails, systemd's own time limit tells; there is nobody else to tell it to.
    let _ = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
}

/// Tells systemd that the configuration is read again; [`notify`] with `READY=1` ends it.
pub(crate) fn notify_reloading() {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let micros = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000);
    notify(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
}

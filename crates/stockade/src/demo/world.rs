//! A network of our own, so that nothing here touches the machine's.

use std::fs;
use std::io;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};
use rustix::thread::UnshareFlags;

/// Moves this process into a network namespace of its own, and as an ordinary user into a user namespace where it is
/// root. To be called before any thread is started. Gives the name of what it did.
pub(super) fn enter() -> Result<&'static str, String> {
    match unshare(UnshareFlags::NEWNET) {
        Ok(()) => return Ok("private network namespace"),
        Err(Errno::PERM) => {}
        Err(errno) => {
            return Err(format!(
                "no private network: {errno}; mend: use a kernel with network namespaces"
            ));
        }
    }
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET).map_err(|errno| {
        format!(
            "no private network: neither may we make one nor is a user namespace allowed here: {errno}; \
             mend: run as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, \
             and on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0)"
        )
    })?;
    let map = |file: &str, text: &str| {
        fs::write(format!("/proc/self/{file}"), text)
            .map_err(|error| format!("cannot write /proc/self/{file}: {error}"))
    };
    map("setgroups", "deny")?;
    map("uid_map", &format!("0 {} 1", user.as_raw()))?;
    map("gid_map", &format!("0 {} 1", group.as_raw()))?;
    Ok("private network and user namespace")
}

#[expect(
    deprecated,
    reason = "its successor is unsafe for flags that part threads' file descriptors; these do not"
)]
fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    rustix::thread::unshare(flags)
}

/// Switches on the loopback interface, the only one here.
pub(super) fn raise_loopback() -> io::Result<()> {
    const NEW_LINK: u16 = 16;
    const REQUEST_AND_ACKNOWLEDGE: u16 = 5;
    const LOOPBACK: i32 = 1;
    const UP: u32 = 1;
    let mut message = Vec::new();
    message.extend_from_slice(&32_u32.to_ne_bytes());
    message.extend_from_slice(&NEW_LINK.to_ne_bytes());
    message.extend_from_slice(&REQUEST_AND_ACKNOWLEDGE.to_ne_bytes());
    message.extend_from_slice(&[0; 12]);
    message.extend_from_slice(&LOOPBACK.to_ne_bytes());
    // The flags, and which of them are meant.
    message.extend_from_slice(&UP.to_ne_bytes());
    message.extend_from_slice(&UP.to_ne_bytes());
    let route = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    sendto(&route, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0; 256];
    let (length, _) = recv(&route, answer.as_mut_slice(), RecvFlags::empty())?;
    let number = answer
        .get(16..20)
        .filter(|_| length >= 20)
        .and_then(|bytes| bytes.first_chunk().copied());
    match number.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(errno.wrapping_neg())),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

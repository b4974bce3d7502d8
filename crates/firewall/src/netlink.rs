//! The netlink socket: sequence numbers, answers, listings, time limits.

use std::ops::Range;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt::{
    Timeout, set_socket_recv_buffer_size, set_socket_recv_buffer_size_force, set_socket_send_buffer_size,
    set_socket_send_buffer_size_force, set_socket_timeout,
};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, getsockname, recvfrom, send, socket_with,
};

use crate::nftables::message::{Received, flag, kind, messages};

/// A batch has to fit into the send buffer. This holds about two million addresses; the kernel takes only what is in use.
const SEND_BUFFER: usize = 64 << 20;
/// Answers wait here. A refused message comes back whole, 44,000 bytes for a thousand addresses.
const RECEIVE_BUFFER: usize = 16 << 20;
/// The kernel answers within the call that sends; this is for one that does not.
const PATIENCE: Duration = Duration::from_secs(10);
/// Room for one datagram of a listing; the kernel fills at most 32 KiB.
const DATAGRAM: usize = 64 << 10;
/// How often a listing is begun anew because the ruleset changed meanwhile.
const LISTING_ATTEMPTS: u32 = 50;

/// Why there is no good answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The system call failed.
    System(Errno),
    /// The kernel refused the message with this sequence number.
    Refused { sequence: u32, errno: Errno },
    /// The kernel refused with a number of its own, as ipset does.
    Special(i32),
    /// Answers were lost for want of room: what became of the request is not known.
    Lost,
    /// No answer came.
    Silent,
    /// The answer is no netlink message.
    Malformed,
}

/// A socket to the kernel's netfilter.
#[derive(Debug)]
pub(crate) struct Socket {
    descriptor: OwnedFd,
    sequence: u32,
    /// Answers may be waiting that belong to a request given up.
    stale: bool,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket that also hears the multicast groups of this mask.
    pub(crate) fn open(groups: u32) -> Result<Self, Errno> {
        let descriptor = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(netlink::NETFILTER),
        )?;
        // Larger than the administrator's limit needs CAP_NET_ADMIN of the machine itself, which root of a container may lack;
        // then batches are cut smaller (see `apply`).
        set_socket_send_buffer_size_force(&descriptor, SEND_BUFFER)
            .or_else(|_| set_socket_send_buffer_size(&descriptor, SEND_BUFFER))?;
        set_socket_recv_buffer_size_force(&descriptor, RECEIVE_BUFFER)
            .or_else(|_| set_socket_recv_buffer_size(&descriptor, RECEIVE_BUFFER))?;
        set_socket_timeout(&descriptor, Timeout::Recv, Some(PATIENCE))?;
        bind(&descriptor, &SocketAddrNetlink::new(0, groups))?;
        Ok(Self {
            descriptor,
            sequence: 1,
            stale: false,
            buffer: vec![0; DATAGRAM],
        })
    }

    /// Limits how long [`Socket::receive`] waits.
    pub(crate) fn set_patience(&self, patience: Duration) -> Result<(), Errno> {
        set_socket_timeout(&self.descriptor, Timeout::Recv, Some(patience))
    }

    /// The number by which the kernel knows this socket.
    pub(crate) fn port(&self) -> Option<u32> {
        let name = getsockname(&self.descriptor).ok()?;
        Some(SocketAddrNetlink::try_from(name).ok()?.pid())
    }

    /// The number the next message is to carry.
    pub(crate) fn next_sequence(&self) -> u32 {
        self.sequence
    }

    /// Sends a transaction and waits until each of the messages numbered `answers` is answered.
    /// The brackets are the messages before and after them.
    pub(crate) fn transact(&mut self, bytes: &[u8], answers: &Range<u32>) -> Result<(), Failure> {
        self.sequence = answers.end.wrapping_add(1);
        self.discard();
        send_whole(&self.descriptor, bytes)?;
        let opening = answers.start.wrapping_sub(1);
        let mut outstanding = answers.len();
        while outstanding > 0 {
            let result = self.receive(|message| {
                if message.kind != kind::ERROR {
                    return Ok(());
                }
                let errno = message.errno().map_err(|_| Failure::Malformed)?;
                let ours = answers.contains(&message.sequence) || message.sequence == opening;
                match errno {
                    _ if !ours => {}
                    0 => outstanding = outstanding.saturating_sub(1),
                    errno => {
                        return Err(Failure::Refused {
                            sequence: message.sequence,
                            errno: known(errno)?,
                        });
                    }
                }
                Ok(())
            });
            if result.is_err() {
                self.stale = true;
            }
            result?;
        }
        Ok(())
    }

    /// Sends so many questions of consecutive numbers, and tells for each whether what it asks for is there.
    pub(crate) fn ask(&mut self, bytes: &[u8], first: u32, count: usize) -> Result<Vec<bool>, Failure> {
        self.sequence = first.wrapping_add(u32::try_from(count).map_err(|_| Failure::Lost)?);
        self.discard();
        send_whole(&self.descriptor, bytes)?;
        let mut is_there = vec![false; count];
        let mut outstanding = count;
        while outstanding > 0 {
            let result = self.receive(|message| {
                let position = usize::try_from(message.sequence.wrapping_sub(first)).map_err(|_| Failure::Malformed)?;
                let (Some(slot), true) = (is_there.get_mut(position), message.kind == kind::ERROR) else {
                    return Ok(());
                };
                outstanding = outstanding.saturating_sub(1);
                match message.errno().map_err(|_| Failure::Malformed)? {
                    0 => *slot = true,
                    errno => match known(errno)? {
                        Errno::NOENT => *slot = false,
                        errno => {
                            return Err(Failure::Refused {
                                sequence: message.sequence,
                                errno,
                            });
                        }
                    },
                }
                Ok(())
            });
            if result.is_err() {
                self.stale = true;
            }
            result?;
        }
        Ok(is_there)
    }

    /// Sends a request to list things and collects what `read` makes of each answer. Begins anew if the ruleset
    /// changes under the listing.
    pub(crate) fn list<T>(
        &mut self,
        request: impl Fn(u32) -> Vec<u8>,
        mut read: impl FnMut(&Received<'_>) -> Option<T>,
    ) -> Result<Vec<T>, Failure> {
        for _ in 0..LISTING_ATTEMPTS {
            let sequence = self.sequence;
            self.sequence = sequence.wrapping_add(1);
            self.discard();
            send_whole(&self.descriptor, &request(sequence))?;
            let (mut found, mut is_done, mut is_whole) = (Vec::new(), false, true);
            while !is_done {
                let result = self.receive(|message| {
                    if message.sequence != sequence {
                        return Ok(());
                    }
                    is_whole &= message.flags & flag::INTERRUPTED == 0;
                    match message.kind {
                        kind::DONE => is_done = true,
                        kind::ERROR => match message.errno().map_err(|_| Failure::Malformed)? {
                            0 => is_done = true,
                            errno => {
                                return Err(Failure::Refused {
                                    sequence,
                                    errno: known(errno)?,
                                });
                            }
                        },
                        _ => found.extend(read(message)),
                    }
                    Ok(())
                });
                match result {
                    // Changed in the midst of it: the kernel may say so by this error, too.
                    Err(Failure::Refused { errno: Errno::INTR, .. } | Failure::Lost) => {
                        (is_done, is_whole) = (true, false);
                    }
                    Err(failure) => {
                        self.stale = true;
                        return Err(failure);
                    }
                    Ok(()) => {}
                }
            }
            if is_whole {
                return Ok(found);
            }
            self.stale = true;
        }
        Err(Failure::Silent)
    }

    /// Receives one datagram from the kernel and hands over its messages.
    pub(crate) fn receive(
        &mut self,
        mut each: impl FnMut(&Received<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let length = loop {
            match recvfrom(&self.descriptor, self.buffer.as_mut_slice(), RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => return Err(Failure::Lost),
                Err(Errno::AGAIN) => return Err(Failure::Silent),
                Err(errno) => return Err(Failure::System(errno)),
                // Only the kernel has port 0; another process could address us, too.
                Ok((length, _, Some(sender)))
                    if SocketAddrNetlink::try_from(sender.clone()).is_ok_and(|sender| sender.pid() == 0) =>
                {
                    break length;
                }
                Ok(_) => {}
            }
        };
        for message in messages(self.buffer.get(..length).unwrap_or_default()) {
            each(&message.map_err(|_| Failure::Malformed)?)?;
        }
        Ok(())
    }

    /// Throws away answers to requests given up.
    fn discard(&mut self) {
        if self.stale {
            // Ends when nothing is waiting; that something was lost does not matter any more.
            while matches!(
                recvfrom(&self.descriptor, self.buffer.as_mut_slice(), RecvFlags::DONTWAIT),
                Ok(_) | Err(Errno::NOBUFS | Errno::INTR)
            ) {}
            self.stale = false;
        }
    }
}

#[cfg(test)]
impl Socket {
    /// Sets how many bytes of answers may wait.
    pub(crate) fn set_room(&self, bytes: usize) -> Result<(), Errno> {
        set_socket_recv_buffer_size(&self.descriptor, bytes)
    }
}

/// An error of the system; other numbers belong to a subsystem.
fn known(number: i32) -> Result<Errno, Failure> {
    if (1..=4095).contains(&number) {
        Ok(Errno::from_raw_os_error(number))
    } else {
        Err(Failure::Special(number))
    }
}

/// A datagram is sent whole or not at all.
fn send_whole(descriptor: &OwnedFd, bytes: &[u8]) -> Result<(), Failure> {
    loop {
        match send(descriptor, bytes, SendFlags::empty()) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Failure::System(errno)),
            Ok(_) => return Ok(()),
        }
    }
}

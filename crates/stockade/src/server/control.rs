//! The control socket: clients' words come in, answers go out. One thread per client.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use stockade_core::logline::Level;
use stockade_protocol::{CLOSE, END, Frames, RemoteError, Reply, Value, parse, pickle, repr, repr_error};

use super::jails::Message;
use super::log::Log;

/// Clients at a time; the next ones wait in the kernel's queue.
const CLIENTS: usize = 32;

/// A client that sends nothing for so long is let go, so that forgotten ones do not use up the places.
const SILENCE: Duration = Duration::from_secs(3600);

/// Answers a client that does not read its answer waits for so long.
const DEAF: Duration = Duration::from_secs(30);

/// What a client's thread needs.
#[derive(Clone)]
pub(crate) struct Control {
    pub(crate) jails: SyncSender<Message>,
    pub(crate) log: Arc<Log>,
    /// How many clients are being served; the server waits for their last answers when it ends.
    pub(crate) clients: Arc<AtomicUsize>,
}

impl Control {
    /// Serves clients for ever; the thread ends with the process.
    pub(crate) fn serve(self, listener: &UnixListener) {
        loop {
            while self.clients.load(Ordering::Acquire) >= CLIENTS {
                std::thread::sleep(Duration::from_millis(5));
            }
            match listener.accept() {
                Ok((stream, _)) => {
                    let control = self.clone();
                    self.clients.fetch_add(1, Ordering::AcqRel);
                    let spawned = std::thread::Builder::new().name("client".into()).spawn(move || {
                        control.client(stream);
                        control.clients.fetch_sub(1, Ordering::AcqRel);
                    });
                    if let Err(error) = spawned {
                        self.clients.fetch_sub(1, Ordering::AcqRel);
                        self.complain(&format!("no thread for a client: {error}"));
                    }
                }
                Err(error) => {
                    self.complain(&format!("a client could not be accepted: {error}"));
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }

    fn client(&self, mut stream: UnixStream) {
        if let Err(fault) = entitled(&stream) {
            self.complain(&fault);
            return;
        }
        // Without time limits a client that hangs would keep its place; a socket that cannot have them is gone already.
        if stream
            .set_read_timeout(Some(SILENCE))
            .and_then(|()| stream.set_write_timeout(Some(DEAF)))
            .is_err()
        {
            return;
        }
        let mut frames = Frames::default();
        let mut bytes = vec![0; 16 * 1024];
        loop {
            let Ok(count @ 1..) = stream.read(&mut bytes) else {
                return;
            };
            let Some(read) = bytes.get(..count) else { return };
            if let Err(error) = frames.push(read) {
                self.complain(&error.to_string());
                return;
            }
            while let Some(message) = frames.next() {
                if message == CLOSE {
                    return;
                }
                let mut answer = self.answer(&message);
                answer.extend_from_slice(END);
                if stream.write_all(&answer).is_err() {
                    return;
                }
            }
        }
    }

    fn answer(&self, message: &[u8]) -> Vec<u8> {
        let words = match pickle::decode(message) {
            Ok(words) => words,
            // Upstream answers with a bare text when it cannot read a request.
            Err(error) => return pickle::encode(&Value::from(format!("ERROR: {error}"))),
        };
        let reply = parse(&words).and_then(|request| {
            let (sender, receiver) = sync_channel(1);
            let gone = || RemoteError::new(stockade_protocol::ErrorClass::Exception, "the server is shutting down");
            self.jails
                .send(Message::Command { request, reply: sender })
                .map_err(|_| gone())?;
            receiver.recv().map_err(|_| gone())?
        });
        self.note(&words, &reply);
        pickle::encode_reply(&reply)
    }

    fn note(&self, words: &Value, reply: &Reply) {
        if let Err(error) = reply {
            // A whole configuration need not be repeated in the log.
            let shown: String = repr(words).chars().take(500).collect();
            let text = format!("Command {shown} has failed. Received {}", repr_error(error));
            self.log.write(Level::Error, "fail2ban.transmitter", &text);
        }
    }

    fn complain(&self, text: &str) {
        self.log.write(Level::Error, "fail2ban.server", text);
    }
}

/// Only root, and the user the server runs as, may give commands, whatever the mode of the socket.
fn entitled(stream: &UnixStream) -> Result<(), String> {
    let peer = rustix::net::sockopt::socket_peercred(stream.as_fd())
        .map_err(|error| format!("who a client is cannot be told: {error}"))?;
    let own = rustix::process::geteuid();
    if peer.uid.is_root() || peer.uid == own {
        Ok(())
    } else {
        Err(format!(
            "a client of user {} was sent away; mend: run fail2ban-client as root",
            peer.uid.as_raw()
        ))
    }
}

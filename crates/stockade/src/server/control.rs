//! The control socket: clients' words come in, answers go out. One thread per client.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use stockade_core::logline::Level;
use stockade_protocol::{
    CLOSE, END, ErrorClass, Frames, RemoteError, Reply, Request, Value, parse, pickle, repr, repr_error,
};

use super::jails::Message;
use super::log::Log;

/// Clients at a time; the next ones wait in the kernel's queue.
const CLIENTS: usize = 64;

/// A client that has asked nothing for so long is let go, so that forgotten ones do not use up the places.
const SILENCE: Duration = Duration::from_secs(3600);

/// The same when all places are taken and others wait.
const SILENCE_WHEN_FULL: Duration = Duration::from_secs(1);

/// How often a client's thread looks whether it is to let go.
const LOOK: Duration = Duration::from_millis(250);

/// Answers a client that does not read its answer waits for so long.
const DEAF: Duration = Duration::from_secs(30);

/// How long the same complaint stays unsaid.
const QUIET: Duration = Duration::from_secs(60);

/// What a client's thread needs.
#[derive(Clone)]
pub(crate) struct Control {
    pub(crate) jails: SyncSender<Message>,
    pub(crate) log: Arc<Log>,
    /// How many clients are being served; the server waits for their last answers when it ends.
    pub(crate) clients: Arc<AtomicUsize>,
    /// When what was complained of.
    pub(crate) complaints: Arc<Mutex<HashMap<&'static str, Instant>>>,
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
                        self.complain("thread", &format!("no thread for a client: {error}"));
                    }
                }
                Err(error) => {
                    self.complain("accept", &format!("a client could not be accepted: {error}"));
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }

    fn client(&self, mut stream: UnixStream) {
        if let Err(fault) = entitled(&stream) {
            self.complain("stranger", &fault);
            return;
        }
        // Without time limits a client that hangs would keep its place; a socket that cannot have them is gone already.
        if stream
            .set_read_timeout(Some(LOOK))
            .and_then(|()| stream.set_write_timeout(Some(LOOK)))
            .is_err()
        {
            return;
        }
        let mut frames = Frames::default();
        let mut bytes = vec![0; 16 * 1024];
        let mut heard = Instant::now();
        loop {
            let read = match stream.read(&mut bytes) {
                Ok(count @ 1..) => bytes.get(..count).unwrap_or_default(),
                Err(error) if is_time_out(&error) => &[],
                Ok(_) | Err(_) => return,
            };
            if let Err(error) = frames.push(read) {
                self.complain("length", &error.to_string());
                return;
            }
            while let Some(message) = frames.next() {
                if message == CLOSE {
                    return;
                }
                let mut answer = self.answer(&message);
                answer.extend_from_slice(END);
                if !self.send(&mut stream, &answer) {
                    return;
                }
                heard = Instant::now();
            }
            if heard.elapsed() > self.patience(SILENCE) {
                return;
            }
        }
    }

    /// Sends an answer; false if the client does not take it in time.
    fn send(&self, stream: &mut UnixStream, mut answer: &[u8]) -> bool {
        let begun = Instant::now();
        while !answer.is_empty() {
            match stream.write(answer) {
                Ok(count @ 1..) => answer = answer.get(count..).unwrap_or_default(),
                Err(error) if is_time_out(&error) => {}
                Ok(_) | Err(_) => return false,
            }
            if begun.elapsed() > self.patience(DEAF) {
                return false;
            }
        }
        true
    }

    /// How long a client may keep its place: shorter if others wait for one.
    fn patience(&self, usual: Duration) -> Duration {
        if self.clients.load(Ordering::Acquire) >= CLIENTS {
            SILENCE_WHEN_FULL
        } else {
            usual
        }
    }

    fn answer(&self, message: &[u8]) -> Vec<u8> {
        let words = match pickle::decode(message) {
            Ok(words) => words,
            // Upstream answers with a bare text when it cannot read a request.
            Err(error) => return pickle::encode(&Value::from(format!("ERROR: {error}"))),
        };
        let reply = parse(&words).and_then(|request| {
            if let Request::Sleep(seconds) = request {
                self.sleep(seconds)?;
            }
            let (sender, receiver) = sync_channel(1);
            let gone = || RemoteError::new(ErrorClass::Exception, "the server is shutting down");
            self.jails
                .send(Message::Command { request, reply: sender })
                .map_err(|_| gone())?;
            receiver.recv().map_err(|_| gone())?
        });
        self.note(&words, &reply);
        pickle::encode_reply(&reply)
    }

    /// Lets the client wait, and nobody else, unless others wait for its place.
    fn sleep(&self, seconds: f64) -> Result<(), RemoteError> {
        let refused = |text: &str| RemoteError::new(ErrorClass::ValueError, text);
        if seconds < 0.0 {
            return Err(refused("sleep length must be non-negative"));
        }
        let length = Duration::try_from_secs_f64(seconds)
            .map_err(|_| refused("timestamp too large to convert to C _PyTime_t"))?;
        let begun = Instant::now();
        while let Some(left) = length.checked_sub(begun.elapsed())
            && begun.elapsed() < self.patience(length)
        {
            std::thread::sleep(left.min(LOOK));
        }
        Ok(())
    }

    fn note(&self, words: &Value, reply: &Reply) {
        if let Err(error) = reply {
            // A whole configuration need not be repeated in the log.
            let shown: String = repr(words).chars().take(500).collect();
            let text = format!("Command {shown} has failed. Received {}", repr_error(error));
            self.log.write(Level::Error, "fail2ban.transmitter", &text);
        }
    }

    /// Says something that may be caused from outside, each kind at most once a minute.
    fn complain(&self, kind: &'static str, text: &str) {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if complaints.get(kind).is_some_and(|said| said.elapsed() < QUIET) {
            return;
        }
        complaints.insert(kind, Instant::now());
        drop(complaints);
        self.log.write(Level::Error, "fail2ban.server", text);
    }
}

fn is_time_out(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
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

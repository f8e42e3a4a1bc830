//! A connection to `git daemon`; never waits past the deadline, and takes no more bytes than agreed. Nobody vouches
//! for what comes over it but the signatures in it.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use gix::protocol::transport::Protocol;
use gix::protocol::transport::client::git::ConnectMode;
use gix::protocol::transport::client::git::blocking_io::Connection;

/// As IANA has it.
const PORT: u16 = 9418;
const CONNECT_WITHIN: Duration = Duration::from_secs(15);

pub(super) fn connect(
    url: &str,
    deadline: Instant,
    bytes_max: u64,
) -> Result<Connection<Limited, Limited>, String> {
    let parsed = gix::url::parse(url).map_err(|_| "no such URL")?;
    let host = parsed.host().ok_or("no such URL")?.to_owned();
    let reached = reach(&host, parsed.port.unwrap_or(PORT), deadline)
        .and_then(|stream| Ok((stream.try_clone()?, stream)));
    let (read, write) = reached.map_err(|error| format!("{host} cannot be reached: {error}"))?;
    let limited = |stream| Limited { stream, deadline, left: bytes_max };
    let named = Some((host, parsed.port));
    let (read, write) = (limited(read), limited(write));
    let version = Protocol::V2;
    let mode = ConnectMode::Daemon;
    let connection = Connection::new(read, write, version, parsed.path, named, mode, false);
    Ok(connection.custom_url(Some(url.into())))
}

/// Tries the addresses of a name one after another.
fn reach(host: &str, port: u16, deadline: Instant) -> io::Result<TcpStream> {
    let mut why = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left(deadline)?.min(CONNECT_WITHIN)) {
            Ok(stream) => return Ok(stream),
            Err(error) => why = error,
        }
    }
    Err(why)
}

/// Never zero, which would mean forever.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    let silent = || io::Error::new(io::ErrorKind::TimedOut, "the server did not answer in time");
    Some(left).filter(|left| !left.is_zero()).ok_or_else(silent)
}

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Limited {
    stream: TcpStream,
    deadline: Instant,
    /// In bytes, of what is read.
    left: u64,
}

impl Read for Limited {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.deadline)?))?;
        let read = self.stream.read(into).or_else(|error| match error.kind() {
            io::ErrorKind::WouldBlock => left(self.deadline).and(Err(error)),
            _ => Err(error),
        })?;
        let left = u64::try_from(read).ok().and_then(|read| self.left.checked_sub(read));
        self.left = left.ok_or_else(|| io::Error::other("the server sent too much"))?;
        Ok(read)
    }
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.deadline)?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

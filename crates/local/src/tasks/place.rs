//! Where on this machine a task listens; never opens a port for it.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Gives each task an address of its own, as awsvpc does, where the machine lets any address of
/// 127/8 be bound; else ports of 127.0.0.1.
#[derive(Debug)]
pub struct Places {
    own_addresses: bool,
}

/// A task's address and where its container ports are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) address: IpAddr,
    pub(crate) ports: BTreeMap<u16, u16>,
}

/// Addresses are given out one after the other from a start that depends on the process, so that
/// two regions on one machine rarely meet; when they do, the port is found taken.
static NEXT: AtomicU32 = AtomicU32::new(0);

const ATTEMPTS: usize = 64;

impl Places {
    /// Tries what this machine allows. Linux allows all of 127/8, macOS only 127.0.0.1.
    pub fn detect() -> Self {
        Self { own_addresses: TcpListener::bind((Ipv4Addr::new(127, 91, 7, 3), 0)).is_ok() }
    }

    /// Ports of 127.0.0.1 for every task.
    pub fn shared_address() -> Self {
        Self { own_addresses: false }
    }

    pub(crate) fn take(&self, container_ports: &[u16]) -> io::Result<Place> {
        if !self.own_addresses {
            return on_shared_address(container_ports);
        }
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for _ in 0..ATTEMPTS {
            let address = next_address();
            match free_at(address, container_ports) {
                Ok(()) => {
                    let ports = container_ports.iter().map(|&port| (port, port)).collect();
                    return Ok(Place { address, ports });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

fn next_address() -> IpAddr {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let start = std::process::id().wrapping_mul(2_654_435_761);
    address(start.wrapping_add(number))
}

/// Within 127.64.0.0/10, which leaves 127.0.0.1 and its neighbours to others. Numbers that follow each
/// other have addresses of their own: the next task starts before this one has bound its.
fn address(number: u32) -> IpAddr {
    // Hosts 1 to 254.
    let (network, host) = (number / 254, number % 254 + 1);
    let [_, b, c, _] = (network << 8).to_be_bytes();
    let [.., d] = host.to_be_bytes();
    IpAddr::from([127, 64 | (b & 0x3f), c, d])
}

fn free_at(address: IpAddr, ports: &[u16]) -> io::Result<()> {
    ports.iter().try_for_each(|&port| TcpListener::bind(SocketAddr::new(address, port)).map(drop))
}

/// Asks the machine for free ports, holding all of them until the last is known.
fn on_shared_address(container_ports: &[u16]) -> io::Result<Place> {
    let address = IpAddr::from(Ipv4Addr::LOCALHOST);
    let held: Vec<(u16, TcpListener)> = container_ports
        .iter()
        .map(|&port| Ok((port, TcpListener::bind((address, 0))?)))
        .collect::<io::Result<_>>()?;
    let ports = held
        .iter()
        .map(|(port, listener)| Ok((*port, listener.local_addr()?.port())))
        .collect::<io::Result<_>>()?;
    Ok(Place { address, ports })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn two_tasks_never_share_an_address_and_a_port() {
        for places in [Places::detect(), Places::shared_address()] {
            let first = places.take(&[8080, 9090]).unwrap();
            let _holding: Vec<TcpListener> = first
                .ports
                .values()
                .map(|&port| TcpListener::bind((first.address, port)).unwrap())
                .collect();
            let second = places.take(&[8080, 9090]).unwrap();
            let meets = first.address == second.address
                && second.ports.values().any(|port| first.ports.values().any(|p| p == port));
            assert!(!meets, "{first:?} and {second:?}");
        }
    }

    #[test]
    fn a_thousand_numbers_in_a_row_are_a_thousand_addresses() {
        let addresses: BTreeSet<IpAddr> = (7_000..8_000).map(address).collect();
        assert_eq!(addresses.len(), 1_000);
    }

    #[test]
    fn without_addresses_of_their_own_tasks_get_other_ports() {
        let place = Places::shared_address().take(&[80]).unwrap();
        assert_eq!(place.address, IpAddr::from([127, 0, 0, 1]));
        assert!(place.ports[&80] > 1023, "{place:?}");
    }
}

//! How often an address was wrong about passwords of late. Whoever was too often is not heard for a while; else an
//! answer for each of many tries would lead to a weak password.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use parking_lot::Mutex;

/// Failures in a row that are heard.
pub(super) const FAILURES_MAX: u64 = 10;
/// Each is forgotten after so long.
const FORGOTTEN_NS: u64 = 5 * 1_000_000_000;
/// Addresses that are told apart; further ones share a count.
const ADDRESSES_MAX: usize = 4096;

/// For each address when its last failure will be forgotten, by the monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<IpAddr, u64>>);

impl Attempts {
    /// Whether another try is heard.
    pub(super) fn may_try(&self, peer: IpAddr, now_ns: u64) -> bool {
        let ends = self.0.lock();
        let end = ends.get(&group(peer)).or_else(|| ends.get(&OTHERS).filter(|_| is_full(&ends)));
        end.is_none_or(|end| end.saturating_sub(now_ns) <= (FAILURES_MAX - 1) * FORGOTTEN_NS)
    }

    /// Takes note of a failure.
    pub(super) fn failed(&self, peer: IpAddr, now_ns: u64) {
        let mut ends = self.0.lock();
        let mut peer = group(peer);
        if is_full(&ends) && !ends.contains_key(&peer) {
            ends.retain(|_, end| now_ns < *end);
            if is_full(&ends) {
                peer = OTHERS;
            }
        }
        let end = ends.entry(peer).or_default();
        *end = now_ns.max(*end).saturating_add(FORGOTTEN_NS);
    }
}

/// What addresses share that find no place of their own.
const OTHERS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

fn is_full(ends: &HashMap<IpAddr, u64>) -> bool {
    ends.len() >= ADDRESSES_MAX
}

/// An IPv6 address stands for its network of 64 bits, within which a client has as many as it likes.
fn group(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_counted_apart_and_forgotten() {
        let attempts = Attempts::default();
        let peer: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        let other: IpAddr = "2001:db8:0:1::1".parse().unwrap();
        for _ in 0..FAILURES_MAX {
            assert!(attempts.may_try(peer, 0));
            attempts.failed(peer, 0);
        }
        assert!(!attempts.may_try(peer, 0) && !attempts.may_try(neighbour, 0));
        assert!(attempts.may_try(other, 0));
        assert!(!attempts.may_try(peer, FORGOTTEN_NS - 1) && attempts.may_try(peer, FORGOTTEN_NS));
    }

    #[test]
    fn many_addresses_take_bounded_memory_and_are_still_counted() {
        let attempts = Attempts::default();
        for number in 1..=u32::try_from(2 * ADDRESSES_MAX).unwrap() {
            attempts.failed(Ipv4Addr::from_bits(number).into(), 0);
        }
        assert!(attempts.0.lock().len() <= ADDRESSES_MAX + 1);
        let unknown = Ipv4Addr::from_bits(u32::MAX).into();
        assert!(!attempts.may_try(unknown, 0), "it shares the count of the others");
        attempts.failed(unknown, u64::MAX / 2);
        assert_eq!(attempts.0.lock().len(), 1, "what is forgotten makes room");
    }
}

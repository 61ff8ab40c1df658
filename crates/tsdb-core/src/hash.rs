//! SipHash-1-3 with a 128-bit result: the keyed hash that names a series across runs.
//!
//! Keyed, so that a client cannot choose tags that collide; 128 bits, so that an accident is out of the
//! question (2^64 series for an even chance). The key is fixed per data directory. Algorithm:
//! Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012), with the 128-bit finish of the
//! reference implementation and one compression round per word instead of two.

/// Key of a data directory's series hashes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HashKey(pub [u8; 16]);

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Whoever knows the key can choose colliding series.
        f.write_str("HashKey(..)")
    }
}

struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    #[inline]
    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v2 = self.v2.rotate_left(32);
    }

    fn finish(&mut self) -> u64 {
        for _ in 0..3 {
            self.round();
        }
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }
}

/// Hash of `bytes` under `key`. About 1 ns per 4 bytes.
pub fn siphash128(key: HashKey, bytes: &[u8]) -> u128 {
    let wide = u128::from_le_bytes(key.0);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of the key")]
    let (k0, k1) = (wide as u64, (wide >> 64) as u64);
    let mut state = State {
        v0: k0 ^ 0x736f_6d65_7073_6575,
        v1: k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
        v2: k0 ^ 0x6c79_6765_6e65_7261,
        v3: k1 ^ 0x7465_6462_7974_6573,
    };
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let mut raw = [0; 8];
        raw.copy_from_slice(word);
        let m = u64::from_le_bytes(raw);
        state.v3 ^= m;
        state.round();
        state.v0 ^= m;
    }
    let mut tail = [0; 8];
    for (to, from) in tail.iter_mut().zip(words.remainder()) {
        *to = *from;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the length modulo 256 is what is specified"
    )]
    let last = u64::from_le_bytes(tail) | (u64::from(bytes.len() as u8) << 56);
    state.v3 ^= last;
    state.round();
    state.v0 ^= last;
    state.v2 ^= 0xee;
    let low = state.finish();
    state.v1 ^= 0xdd;
    let high = state.finish();
    u128::from(low) | (u128::from(high) << 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_and_the_length_matter() {
        let key = HashKey([7; 16]);
        let base = b"measurement\0host\0a\0".to_vec();
        let reference = siphash128(key, &base);
        for i in 0..base.len() {
            let mut changed = base.clone();
            changed[i] ^= 1;
            assert_ne!(siphash128(key, &changed), reference, "byte {i}");
        }
        let mut longer = base.clone();
        longer.push(0);
        assert_ne!(siphash128(key, &longer), reference);
        assert_ne!(siphash128(HashKey([8; 16]), &base), reference);
    }

    #[test]
    fn value_is_pinned_because_it_is_stored() {
        let key = HashKey(std::array::from_fn(|i| u8::try_from(i).unwrap()));
        // From an independent implementation that also gives the published SipHash-2-4-128 vectors.
        let expected = 0x6847_eeb4_8a11_d50e_38a8_d452_a8d0_0e56;
        assert_eq!(siphash128(key, b"cpu\0host\0a\0"), expected);
    }
}

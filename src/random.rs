//! Random numbers, from the operating system or, in tests, from a seed.
//!
//! All identifiers, secrets, message IDs and jitter are made from a [`Random`].

use std::{fmt, sync::Arc};

use ring::rand::{SecureRandom, SystemRandom};

/// The error of an operating system that provides no random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system has no random numbers; check that /dev/urandom can be read")]
pub struct RandomError;

impl From<RandomError> for String {
    fn from(e: RandomError) -> String {
        e.to_string()
    }
}

impl From<RandomError> for std::io::Error {
    fn from(e: RandomError) -> std::io::Error {
        std::io::Error::other(e)
    }
}

/// Fills a buffer with random bytes.
type Fill = dyn Fn(&mut [u8]) -> Result<(), RandomError> + Send + Sync;

/// A source of random numbers. Clones share its state.
#[derive(Clone)]
pub struct Random(Arc<Fill>);

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}

impl Default for Random {
    fn default() -> Random {
        Random::system()
    }
}

impl Random {
    /// Returns the operating system's source, which is fit for secrets.
    pub fn system() -> Random {
        Random(Arc::new(|out| {
            SystemRandom::new().fill(out).map_err(|_| RandomError)
        }))
    }

    /// Fills a buffer with random bytes.
    ///
    /// # Errors
    ///
    /// The operating system provides no random numbers.
    pub fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        (self.0)(out)
    }

    /// Returns an array of random bytes.
    ///
    /// # Errors
    ///
    /// The operating system provides no random numbers.
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], RandomError> {
        let mut out = [0; N];
        self.fill(&mut out)?;
        Ok(out)
    }

    /// Returns a number from 0 to `limit` - 1. The bias of the modulo is below 2^-32 for limits
    /// below 2^32.
    ///
    /// # Errors
    ///
    /// The operating system provides no random numbers.
    pub fn below(&self, limit: u64) -> Result<u64, RandomError> {
        Ok(u64::from_be_bytes(self.bytes()?) % limit.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Random {
        /// Returns a source for tests that gives the same numbers for the same seed (SplitMix64).
        pub fn seeded(seed: u64) -> Random {
            let state = std::sync::atomic::AtomicU64::new(seed);
            Random(Arc::new(move |out| {
                const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
                for chunk in out.chunks_mut(8) {
                    let step = state.fetch_add(GAMMA, std::sync::atomic::Ordering::Relaxed);
                    let mut n = step.wrapping_add(GAMMA);
                    n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                    n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                    let bytes = (n ^ (n >> 31)).to_be_bytes();
                    chunk.copy_from_slice(&bytes[..chunk.len()]);
                }
                Ok(())
            }))
        }
    }

    #[test]
    fn equal_seeds_give_equal_numbers() {
        let (a, b) = (Random::seeded(7), Random::seeded(7));
        let first: [u8; 20] = a.bytes().unwrap();
        assert_eq!(first, b.bytes().unwrap());
        assert_ne!(first, a.bytes().unwrap());
        assert_ne!(first, Random::seeded(8).bytes().unwrap());
    }

    #[test]
    fn numbers_stay_below_their_limit() {
        for random in [Random::seeded(1), Random::system()] {
            assert!((0..1000).all(|_| random.below(3).unwrap() < 3));
            assert_eq!(random.below(0), Ok(0));
        }
    }
}

//! Secrets at rest: Argon2 in the PHC string format.
//!
//! Hashing takes about 20 ms of CPU and the memory it is told to take: these functions block, and
//! belong on a bounded pool of blocking threads.

use std::{fmt, sync::Arc};

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, Version};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{RandomPart, RandomnessError, Secret, random_bytes};

/// What a hash costs: 8 KiB per lane to 1 GiB of memory, 1 to 64 passes over it, 1 to 16 lanes,
/// and no more than 4 GiB written in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashParams {
    memory_kib: u32,
    iterations: u32,
    parallelism: u32,
}

/// Figures outside the ranges of [`HashParams`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashParamsError {
    /// Too little or too much memory.
    #[error("argon2 memory must be {min} KiB per lane to {max} KiB", min = HashParams::MEMORY_KIB_PER_LANE_MIN, max = HashParams::MEMORY_KIB_MAX)]
    Memory,
    /// No pass, or too many.
    #[error("argon2 iterations must be 1 to {max}", max = HashParams::ITERATIONS_MAX)]
    Iterations,
    /// No lane, or too many.
    #[error("argon2 parallelism must be 1 to {max}", max = HashParams::PARALLELISM_MAX)]
    Parallelism,
    /// Each figure is in range, but together they take too long.
    #[error("argon2 memory times iterations must be at most {max} KiB", max = HashParams::WORK_KIB_MAX)]
    Work,
}

impl HashParams {
    /// The least memory, in KiB for each lane.
    pub const MEMORY_KIB_PER_LANE_MIN: u32 = 8;
    /// The most memory, in KiB: 1 GiB.
    pub const MEMORY_KIB_MAX: u32 = 1 << 20;
    /// The most passes.
    pub const ITERATIONS_MAX: u32 = 64;
    /// The most lanes.
    pub const PARALLELISM_MAX: u32 = 16;
    /// The most memory times passes, in KiB: seconds of CPU.
    pub const WORK_KIB_MAX: u32 = 4 << 20;
    /// 19 MiB, two passes, one lane: the first choice of the OWASP cheat sheet.
    pub const DEFAULT: Self = Self { memory_kib: 19 * 1024, iterations: 2, parallelism: 1 };

    /// Checks the ranges.
    pub fn new(memory_kib: u32, iterations: u32, parallelism: u32) -> Result<Self, HashParamsError> {
        if !(1..=Self::PARALLELISM_MAX).contains(&parallelism) {
            return Err(HashParamsError::Parallelism);
        }
        if !(parallelism * Self::MEMORY_KIB_PER_LANE_MIN..=Self::MEMORY_KIB_MAX).contains(&memory_kib) {
            return Err(HashParamsError::Memory);
        }
        if !(1..=Self::ITERATIONS_MAX).contains(&iterations) {
            return Err(HashParamsError::Iterations);
        }
        // Both are bounded by now: the product is below 2²⁶.
        if memory_kib * iterations > Self::WORK_KIB_MAX {
            return Err(HashParamsError::Work);
        }
        Ok(Self { memory_kib, iterations, parallelism })
    }

    /// Memory in KiB.
    pub fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    pub fn iterations(self) -> u32 {
        self.iterations
    }

    /// Lanes.
    pub fn parallelism(self) -> u32 {
        self.parallelism
    }
}

impl Default for HashParams {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The Argon2 hash of a secret, as a PHC string. Stored, but printed nowhere.
///
/// Cheap to clone: the text is shared.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretHash(Arc<str>);

/// Why there is no hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// No PHC string.
    #[error("hash is no PHC string such as $argon2id$v=19$m=19456,t=2,p=1$salt$hash")]
    Form,
    /// Not argon2id, argon2i or argon2d, or a version other than 16 and 19.
    #[error("hash must be argon2id, argon2i or argon2d, version 16 or 19")]
    Algorithm,
    /// A key or associated data that only its maker knows what to do with.
    #[error("hash has parameters other than m, t and p")]
    Parameter,
    /// The hash is so short that it could be guessed.
    #[error("hash must have at least {OUTPUT_BYTES_MIN} bytes")]
    Short,
    /// Verifying it would cost too much, or nothing.
    #[error(transparent)]
    Params(#[from] HashParamsError),
    /// No salt could be drawn.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
    /// The hash could not be computed, most likely for lack of memory.
    #[error("argon2 failed, most likely for lack of memory")]
    Failed,
}

const OUTPUT_BYTES_MIN: usize = 16;

impl SecretHash {
    /// Checks a PHC string: Argon2 in any of its three variants, of a cost that [`HashParams`]
    /// allows, so that nobody can import a hash that stops the node.
    pub fn parse(text: &str) -> Result<Self, HashError> {
        Parsed::read(text)?;
        Ok(Self(text.into()))
    }

    /// The PHC string, for storing it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Hashes the random part that a secret is about to be made from, with a fresh salt. Blocks.
pub fn hash_random_part(params: &HashParams, random: &RandomPart) -> Result<SecretHash, HashError> {
    hash_text(*params, random.expose())
}

/// Hashes a secret with a fresh salt. Blocks.
pub fn hash_secret(params: &HashParams, secret: &Secret) -> Result<SecretHash, HashError> {
    hash_text(*params, secret.hash_input())
}

/// Whether `hash` was made from `secret`, compared in constant time. Blocks.
pub fn verify_secret(hash: &SecretHash, secret: &Secret) -> Result<bool, HashError> {
    let parsed = Parsed::read(&hash.0)?;
    let mut output = Zeroizing::new(vec![0; parsed.output.len()]);
    let hashed = parsed.argon2.hash_password_into(secret.hash_input().as_bytes(), &parsed.salt, &mut output);
    hashed.map_err(|_| HashError::Failed)?;
    Ok(output.ct_eq(&parsed.output).into())
}

fn hash_text(params: HashParams, text: &str) -> Result<SecretHash, HashError> {
    let salt = random_bytes::<16>()?;
    let params = Params::new(params.memory_kib, params.iterations, params.parallelism, None).map_err(|_| HashError::Failed)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon2.hash_password_with_salt(text.as_bytes(), &salt).map_err(|_| HashError::Failed)?;
    Ok(SecretHash(hash.to_string().into()))
}

/// A PHC string taken apart.
struct Parsed {
    argon2: Argon2<'static>,
    salt: Vec<u8>,
    output: Vec<u8>,
}

impl Parsed {
    fn read(text: &str) -> Result<Self, HashError> {
        let phc = PasswordHash::new(text).map_err(|_| HashError::Form)?;
        let algorithm = Algorithm::new(phc.algorithm.as_str()).map_err(|_| HashError::Algorithm)?;
        // Hashes from before the version field have none; they are of version 16.
        let version = phc.version.map_or(Ok(Version::V0x10), Version::try_from).map_err(|_| HashError::Algorithm)?;
        let params = Params::try_from(&phc).map_err(|_| HashError::Parameter)?;
        if !params.keyid().is_empty() || !params.data().is_empty() {
            return Err(HashError::Parameter);
        }
        HashParams::new(params.m_cost(), params.t_cost(), params.p_cost())?;
        let (Some(salt), Some(output)) = (phc.salt, phc.hash) else { return Err(HashError::Form) };
        if output.len() < OUTPUT_BYTES_MIN {
            return Err(HashError::Short);
        }
        Ok(Self { argon2: Argon2::new(algorithm, version, params), salt: salt.to_vec(), output: output.as_bytes().to_vec() })
    }
}

#[cfg(test)]
mod tests;

//! Names that nobody can guess.

use std::fmt::Write as _;

/// `prefix` and 24 hexadecimal digits from the system's random numbers.
pub(crate) fn new(prefix: &str) -> String {
    let mut bytes = [0_u8; 12];
    if let Err(error) = getrandom::fill(&mut bytes) {
        // The keys of the standard library's hash maps come from the same source, and were drawn earlier.
        tracing::warn!(%error, "the system gives no random numbers");
        bytes[..8]
            .copy_from_slice(&std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), prefix).to_le_bytes());
    }
    let mut id = String::with_capacity(prefix.len() + 24);
    id.push_str(prefix);
    for byte in bytes {
        let _ = write!(id, "{byte:02x}");
    }
    id
}

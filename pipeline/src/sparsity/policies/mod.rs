//! The methods, a file each: what is estimated and how levels are chosen from it, with the papers' numbers as presets.

use super::registry::Method;

mod psa;

/// Every method but `dense`, which is no policy: the product's own first, then by name.
pub const METHODS: &[Method] = &[psa::METHOD];

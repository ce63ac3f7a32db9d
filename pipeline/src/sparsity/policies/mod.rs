//! The methods, a file each: what is estimated and how levels are chosen from it, with the papers' numbers as presets.

use super::registry::Method;

mod adaspa;
mod asa;
mod biformer;
mod delta;
mod hip;
mod knob;
mod minference;
mod pisa;
mod psa;
mod sol;
mod sparge;
mod sparsed;
mod subblock;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod video;
mod vmoba;

/// Every method but `dense`, which is no policy: the product's own first, then by name.
pub const METHODS: &[Method] = &[
    psa::METHOD,
    adaspa::METHOD,
    sol::METHOD,
    asa::METHOD,
    biformer::METHOD,
    delta::METHOD,
    hip::METHOD,
    minference::METHOD,
    pisa::METHOD,
    sparge::METHOD,
    sparsed::METHOD,
    subblock::METHOD,
    vmoba::METHOD,
];

//! The methods, a file each: what is estimated and how levels are chosen from it, with the papers' numbers as presets.

use super::registry::Method;

mod adaspa;
mod asa;
mod biformer;
mod delta;
mod frontier;
mod gna;
mod hip;
pub(super) mod knob;
mod minference;
mod moa;
mod paro;
mod pbs;
mod pisa;
mod planned;
mod power;
#[cfg(test)]
pub(crate) mod promises;
mod psa;
mod radial;
mod s2;
mod sol;
mod sparge;
mod sparse_vdit;
mod sparsed;
mod sta;
mod subblock;
mod svg;
mod tessera;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod video;
mod vmoba;
mod windows;

pub(super) use tessera::expected_loss;

/// Every method but `dense`, which is no policy: the product's own first, then by name.
pub const METHODS: &[Method] = &[
    tessera::METHOD,
    psa::METHOD,
    adaspa::METHOD,
    sol::METHOD,
    asa::METHOD,
    biformer::METHOD,
    delta::METHOD,
    gna::METHOD,
    hip::METHOD,
    minference::METHOD,
    moa::METHOD,
    paro::METHOD,
    pbs::METHOD,
    pisa::METHOD,
    power::METHOD,
    radial::METHOD,
    s2::METHOD,
    sparge::METHOD,
    sparse_vdit::METHOD,
    sparsed::METHOD,
    sta::METHOD,
    subblock::METHOD,
    svg::METHOD,
    vmoba::METHOD,
];

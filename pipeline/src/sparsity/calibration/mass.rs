//! Softmax masses in a byte each: fine enough to choose blocks by, and a plan of any model stays a file that can be sent.
//!
//! Code c > 0 stands for 2^((c − 255)/12), so that neighbours are 6 % apart and the smallest is 2^−21; code 0 stands for 0.

/// Codes an octave.
const STEPS: f32 = 12.0;

/// Masses of blocks, each between 0 and 1, row-major.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MassMap {
    codes: Vec<u8>,
}

impl MassMap {
    /// Rounds masses to the nearest that there is a code for.
    pub fn new(masses: &[f32]) -> Self {
        Self { codes: masses.iter().map(|&mass| code(mass)).collect() }
    }

    /// From the codes themselves.
    pub(super) fn from_codes(codes: Vec<u8>) -> Self {
        Self { codes }
    }

    /// The codes: they grow with the mass, 12 to an octave.
    pub fn codes(&self) -> &[u8] {
        &self.codes
    }

    /// The masses.
    pub fn to_vec(&self) -> Vec<f32> {
        self.codes.iter().map(|&code| mass(code)).collect()
    }

    /// Blocks.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether there are none: masses were not wanted.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }
}

fn code(mass: f32) -> u8 {
    // Below the smallest code's mass, and NaN, is 0.
    let code = 255.0 + STEPS * mass.log2();
    if code >= 0.5 { code.round().min(255.0) as u8 } else { 0 }
}

fn mass(code: u8) -> f32 {
    if code == 0 { 0.0 } else { ((f32::from(code) - 255.0) / STEPS).exp2() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masses_come_back_within_three_percent() {
        let masses: Vec<f32> =
            (0..200).map(|i| 0.93_f32.powi(i)).filter(|mass| *mass > 1e-6).collect();
        let map = MassMap::new(&masses);
        for (there, back) in masses.iter().zip(map.to_vec()) {
            assert!((back / there - 1.0).abs() < 0.03, "{there} {back}");
        }
        assert!(map.codes().is_sorted_by(|a, b| a >= b));
        let ends = MassMap::new(&[0.0, f32::NAN, 1e-9, 1.0, 1.5]);
        assert_eq!(ends.codes(), [0, 0, 0, 255, 255]);
        assert_eq!(ends.to_vec(), [0.0, 0.0, 0.0, 1.0, 1.0]);
    }
}

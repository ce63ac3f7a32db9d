//! How much more a clip changes from frame to frame than the clip it is compared with.
//!
//! A clip whose every frame is close to the dense run's can still shimmer. The energy of a step from one frame to the next is
//! the mean squared difference of the two; flicker is the root of it less the reference's, in steps of 1/255: above 0 the clip
//! changes more than the reference, below 0 less (smeared motion).

use super::{Pictures, mean_squared_error};

/// The energy of the step to each frame but the first, in squared steps of 1/255.
pub fn step_energy(pictures: &Pictures) -> Vec<f64> {
    use rayon::prelude::*;
    pictures.frames.par_windows(2).map(|pair| mean_squared_error(&pair[1], &pair[0])).collect()
}

/// The root of one mean energy less the root of another, in steps of 1/255; `None` of clips of one frame.
pub fn flicker(clip: &[f64], reference: &[f64]) -> Option<f64> {
    let root = |energies: &[f64]| {
        (!energies.is_empty())
            .then(|| (energies.iter().sum::<f64>() / energies.len() as f64).sqrt())
    };
    Some(root(clip)? - root(reference)?)
}

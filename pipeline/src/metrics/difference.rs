//! The difference of two pictures as a picture.

/// |a − b| · `gain` of each sample of two pictures of one size, at most 255; black where they are equal.
pub fn difference(a: &[u8], b: &[u8], gain: f32) -> Vec<u8> {
    let amplified: [u8; 256] = std::array::from_fn(|step| (step as f32 * gain).round() as u8);
    a.iter().zip(b).map(|(a, b)| amplified[usize::from(a.abs_diff(*b))]).collect()
}

//! The colours of data: levels of maps, shares of attention. Every picture of them, in files and in the window, takes these.
//!
//! Both are of the viridis colormap (Smith and van der Walt for matplotlib, 2015, CC0): lightness falls evenly from full to
//! coarse and is what tells colours apart, so they keep apart for people who see colours otherwise, and in grey.

/// Colour of each level: 0 skipped, 1 in full, 2 to 7 pooled by 2 to 64.
pub const LEVELS: [[u8; 3]; 8] = [
    [0x0b, 0x0b, 0x10],
    [0xfd, 0xe7, 0x25],
    [0x7a, 0xd1, 0x51],
    [0x2f, 0xb0, 0x7c],
    [0x21, 0x91, 0x8c],
    [0x2a, 0x73, 0x8e],
    [0x3b, 0x52, 0x8b],
    [0x48, 0x1f, 0x70],
];

/// A block that is seen finer than before, and one that is seen coarser or not at all any more: orange and sky blue of Okabe and
/// Ito (2008), which nobody takes for each other.
pub const FINER: [u8; 3] = [0xe6, 0x9f, 0x00];
/// See [`FINER`].
pub const COARSER: [u8; 3] = [0x56, 0xb4, 0xe9];

/// From nothing to all, in even steps.
const HEAT: [[u8; 3]; 8] = [
    [0x44, 0x01, 0x54],
    LEVELS[7],
    LEVELS[6],
    LEVELS[5],
    LEVELS[4],
    LEVELS[3],
    LEVELS[2],
    LEVELS[1],
];

/// The colour of a level; of levels deeper than there are, the last.
pub fn level(level: u8) -> [u8; 3] {
    LEVELS[usize::from(level).min(LEVELS.len() - 1)]
}

/// The colour of blocks of which a share is kept on average: that of the level which keeps it, 1/2 of level 2 and so on, mixed in
/// between. Nothing is the colour of skipped blocks, less than any level keeps that of the deepest.
pub fn kept(share: f32) -> [u8; 3] {
    if share.is_nan() || share <= 0.0 {
        return LEVELS[0];
    }
    let level = (1.0 - share.log2()).clamp(1.0, (LEVELS.len() - 1) as f32);
    let finer = (level as usize).min(LEVELS.len() - 2);
    mixed(LEVELS[finer], LEVELS[finer + 1], level - finer as f32)
}

/// The colour of a block whose level was `before` and is `after`; one that stayed is the darker the coarser it is seen.
pub fn change(before: u8, after: u8) -> [u8; 3] {
    // A skipped block is seen least of all.
    let coarseness = |level: u8| if level == 0 { u8::MAX } else { level };
    match coarseness(before).cmp(&coarseness(after)) {
        std::cmp::Ordering::Greater => FINER,
        std::cmp::Ordering::Less => COARSER,
        std::cmp::Ordering::Equal if after == 0 => LEVELS[0],
        std::cmp::Ordering::Equal => [0x68 - 0x08 * after.min(8); 3],
    }
}

/// The colour of an amount from 0 to 1; what is no number counts as 0.
pub fn heat(amount: f32) -> [u8; 3] {
    let amount = if amount.is_nan() { 0.0 } else { amount.clamp(0.0, 1.0) };
    let place = amount * (HEAT.len() - 1) as f32;
    let below = (place as usize).min(HEAT.len() - 2);
    mixed(HEAT[below], HEAT[below + 1], place - below as f32)
}

/// `part` of the way from one colour to another.
fn mixed(from: [u8; 3], to: [u8; 3], part: f32) -> [u8; 3] {
    let channel = |index: usize| {
        let (a, b) = (f32::from(from[index]), f32::from(to[index]));
        (a + (b - a) * part).round() as u8
    };
    [channel(0), channel(1), channel(2)]
}

/// Shares laid over a picture are shown over this many powers of ten below the largest.
const DECADES: f32 = 2.0;
/// How much of a picture is covered where there is no share, and where the largest is.
const COVER: [f32; 2] = [0.42, 0.78];

/// From shares to amounts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// Logarithmic, over two powers of ten.
    Log {
        /// The share that is 1.
        most: f32,
    },
    /// Linear.
    Linear {
        /// The share that is 0.
        least: f32,
        /// The share that is 1.
        most: f32,
    },
}

impl Scale {
    /// The logarithmic scale that ends at the largest share.
    pub fn log(shares: &[f32]) -> Self {
        Self::Log { most: shares.iter().copied().fold(0.0, f32::max) }
    }

    /// The linear scale from the least share to one that only a hundredth of them is above: a few that stand out would leave
    /// the others dark.
    pub fn linear(shares: &[f32]) -> Self {
        let mut sorted = shares.to_vec();
        sorted.sort_unstable_by(f32::total_cmp);
        let last = sorted.len().saturating_sub(1);
        let at = |place: usize| sorted.get(place).copied().unwrap_or_default();
        Self::Linear { least: at(0), most: at(last - sorted.len() / 100) }
    }

    /// A share's place on it, from 0 to 1.
    pub fn amount(self, share: f32) -> f32 {
        let amount = match self {
            Self::Log { most } => 1.0 + (share / most.max(f32::MIN_POSITIVE)).log10() / DECADES,
            Self::Linear { least, most } => (share - least) / (most - least).max(f32::MIN_POSITIVE),
        };
        if amount.is_nan() { 0.0 } else { amount.clamp(0.0, 1.0) }
    }
}

/// What is laid over a picture for an amount from 0 to 1: the colour, and how much it covers.
pub fn overlay(amount: f32) -> ([u8; 3], f32) {
    (heat(amount), COVER[0] + (COVER[1] - COVER[0]) * amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Linear light of sRGB levels.
    fn linear(colour: [u8; 3]) -> [f64; 3] {
        colour.map(|level| {
            let level = f64::from(level) / 255.0;
            if level <= 0.04045 { level / 12.92 } else { ((level + 0.055) / 1.055).powf(2.4) }
        })
    }

    fn times(matrix: [[f64; 3]; 3], x: [f64; 3]) -> [f64; 3] {
        matrix.map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum())
    }

    /// CIE L*a*b* of linear light.
    fn lab(rgb: [f64; 3]) -> [f64; 3] {
        let xyz = times(
            [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]],
            rgb.map(|x| x.clamp(0.0, 1.0)),
        );
        let f = |x: f64| if x > 0.008_856 { x.cbrt() } else { 7.787 * x + 16.0 / 116.0 };
        let [x, y, z] = [f(xyz[0] / 0.9505), f(xyz[1]), f(xyz[2] / 1.089)];
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    /// Machado, Oliveira and Fernandes 2009, severity 1: protanopia, deuteranopia, tritanopia; and full colour.
    const SIGHTS: [[[f64; 3]; 3]; 4] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
        [[0.3673, 0.8607, -0.2280], [0.2803, 0.6726, 0.0472], [-0.0118, 0.0429, 0.9689]],
        [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
    ];

    #[test]
    fn levels_are_told_apart_by_everybody_and_in_grey() {
        for sight in SIGHTS {
            let seen = LEVELS.map(|colour| lab(times(sight, linear(colour))));
            for pair in seen[1..].windows(2) {
                assert!(pair[0][0] > pair[1][0] + 8.0, "lightness falls with the level: {pair:?}");
            }
            for (a, first) in seen.iter().enumerate() {
                for (b, second) in seen.iter().enumerate().skip(a + 1) {
                    let far: f64 =
                        first.iter().zip(second).map(|(x, y)| (x - y) * (x - y)).sum::<f64>();
                    assert!(far.sqrt() > 11.0, "levels {a} and {b}: {}", far.sqrt());
                }
            }
        }
    }

    #[test]
    fn a_change_is_finer_or_coarser_and_skipped_is_coarsest() {
        assert_eq!([change(0, 7), change(3, 2)], [FINER; 2]);
        assert_eq!([change(7, 0), change(1, 2)], [COARSER; 2]);
        assert_eq!(change(0, 0), LEVELS[0]);
        assert!((1..7).all(|level| change(level, level) > change(level + 1, level + 1)));
        let seen =
            [FINER, COARSER].map(|colour| SIGHTS.map(|sight| lab(times(sight, linear(colour)))));
        for (finer, coarser) in seen[0].iter().zip(seen[1]) {
            let hue = (finer[1] - coarser[1]).hypot(finer[2] - coarser[2]);
            assert!(hue > 40.0, "{finer:?} {coarser:?}");
        }
    }

    #[test]
    fn what_is_kept_has_the_colour_of_the_level_that_keeps_it() {
        for level in 1..8u8 {
            assert_eq!(kept(0.5f32.powi(i32::from(level) - 1)), LEVELS[usize::from(level)]);
        }
        assert_eq!([kept(0.0), kept(f32::NAN), kept(-1.0)], [LEVELS[0]; 3]);
        assert_eq!([kept(1e-9), kept(2.0)], [LEVELS[7], LEVELS[1]]);
        let between = lab(linear(kept(0.7)))[0];
        assert!(between < lab(linear(LEVELS[1]))[0] && between > lab(linear(LEVELS[2]))[0]);
    }

    #[test]
    fn overlays_cover_more_where_more_is() {
        let log = Scale::log(&[0.5, 0.05, 0.0]);
        assert_eq!([0.5, 0.05, 0.0].map(|share| log.amount(share)), [1.0, 0.5, 0.0]);
        let linear = Scale::linear(&[0.5, 0.25, 0.375]);
        assert_eq!([0.5, 0.25, 0.375].map(|share| linear.amount(share)), [1.0, 0.0, 0.5]);
        let mut many = vec![0.25; 300];
        (many[0], many[1], many[2]) = (9.0, 0.5, 0.0);
        assert_eq!(Scale::linear(&many), Scale::Linear { least: 0.0, most: 0.25 });
        assert_eq!(Scale::linear(&[]).amount(0.0), 0.0);
        assert_eq!(Scale::log(&[0.0]).amount(0.0), 0.0, "nothing of nothing");
        assert!(overlay(1.0).1 > overlay(0.5).1 && overlay(0.5).1 > overlay(0.0).1);
        assert_eq!(overlay(0.5).0, heat(0.5));
    }

    #[test]
    fn heat_grows_lighter_and_takes_any_number() {
        let lightness = |amount: f32| lab(linear(heat(amount)))[0];
        for i in 0..100 {
            assert!(lightness((i + 1) as f32 / 100.0) > lightness(i as f32 / 100.0), "at {i}");
        }
        assert_eq!([heat(-3.0), heat(f32::NAN)], [HEAT[0]; 2]);
        assert_eq!([heat(f32::INFINITY), heat(1.0)], [HEAT[7]; 2]);
        assert_eq!((level(1), level(200)), (LEVELS[1], LEVELS[7]));
    }
}

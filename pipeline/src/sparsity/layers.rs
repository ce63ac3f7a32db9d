//! A set of layers, as people write it: `0,3-5`, or `none`.

use std::fmt;
use std::str::FromStr;

/// Layers of a model, ascending, from 0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layers(Vec<usize>);

impl Layers {
    /// The highest layer that a text may name; models have tens.
    const MOST: usize = 9999;

    /// These layers.
    pub fn new(mut layers: Vec<usize>) -> Self {
        layers.sort_unstable();
        layers.dedup();
        Self(layers)
    }

    /// The layers.
    pub fn as_slice(&self) -> &[usize] {
        &self.0
    }

    /// Whether it holds a layer.
    pub fn contains(&self, layer: usize) -> bool {
        self.0.binary_search(&layer).is_ok()
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let runs = self.0.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
            [first, .., last] => format!("{first}-{last}"),
            alone => alone.iter().map(usize::to_string).collect(),
        });
        f.write_str(&runs.collect::<Vec<_>>().join(","))
    }
}

impl FromStr for Layers {
    type Err = String;

    /// Numbers and ranges with commas between them, or `none`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("layers from 0 such as 0,3-5, or none, not \"{text}\"");
        if text == "none" {
            return Ok(Self::default());
        }
        let number = |text: &str| {
            text.trim().parse::<usize>().ok().filter(|layer| *layer <= Self::MOST).ok_or_else(wrong)
        };
        let mut layers = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(wrong());
            }
            layers.extend(first..=last);
        }
        Ok(Self::new(layers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_read_and_written_as_people_write_them() {
        let layers: Layers = "5,0,3-4".parse().unwrap();
        assert_eq!(layers.as_slice(), [0, 3, 4, 5]);
        assert_eq!(layers.to_string(), "0,3-5");
        assert!(layers.contains(4) && !layers.contains(2));
        assert_eq!("none".parse(), Ok(Layers::default()));
        assert_eq!(Layers::default().to_string(), "none");
        for wrong in ["", "3-1", "a", "1,,2", "0-99999999999"] {
            assert!(wrong.parse::<Layers>().unwrap_err().contains("0,3-5"), "{wrong}");
        }
    }
}

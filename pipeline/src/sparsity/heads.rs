//! A set of heads, as people write it: `3:0,3:1,7` (layer:head, or a layer for all of its heads), or `none`.

use std::fmt;
use std::str::FromStr;

/// Heads of a model, ascending by layer and head; layers and heads count from 0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heads(Vec<(usize, Option<usize>)>);

impl Heads {
    /// The highest layer or head that a text may name; models have tens.
    const MOST: usize = 9999;

    /// These heads, as [layer, head].
    pub fn new(heads: impl IntoIterator<Item = [usize; 2]>) -> Self {
        Self::sorted(heads.into_iter().map(|[layer, head]| (layer, Some(head))).collect())
    }

    fn sorted(mut heads: Vec<(usize, Option<usize>)>) -> Self {
        heads.sort_unstable();
        heads.dedup();
        Self(heads)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of a layer with `heads` heads, ascending.
    pub fn of(&self, layer: usize, heads: usize) -> Vec<usize> {
        let mine = || self.0.iter().filter(|(at, _)| *at == layer).map(|(_, head)| *head);
        if mine().any(|head| head.is_none()) {
            return (0..heads).collect();
        }
        mine().flatten().filter(|head| *head < heads).collect()
    }

    /// [layer, head] of each, ascending; `None` when one is not in a model of so many layers and heads.
    pub fn resolve(&self, layers: usize, heads: usize) -> Option<Vec<[usize; 2]>> {
        let is_there = |(layer, head): &(usize, Option<usize>)| {
            *layer < layers && head.is_none_or(|head| head < heads)
        };
        let of_layer =
            |layer: usize| self.of(layer, heads).into_iter().map(move |head| [layer, head]);
        self.0.iter().all(is_there).then(|| (0..layers).flat_map(of_layer).collect())
    }
}

impl fmt::Display for Heads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let word = |(layer, head): &(usize, Option<usize>)| match head {
            Some(head) => format!("{layer}:{head}"),
            None => layer.to_string(),
        };
        f.write_str(&self.0.iter().map(word).collect::<Vec<_>>().join(","))
    }
}

impl FromStr for Heads {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("heads as layer:head, or layers, such as 3:0,3:1,7, or none, not \"{text}\"")
        };
        if text.trim() == "none" {
            return Ok(Self::default());
        }
        let number = |text: &str| {
            text.trim().parse::<usize>().ok().filter(|at| *at <= Self::MOST).ok_or_else(wrong)
        };
        let head = |one: &str| match one.split_once(':') {
            Some((layer, head)) => Ok((number(layer)?, Some(number(head)?))),
            None => Ok((number(one)?, None)),
        };
        Ok(Self::sorted(text.split(',').map(head).collect::<Result<_, String>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_and_written_as_people_write_them() {
        let heads: Heads = "7, 3:1,3:0,3:1".parse().unwrap();
        assert_eq!(heads.to_string(), "3:0,3:1,7");
        assert_eq!((heads.of(3, 4), heads.of(7, 3)), (vec![0, 1], vec![0, 1, 2]));
        assert!(heads.of(0, 4).is_empty());
        assert_eq!("none".parse(), Ok(Heads::default()));
        assert_eq!(Heads::new([[2, 1], [0, 5]]).to_string(), "0:5,2:1");
        for wrong in ["", "3:", ":1", "a", "1,,2", "3-4", "1:99999"] {
            assert!(wrong.parse::<Heads>().unwrap_err().contains("3:0,3:1,7"), "{wrong}");
        }
    }

    #[test]
    fn only_heads_that_are_there_resolve() {
        let of = |text: &str| text.parse::<Heads>().unwrap().resolve(4, 2);
        assert_eq!(of("3,0:1"), Some(vec![[0, 1], [3, 0], [3, 1]]));
        assert_eq!(of("none"), Some(Vec::new()));
        assert_eq!((of("4"), of("0:2")), (None, None));
    }
}

//! What shall be kept of a run: the request's words for it, and what they mean for a model and a clip.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tessera_kernels::blocks::Blocks;
use tessera_models::attention::Sequence;

use crate::machine::parse_bytes;
use crate::request::Request;
use crate::settings::{self, Preset, Problem, Section};
use crate::sparsity::heads;

/// Heads that are pinned when nobody chooses any.
const AUTO_HEADS: usize = 8;

/// What is kept, every name resolved.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Pinned heads as [layer, head], ascending: their maps are kept in full.
    pub heads: Vec<[usize; 2]>,
    /// Whether pinned heads' attention is kept too, averaged over blocks.
    pub attention: bool,
    /// Whether what pinned heads' levels were chosen by is kept too.
    pub scores: bool,
    /// Query tokens as [frame, row, column] whose attention in pinned heads is kept token by token.
    pub rows: Vec<[usize; 3]>,
    /// How the clip before each step is kept.
    pub latents: LatentFormat,
    /// Bytes that the recording may take.
    pub limit: u64,
}

/// Number format of recorded latents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LatentFormat {
    /// They are not kept.
    None,
    /// Eleven bits: enough to look at and to compare methods on.
    #[default]
    F16,
    /// As they were: a replayed step computes what the run computed.
    F32,
}

impl LatentFormat {
    /// The name in settings and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::F16 => "f16",
            Self::F32 => "f32",
        }
    }
}

/// The setting `capture_heads`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Heads {
    Auto,
    All,
    Listed(heads::Heads),
}

impl FromStr for Heads {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.trim() {
            "auto" => Self::Auto,
            "all" => Self::All,
            list => Self::Listed(list.parse()?),
        })
    }
}

impl Heads {
    /// [layer, head] of each; `None` when one is not there.
    fn resolve(&self, layers: usize, heads: usize) -> Option<Vec<[usize; 2]>> {
        let all = |layer: usize| (0..heads).map(move |head| [layer, head]);
        let mut pinned: Vec<[usize; 2]> = match self {
            Self::All => (0..layers).flat_map(all).collect(),
            Self::Auto => {
                let count = AUTO_HEADS.min(layers);
                (0..count).map(|i| [i * layers / count, i * heads / count % heads]).collect()
            }
            Self::Listed(list) => return list.resolve(layers, heads),
        };
        pinned.sort_unstable();
        Some(pinned)
    }
}

/// The setting `capture_rows`: `0,4,7;2,4,7`, or `none`.
fn tokens(text: &str) -> Option<Vec<[usize; 3]>> {
    if text.trim() == "none" {
        return Some(Vec::new());
    }
    let token = |one: &str| {
        let sides: Option<Vec<usize>> =
            one.split(',').map(|side| side.trim().parse().ok()).collect();
        <[usize; 3]>::try_from(sides?).ok()
    };
    text.split(';').map(token).collect()
}

/// Whether a text can be a value of `capture_heads`.
pub(crate) fn are_heads(text: &str) -> bool {
    text.parse::<Heads>().is_ok()
}

/// Whether a text can be a value of `capture_rows`.
pub(crate) fn are_tokens(text: &str) -> bool {
    tokens(text).is_some()
}

impl Options {
    /// What a request keeps of a clip with these tokens; `None` when it records nothing. Refuses heads and tokens that the
    /// model or the clip does not have.
    pub fn of(request: &Request, sequence: &Sequence) -> crate::Result<Option<Self>> {
        if request.record.is_none() {
            return Ok(None);
        }
        let mut problems = Vec::new();
        let heads = word("capture_heads", request.capture_heads.as_deref());
        let (layers, per_layer) = (sequence.layers, sequence.heads);
        let pinned = heads.parse::<Heads>().ok().and_then(|heads| heads.resolve(layers, per_layer));
        if pinned.is_none() {
            let expected = format!("layers 0 to {} with heads 0 to {}", layers - 1, per_layer - 1);
            problems.push(Problem::new("capture_heads", expected, heads));
        }
        let rows = word("capture_rows", request.capture_rows.as_deref());
        let grid = sequence.grid;
        let sides = [grid.frames, grid.rows, grid.cols];
        let is_there =
            |token: &[usize; 3]| token.iter().zip(sides).all(|(place, side)| *place < side);
        let tokens = tokens(rows).filter(|tokens| tokens.iter().all(is_there));
        if tokens.is_none() {
            let expected = format!(
                "frame,row,column below {},{},{} (tokens of this clip)",
                grid.frames, grid.rows, grid.cols
            );
            problems.push(Problem::new("capture_rows", expected, rows));
        }
        let limit = word("record_limit", request.record_limit.as_deref());
        let Some(limit) = parse_bytes(limit) else {
            let problem = Problem::new("record_limit", "a size such as 1G", limit);
            return Err(crate::Error::Settings(vec![problem]));
        };
        let latents = match word("record_latents", request.record_latents.as_deref()) {
            "none" => LatentFormat::None,
            "f32" => LatentFormat::F32,
            _ => LatentFormat::F16,
        };
        match (pinned, tokens) {
            (Some(heads), Some(rows)) => Ok(Some(Self {
                heads,
                attention: request.capture_attention.unwrap_or(false),
                scores: request.capture_scores.unwrap_or(false),
                rows,
                latents,
                limit,
            })),
            _ => Err(crate::Error::Settings(problems)),
        }
    }

    /// Bytes that the recording will take at most: every call sparse and fresh, squeezed by half. `forwards` are those of
    /// the run, the latents' shape is `[1, C, T, h, w]`.
    pub fn predicted_bytes(&self, sequence: &Sequence, forwards: u64, latents: [usize; 5]) -> u64 {
        let blocks = Blocks::of(sequence.tokens());
        let map = (blocks.rows() * blocks.columns()) as u64;
        let halves = u64::from(self.attention) + u64::from(self.scores);
        let row = (self.rows.len() * sequence.tokens()) as u64;
        let pinned = self.heads.len() as u64 * (map / 4 + 2 * map * halves + 2 * row);
        let of_all = (sequence.layers * (100 + sequence.heads * 300)) as u64;
        let wide = match self.latents {
            LatentFormat::None => 0,
            LatentFormat::F16 => 2,
            LatentFormat::F32 => 4,
        };
        let clip = latents.iter().product::<usize>() as u64 * wide;
        (forwards * (pinned + of_all + clip)).min(self.limit)
    }

    /// The pinned heads of a layer.
    pub fn pinned(&self, layer: usize) -> impl Iterator<Item = usize> {
        self.heads.iter().filter(move |[of, _]| *of == layer).map(|[_, head]| *head)
    }
}

/// What to say of captures that are asked for without a recording to put them into.
pub(crate) fn idle(request: &Request) -> Option<String> {
    let Ok(Value::Object(given)) = serde_json::to_value(request) else { return None };
    let rows = settings::SETTINGS.iter().filter(|row| row.section == Section::Recording);
    let keys: Vec<_> = rows.map(|row| row.key).filter(|key| given.contains_key(*key)).collect();
    (request.record.is_none() && !keys.is_empty()).then(|| {
        format!(
            "Nothing is recorded (record names no file), so these settings have no effect: {}.",
            keys.join(", ")
        )
    })
}

/// What was asked for, or the table's preset.
fn word<'a>(key: &str, given: Option<&'a str>) -> &'a str {
    match (given, settings::setting(key).map(|row| row.default)) {
        (Some(given), _) => given,
        (None, Some(Preset::Text(preset))) => preset,
        (None, _) => "",
    }
}

#[cfg(test)]
mod tests {
    use tessera_models::geometry::Grid;

    use super::*;

    const SEQUENCE: Sequence = Sequence {
        grid: Grid { frames: 2, rows: 3, cols: 4 },
        text_tokens: 0,
        heads: 4,
        layers: 10,
    };

    fn options(change: impl FnOnce(&mut Request)) -> crate::Result<Options> {
        let mut request = Request { record: Some("a.tessera".into()), ..Request::default() };
        change(&mut request);
        Options::of(&request, &SEQUENCE).map(Option::unwrap)
    }

    #[test]
    fn without_a_file_nothing_is_kept() {
        assert_eq!(Options::of(&Request::default(), &SEQUENCE).unwrap(), None);
    }

    #[test]
    fn heads_are_named_one_by_one_by_layer_or_all_together() {
        let heads = |text: &str| {
            options(|request| request.capture_heads = Some(text.into())).map(|o| o.heads)
        };
        assert_eq!(heads("3:1, 3:0,3:1").unwrap(), [[3, 0], [3, 1]]);
        assert_eq!(heads("9").unwrap(), [[9, 0], [9, 1], [9, 2], [9, 3]]);
        assert_eq!(heads("all").unwrap().len(), 40);
        assert_eq!(heads("none").unwrap().len(), 0);
        let auto = options(|_| ()).unwrap();
        assert_eq!(auto.heads.len(), AUTO_HEADS);
        assert_eq!(auto.pinned(auto.heads[3][0]).collect::<Vec<_>>(), [auto.heads[3][1]]);
        let error = heads("3:4").unwrap_err().to_string();
        assert_eq!(error, "capture_heads: expected layers 0 to 9 with heads 0 to 3, got 3:4");
        assert!(!are_heads("3:") && !are_heads("x") && are_heads("1,2:3"));
    }

    #[test]
    fn query_tokens_lie_in_the_clip() {
        let rows = |text: &str| {
            options(|request| request.capture_rows = Some(text.into())).map(|o| o.rows)
        };
        assert_eq!(rows("0,2,3;1,0,0").unwrap(), [[0, 2, 3], [1, 0, 0]]);
        assert!(rows("2,0,0").unwrap_err().to_string().contains("below 2,3,4"));
        assert!(!are_tokens("0,1") && !are_tokens("0,1,2,3") && are_tokens("none"));
    }
}

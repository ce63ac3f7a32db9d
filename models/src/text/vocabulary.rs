//! The largest id of a tokenizer.json, without making a tokenizer of it: a published one has a quarter of a million pieces,
//! of which neither trie nor map is built here.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What of the file says ids.
#[derive(Deserialize)]
struct File {
    model: Model,
    #[serde(default)]
    added_tokens: Vec<Added>,
}

#[derive(Deserialize)]
struct Model {
    vocab: Largest,
}

#[derive(Deserialize)]
struct Added {
    id: usize,
}

/// The largest id of a vocabulary: a list of pieces (Unigram), or a map from each to its id. `None` of none.
struct Largest(Option<usize>);

impl<'de> Deserialize<'de> for Largest {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Pieces)
    }
}

struct Pieces;

impl<'de> Visitor<'de> for Pieces {
    type Value = Largest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or a map of pieces")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pieces: A) -> Result<Largest, A::Error> {
        let mut count = 0_usize;
        while pieces.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Largest(count.checked_sub(1)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pieces: A) -> Result<Largest, A::Error> {
        let mut largest = None;
        while let Some((_, id)) = pieces.next_entry::<IgnoredAny, u64>()? {
            let id = usize::try_from(id).map_err(A::Error::custom)?;
            largest = largest.max(Some(id));
        }
        Ok(Largest(largest))
    }
}

/// The largest id in the text of a tokenizer.json, 0 of an empty one; the error says what is wrong with the text.
pub(crate) fn largest_id(text: &str) -> Result<usize, String> {
    let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let added = file.added_tokens.iter().map(|token| token.id).max();
    Ok(file.model.vocab.0.max(added).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::tests::toybox;
    use crate::text::TOKENIZER_FILE;

    #[test]
    fn the_largest_id_is_the_tokenizers_own() {
        let text = std::fs::read_to_string(toybox().join(TOKENIZER_FILE)).unwrap();
        let tokenizer = tokenizers::Tokenizer::from_bytes(text.as_bytes()).unwrap();
        let largest = tokenizer.get_vocab(true).into_values().max().unwrap();
        assert_eq!(largest_id(&text), Ok(largest as usize));
    }

    #[test]
    fn lists_maps_and_added_tokens_count() {
        for (text, largest) in [
            (r#"{"model": {"vocab": [["a", 0.5], ["b", -1]]}}"#, 1),
            (r#"{"model": {"type": "BPE", "vocab": {"a": 7, "b": 3}}, "added_tokens": []}"#, 7),
            (r#"{"model": {"vocab": []}, "added_tokens": [{"id": 9, "content": "x"}]}"#, 9),
        ] {
            assert_eq!(largest_id(text), Ok(largest), "{text}");
        }
        for wrong in ["", r#"{"model": {}}"#, r#"{"model": {"vocab": {"a": -1}}}"#] {
            assert!(largest_id(wrong).is_err(), "{wrong}");
        }
    }
}

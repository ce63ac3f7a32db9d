//! The settings inside a video file: the JSON text of the request, under the field that each kind of file has for a comment.
//!
//! | file | field | who shows it |
//! |---|---|---|
//! | mp4, mov | key `comment` in `moov.udta.meta` (`use_metadata_tags`) | ffprobe, exiftool, VLC |
//! | mkv, webm | tag `COMMENT` | ffprobe, mkvinfo |
//! | gif | comment extension | exiftool, ffprobe |
//! | webp | XMP, property `tessera:settings` | exiftool |
//! | png | iTXt `tessera` in the first picture | exiftool, identify |
//!
//! Anyone may send a file, so what is read is data to be checked: [`parse`] is a pure function over text, bounded in size
//! (and in depth by serde_json's own limit), and returns only an object.

use serde_json::{Map, Value};

/// The longest text taken for settings; a request is a few KiB, its prompt included.
pub const MOST_BYTES: usize = 1 << 20;

/// Why a text is not our settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// Longer than any request.
    #[error("the settings are {got} bytes long; at most {MOST_BYTES} are read")]
    TooLong {
        /// Bytes.
        got: usize,
    },
    /// Not JSON: most likely another program's comment.
    #[error("the comment is not JSON ({source}); the file was probably not made by Tessera")]
    NotJson {
        /// Where and why.
        source: serde_json::Error,
    },
    /// JSON, but not an object.
    #[error("the settings are {got}; expected an object")]
    NotAnObject {
        /// What it is.
        got: &'static str,
    },
}

/// Reads the text found in a file as a JSON object. Keys keep their order; unknown ones are the caller's business.
pub fn parse(text: &str) -> Result<Map<String, Value>, MetadataError> {
    if text.len() > MOST_BYTES {
        return Err(MetadataError::TooLong { got: text.len() });
    }
    let got =
        match serde_json::from_str(text).map_err(|source| MetadataError::NotJson { source })? {
            Value::Object(map) => return Ok(map),
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
        };
    Err(MetadataError::NotAnObject { got })
}

/// Where two texts part, for the error message; `None` when they are equal.
pub(crate) fn difference(written: &str, read: Option<&str>) -> Option<String> {
    let Some(read) = read else { return Some("no settings in the file".into()) };
    if written == read {
        return None;
    }
    let at = written.bytes().zip(read.bytes()).take_while(|(a, b)| a == b).count();
    Some(format!("{} bytes written, {} read, different from byte {at}", written.len(), read.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_pass_and_everything_else_is_told() {
        assert_eq!(parse("{\"prompt\": \"a \\\"b\\\"\", \"seed\": 7}").unwrap()["seed"], 7);
        assert!(matches!(parse("Made with Lavf"), Err(MetadataError::NotJson { .. })));
        assert!(matches!(parse(""), Err(MetadataError::NotJson { .. })));
        assert!(matches!(parse("[1]"), Err(MetadataError::NotAnObject { got: "a list" })));
        assert!(matches!(parse(&" ".repeat(MOST_BYTES + 1)), Err(MetadataError::TooLong { .. })));
        assert!(parse(&"[".repeat(100_000)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse(&text);
        }
    }
}

//! Headers of every kind of wrong, and numbers read back through every conversion.

use std::collections::BTreeMap;
use std::io::Write;

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use proptest::prelude::*;
use safetensors::{Dtype, SafeTensors};

use super::header::{Header, HeaderError, length, parse};
use super::{Expected, Weights, compare, convert};
use crate::folder::ModelFolder;
use crate::folder::tests::toybox;

/// A whole safetensors file with this JSON and so many bytes of data.
fn file(json: &str, data: usize) -> Vec<u8> {
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json.as_bytes());
    bytes.resize(bytes.len() + data, 7);
    bytes
}

fn parsed(json: &str, data: usize) -> Result<Header, HeaderError> {
    let bytes = file(json, data);
    parse(&bytes, bytes.len() as u64)
}

fn refusal(json: &str, data: usize) -> String {
    parsed(json, data).unwrap_err().to_string()
}

#[test]
fn a_header_says_where_each_tensor_is() {
    let json = r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[3],"data_offsets":[8,14]},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}"#;
    let header = parsed(json, 14).unwrap();
    let (a, b) = (&header.tensors["a"], &header.tensors["b"]);
    assert_eq!((a.start, a.bytes, a.dtype), (8 + json.len() as u64, 8, Dtype::F32));
    assert_eq!((b.start, b.bytes, b.elements()), (a.start + 8, 6, 3));
    assert!(parsed("{}", 0).unwrap().tensors.is_empty());
}

#[test]
fn damaged_headers_are_refused_with_the_tensor_named() {
    let one = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let truncated = refusal(&one("F32", "[4]", "[0,16]"), 12);
    assert!(truncated.contains("as its header says"), "{truncated}");
    assert!(refusal(&one("F32", "[4]", "[0,16]"), 20).contains("as its header says"));
    assert_eq!(
        refusal(&one("F32", "[4]", "[0,12]"), 12),
        "w: expected 16 bytes for F32 [4], got 12 bytes"
    );
    assert_eq!(
        refusal(&one("F32", "[4]", "[4,20]"), 20),
        "w: expected data from byte 0 on, got bytes 4 to 20"
    );
    assert!(refusal(&one("F32", "[4]", "[16,0]"), 16).starts_with("w: "));
    assert!(
        refusal(&one("F32", "[9223372036854775807,9]", "[0,16]"), 16).contains("fits in memory")
    );
    assert!(refusal(&one("F4", "[3]", "[0,1]"), 1).contains("fits in memory"));
    assert!(refusal(&one("X9", "[4]", "[0,16]"), 16).contains("X9"));
    assert!(refusal(&one("F32", "[-4]", "[0,16]"), 16).contains("a safetensors header"));
    assert!(refusal("[]", 0).contains("an object of tensors"));
    assert!(refusal("{", 0).contains("a safetensors header"));
    let overlap = r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}"#;
    assert_eq!(refusal(overlap, 6), "b: expected data from byte 4 on, got bytes 2 to 6");
    let twice = r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}"#;
    assert_eq!(refusal(twice, 8), "a: expected every tensor named once, got the name twice");
    let mut bytes = file("{\"\u{e9}\":1}", 0);
    bytes[10] = 0xff;
    assert!(parse(&bytes, bytes.len() as u64).unwrap_err().to_string().contains("UTF-8"));
}

#[test]
fn a_header_longer_than_its_file_allocates_nothing() {
    for claimed in [u64::MAX, 1 << 62, 200_000_000, 9] {
        let error = length(&claimed.to_le_bytes(), 16).unwrap_err();
        assert!(error.to_string().contains("at most 8 bytes"), "{error}");
    }
    let error = length(&200_000_000u64.to_le_bytes(), u64::MAX).unwrap_err().to_string();
    assert!(error.contains("at most 100000000 bytes"), "{error}");
    assert!(length(&[1, 2, 3], 3).is_err());
    assert!(parse(&5u64.to_le_bytes(), 13).is_err(), "the header itself is not there");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), extra in 0u64..64) {
        drop(parse(&bytes, bytes.len() as u64 + extra));
    }

    /// Random mutations of a good file: what we take, the safetensors crate takes too, and the other way round
    /// (but for a name that comes twice, which it drops in silence).
    #[test]
    fn it_agrees_with_the_safetensors_crate(
        shapes in prop::collection::vec(prop::collection::vec(0usize..4, 0..3), 1..4),
        place in any::<prop::sample::Index>(), byte in any::<u8>(), mutate in any::<bool>(),
    ) {
        let mut at = 0;
        let entries: Vec<_> = shapes.iter().enumerate().map(|(i, shape)| {
            let end = at + 2 * shape.iter().product::<usize>();
            let entry = format!(r#""t{i}":{{"dtype":"BF16","shape":{shape:?},"data_offsets":[{at},{end}]}}"#);
            at = end;
            entry
        }).collect();
        let mut bytes = file(&format!("{{{}}}", entries.join(",")), at);
        if mutate {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let theirs = SafeTensors::deserialize(&bytes);
        match parse(&bytes, bytes.len() as u64) {
            Ok(ours) => {
                let theirs = theirs.map_err(|error| TestCaseError::fail(error.to_string()))?;
                prop_assert_eq!(ours.tensors.len(), theirs.len());
                for (name, entry) in &ours.tensors {
                    let view = theirs.tensor(name).unwrap();
                    prop_assert_eq!(view.shape(), entry.shape.as_slice());
                    let start = entry.start as usize;
                    prop_assert_eq!(view.data(), &bytes[start..start + entry.bytes as usize]);
                }
            }
            Err(error) => prop_assert!(theirs.is_err() || error.got == "the name twice", "{}", error),
        }
    }
}

fn read<T: convert::Element>(file: &std::fs::File, start: u64, dtype: Dtype) -> Vec<T> {
    let mut out = Vec::new();
    convert::read(file, start, 6, dtype, &mut out).unwrap();
    out
}

#[test]
fn every_type_becomes_every_type() {
    let values = [0.0f32, -1.5, 3.140_625, 65504.0, 1.0e-3, f32::INFINITY];
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[9; 3]).unwrap();
    for value in values {
        file.write_all(&value.to_le_bytes()).unwrap();
    }
    for value in values {
        file.write_all(&bf16::from_f32(value).to_le_bytes()).unwrap();
    }
    for value in values {
        file.write_all(&f16::from_f32(value).to_le_bytes()).unwrap();
    }
    let rounded = values.map(|value| bf16::from_f32(value).to_f32());
    let halved = values.map(|value| f16::from_f32(value).to_f32());
    assert_eq!(read::<f32>(&file, 3, Dtype::F32), values);
    assert_eq!(read::<f32>(&file, 27, Dtype::BF16), rounded);
    assert_eq!(read::<f32>(&file, 39, Dtype::F16), halved);
    assert_eq!(read::<bf16>(&file, 3, Dtype::F32), values.map(bf16::from_f32));
    assert_eq!(read::<bf16>(&file, 27, Dtype::BF16), values.map(bf16::from_f32));
    assert_eq!(read::<bf16>(&file, 39, Dtype::F16), halved.map(bf16::from_f32));
    assert_eq!(read::<f16>(&file, 3, Dtype::F32), values.map(f16::from_f32));
    assert_eq!(read::<f16>(&file, 27, Dtype::BF16), rounded.map(f16::from_f32));
    assert_eq!(read::<f16>(&file, 39, Dtype::F16), values.map(f16::from_f32));
    let mut out: Vec<f32> = Vec::new();
    assert!(convert::read(&file, 3, 1, Dtype::I64, &mut out).is_err());
    assert!(convert::read(&file, 27, 600, Dtype::BF16, &mut out).is_err(), "past the end");
}

#[test]
fn tensors_and_rows_are_what_candle_reads() {
    let folder = ModelFolder::open(&toybox()).unwrap();
    let weights = Weights::open(&folder, "text_encoder").unwrap();
    let file = toybox().join("text_encoder/model.safetensors");
    let theirs = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
    assert_eq!(weights.names().count(), theirs.len());
    for name in ["shared.weight", "encoder.final_layer_norm.weight"] {
        let ours = weights.tensor(name, DType::F32, &Device::Cpu).unwrap();
        let expected = theirs[name].to_dtype(DType::F32).unwrap();
        assert_eq!(weights.shape(name).unwrap(), expected.dims());
        assert_eq!(flat(&ours), flat(&expected));
        let half = weights.tensor(name, DType::BF16, &Device::Cpu).unwrap();
        assert_eq!(half.dtype(), DType::BF16);
        assert_eq!(flat(&half.to_dtype(DType::F32).unwrap()), flat(&expected));
    }
    let rows = weights.rows("shared.weight", &[5, 228, 5], DType::F32, &Device::Cpu).unwrap();
    let ids = Tensor::new(&[5u32, 228, 5], &Device::Cpu).unwrap();
    let table = theirs["shared.weight"].to_dtype(DType::F32).unwrap();
    assert_eq!(rows.dims(), [3, 192]);
    assert_eq!(flat(&rows), flat(&table.index_select(&ids, 0).unwrap()));

    let beyond = folder.text_config().vocab_size as u32;
    let refused = [
        weights.rows("shared.weight", &[beyond], DType::F32, &Device::Cpu),
        weights.tensor("shared", DType::F32, &Device::Cpu),
        weights.tensor("shared.weight", DType::U8, &Device::Cpu),
    ];
    for outcome in refused {
        assert!(matches!(outcome, Err(crate::Error::Argument { .. })));
    }
    assert!(Weights::open(&folder, "tokenizer").is_err());
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn a_comparison_names_missing_surplus_shape_and_type() {
    let json = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"I64","shape":[1],"data_offsets":[8,16]},"c":{"dtype":"F16","shape":[1],"data_offsets":[16,18]}, "added_k":{"dtype":"F16","shape":[1],"data_offsets":[18,20]}}"#;
    let header = parsed(json, 20).unwrap();
    let tensors: BTreeMap<_, _> = header
        .tensors
        .into_iter()
        .map(|(name, entry)| (name, ("vae/x".to_owned(), entry)))
        .collect();
    let expected = [Expected::new("a", [3]), Expected::new("b", [1]), Expected::new("d", [4, 1])];
    let told: Vec<_> =
        compare(&tensors, "vae", &expected, &["added_"]).iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "vae/x: a: expected shape [3], got [2]",
            "vae/x: b: expected F32, F16 or BF16, got I64 (quantised checkpoints are not supported)",
            "vae: d: expected a tensor [4, 1], got nothing",
            "vae/x: c: expected no tensor of this name, got a tensor [1] \
             (the checkpoint is of another model than its config says)",
        ]
    );
}

//! Folders of every kind of wrong: a copy of the bundled checkpoint with one thing changed.

#![expect(clippy::disallowed_methods, reason = "half a file is what these tests want")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

/// The bundled checkpoint.
pub(crate) fn toybox() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/toybox/checkpoint")
}

/// A copy of the bundled checkpoint to damage.
fn copy() -> TempDir {
    let target = tempfile::tempdir().unwrap();
    for folder in ["", "scheduler", "text_encoder", "tokenizer", "transformer", "vae"] {
        fs::create_dir_all(target.path().join(folder)).unwrap();
        for entry in fs::read_dir(toybox().join(folder)).unwrap() {
            let from = entry.unwrap().path();
            if from.is_file() {
                let to = target.path().join(folder).join(from.file_name().unwrap());
                fs::copy(&from, &to).unwrap();
            }
        }
    }
    target
}

fn edit(folder: &TempDir, file: &str, change: impl FnOnce(&mut Value)) {
    let path = folder.path().join(file);
    let mut value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

fn refusals(folder: &TempDir) -> Vec<String> {
    match ModelFolder::open(folder.path()) {
        Err(Error::Folder(problems)) => {
            assert_eq!(inspect(folder.path()).problems, problems.list);
            problems.list.iter().map(ToString::to_string).collect()
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the folder was taken"),
    }
}

/// The JSON and the data of a safetensors file.
fn take_apart(path: &Path) -> (Value, Vec<u8>) {
    let bytes = fs::read(path).unwrap();
    let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    (serde_json::from_slice(&bytes[8..8 + length]).unwrap(), bytes[8 + length..].to_vec())
}

fn put_together(path: &Path, header: &Value, data: &[u8]) {
    let json = header.to_string();
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json.as_bytes());
    bytes.extend(data);
    fs::write(path, bytes).unwrap();
}

fn edit_header(folder: &TempDir, file: &str, change: impl FnOnce(&mut Value)) {
    let path = folder.path().join(file);
    let (mut header, data) = take_apart(&path);
    change(&mut header);
    put_together(&path, &header, &data);
}

const TEXT: &str = "text_encoder/model.safetensors";
const VAE: &str = "vae/diffusion_pytorch_model.safetensors";

#[test]
fn the_bundled_checkpoint_is_taken() {
    let folder = ModelFolder::open(&toybox()).unwrap();
    assert_eq!(folder.name(), "checkpoint");
    let components: Vec<_> = folder.components().collect();
    assert_eq!(components, ["scheduler", "text_encoder", "tokenizer", "transformer", "vae"]);
    assert_eq!(folder.transformer_config().width(), 320);
    assert_eq!(folder.text_config().d_model, 192);
    assert_eq!(folder.scheduler_config().flow_shift, 3.0);
    assert_eq!(folder.vae_config().z_dim, 16);
    let inspection = folder.inspect();
    let text = inspection.parts.iter().find(|part| part.component == "text_encoder").unwrap();
    assert_eq!(text.tensors, 32);
    assert_eq!(text.bytes, fs::metadata(toybox().join(TEXT)).unwrap().len());
    assert_eq!(text.dtypes.iter().collect::<Vec<_>>(), [(&"BF16".to_owned(), &text.parameters)]);
    assert_eq!(text.config["vocab_size"], folder.text_config().vocab_size);
    assert!(inspection.problems.is_empty());
    assert_eq!(inspection, inspect(&toybox()));
    let written = serde_json::to_string(&inspection).unwrap();
    assert_eq!(serde_json::from_str::<Inspection>(&written).unwrap(), inspection);
}

#[test]
fn the_fingerprint_is_of_the_content_and_not_of_the_place() {
    let original = ModelFolder::open(&toybox()).unwrap().fingerprint().to_owned();
    assert!(original.len() == 64 && original.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let folder = copy();
    let now = || ModelFolder::open(folder.path()).unwrap().fingerprint().to_owned();
    assert_eq!(now(), original);
    // The last byte of a file is in its last page.
    let path = folder.path().join(VAE);
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
    let changed = now();
    assert_ne!(changed, original);
    edit(&folder, "scheduler/scheduler_config.json", |config| config["flow_shift"] = json!(5.0));
    assert_ne!(now(), changed);
}

#[test]
fn a_folder_that_is_none_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let gone = ModelFolder::open(&folder.path().join("gone")).unwrap_err().to_string();
    assert!(gone.contains("  expected a checkpoint folder, got nothing, for it is not"), "{gone}");
    let told = refusals(&folder);
    assert!(told.len() == 1 && told[0].starts_with("model_index.json: "), "{told:?}");
    fs::write(folder.path().join("model_index.json"), "{\"a\": 1}").unwrap();
    assert!(refusals(&folder)[0].contains("not a diffusers checkpoint folder"));
    fs::write(folder.path().join("model_index.json"), "nonsense").unwrap();
    assert!(refusals(&folder)[0].starts_with("model_index.json: expected a JSON object, got text"));
}

#[test]
fn models_that_are_not_supported_yet_are_refused_politely() {
    let index = fs::read_to_string(toybox().join("model_index.json")).unwrap();
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(&index).unwrap();
        change(&mut value);
        let problems = ModelIndex::parse(&value.to_string()).unwrap_err();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let told = refused(&|index| {
        index["transformer_2"] = json!(["diffusers", "WanTransformer3DModel"]);
        index["boundary_ratio"] = json!(0.875);
    });
    assert!(told.contains("two experts (Wan 2.2 A14B) are not supported yet"), "{told}");
    assert!(
        refused(&|index| index["expand_timesteps"] = json!(true))
            .contains("TI2V-5B is not supported yet")
    );
    let told = refused(&|index| index["_class_name"] = json!("WanImageToVideoPipeline"));
    assert!(told.contains("image-to-video is not supported yet"), "{told}");
    let told =
        refused(&|index| index["image_encoder"] = json!(["transformers", "CLIPVisionModel"]));
    assert!(told.contains("image-to-video is not supported yet"), "{told}");
    let told = refused(&|index| index["_class_name"] = json!("FluxPipeline"));
    assert_eq!(
        told,
        "model_index.json: _class_name: expected WanPipeline, got \"FluxPipeline\" \
         (only Wan text-to-video checkpoints are supported)"
    );
    let told = refused(&|index| index["vae"] = json!(["diffusers", "AutoencoderKL"]));
    assert_eq!(
        told,
        "model_index.json: vae: expected [\"diffusers\", \"AutoencoderKLWan\"], got [\"diffusers\",\"AutoencoderKL\"]"
    );
    // A Wan 2.1 folder re-saved by a newer diffusers.
    let mut value: Value = serde_json::from_str(&index).unwrap();
    value["transformer_2"] = json!([null, null]);
    value["boundary_ratio"] = json!(null);
    value["expand_timesteps"] = json!(false);
    value["safety_checker"] = json!([null, null]);
    value["upsampler"] = json!(["diffusers", "Something"]);
    assert_eq!(
        ModelIndex::parse(&value.to_string()).unwrap().class_of("vae"),
        Some("AutoencoderKLWan")
    );
}

#[test]
fn problems_of_several_files_are_told_together() {
    let folder = copy();
    edit(&folder, "transformer/config.json", |config| config["num_layers"] = json!(0));
    edit(&folder, "vae/config.json", |config| config["is_residual"] = json!(true));
    fs::remove_file(folder.path().join("tokenizer/tokenizer.json")).unwrap();
    fs::remove_file(folder.path().join(TEXT)).unwrap();
    fs::write(folder.path().join("text_encoder/pytorch_model.bin"), "").unwrap();
    let told = refusals(&folder);
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told[0].starts_with("transformer/config.json: num_layers: "));
    assert!(told[1].starts_with("vae/config.json: is_residual: "));
    assert!(
        told[2].starts_with("tokenizer/tokenizer.json: ") && told[2].contains("T5TokenizerFast")
    );
    assert!(told[3].starts_with(TEXT) && told[3].contains("safetensors checkpoint"));
    let shown = ModelFolder::open(folder.path()).unwrap_err().to_string();
    assert!(shown.starts_with("4 problems with the checkpoint "), "{shown}");
}

#[test]
fn a_tokenizer_that_does_not_fit_is_told_by_inspection() {
    let folder = copy();
    assert!(inspect(folder.path()).problems.is_empty());
    edit(&folder, "tokenizer/tokenizer.json", |file| {
        file["added_tokens"][0]["id"] = json!(323);
    });
    let inspection = inspect(folder.path());
    let told: Vec<_> = inspection.problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("tokenizer/tokenizer.json: expected token ids below 323"));
    assert!(told[0].contains("got 323") && told[0].contains("of another model"), "{told:?}");
    assert!(inspection.fingerprint.is_empty());
    fs::write(folder.path().join("tokenizer/tokenizer.json"), "{").unwrap();
    let told = inspect(folder.path()).problems[0].to_string();
    assert!(told.contains("expected a tokenizer") && told.contains("T5TokenizerFast"), "{told}");
}

#[test]
fn configs_of_different_models_are_noticed() {
    let folder = copy();
    edit(&folder, "transformer/config.json", |config| config["text_dim"] = json!(4096));
    let told = refusals(&folder);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0]
            .contains("text_embedder.linear_1.weight: expected shape [320, 4096], got [320, 192]"),
        "{told:?}"
    );
    assert!(
        told[1].starts_with("transformer/config.json: text_dim: expected 192, as d_model of the text encoder, got 4096"),
        "{told:?}"
    );
}

#[test]
fn a_truncated_file_is_found_without_reading_it() {
    let folder = copy();
    let path = folder.path().join(VAE);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1000]).unwrap();
    let told = refusals(&folder);
    let expected = format!(
        "{VAE}: expected a file of {} bytes, as its header says, got {} bytes \
         (the file is damaged or incomplete: download it again)",
        bytes.len(),
        bytes.len() - 1000
    );
    assert_eq!(told, [expected]);
    fs::write(&path, &bytes[..5]).unwrap();
    assert!(refusals(&folder)[0].contains("a safetensors file"));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(refusals(&folder), [format!("{VAE}: expected a safetensors file, got a folder")]);
}

#[test]
fn missing_surplus_and_misshapen_tensors_are_named() {
    let folder = copy();
    let rows = ModelFolder::open(&toybox()).unwrap().text_config().vocab_size;
    edit_header(&folder, TEXT, |header| {
        let map = header.as_object_mut().unwrap();
        let tensor = map.remove("encoder.block.1.layer.0.layer_norm.weight").unwrap();
        map.insert("encoder.block.9.weight".to_owned(), tensor);
        map["shared.weight"]["shape"] = json!([192, rows]);
    });
    let told = refusals(&folder);
    assert_eq!(
        told,
        [
            format!("{TEXT}: shared.weight: expected shape [{rows}, 192], got [192, {rows}]"),
            "text_encoder: encoder.block.1.layer.0.layer_norm.weight: expected a tensor [192], got nothing".to_owned(),
            format!(
                "{TEXT}: encoder.block.9.weight: expected no tensor of this name, got a tensor [192] \
                 (the checkpoint is of another model than its config says)"
            ),
        ]
    );
}

#[test]
fn the_embedding_table_has_two_names() {
    let folder = copy();
    edit_header(&folder, TEXT, |header| {
        let map = header.as_object_mut().unwrap();
        let table = map.remove("shared.weight").unwrap();
        map.insert("encoder.embed_tokens.weight".to_owned(), table);
    });
    ModelFolder::open(folder.path()).unwrap();
}

/// Splits the text encoder's file in two and writes an index.
fn shard(folder: &TempDir) -> PathBuf {
    let dir = folder.path().join("text_encoder");
    let (header, data) = take_apart(&dir.join("model.safetensors"));
    let mut tensors: Vec<_> =
        header.as_object().unwrap().iter().filter(|(name, _)| *name != "__metadata__").collect();
    tensors.sort_by_key(|(_, entry)| entry["data_offsets"][0].as_u64());
    let mut map = serde_json::Map::new();
    let (first, second) = tensors.split_at(tensors.len() / 2);
    for (i, part) in [first, second].into_iter().enumerate() {
        let file = format!("model-0000{}-of-00002.safetensors", i + 1);
        let start = part[0].1["data_offsets"][0].as_u64().unwrap();
        let end = part.last().unwrap().1["data_offsets"][1].as_u64().unwrap();
        let mut header = serde_json::Map::new();
        for (name, entry) in part {
            let mut entry = (*entry).clone();
            for side in 0..2 {
                entry["data_offsets"][side] =
                    json!(entry["data_offsets"][side].as_u64().unwrap() - start);
            }
            header.insert((*name).clone(), entry);
            map.insert((*name).clone(), json!(file));
        }
        put_together(&dir.join(file), &Value::Object(header), &data[start as usize..end as usize]);
    }
    fs::remove_file(dir.join("model.safetensors")).unwrap();
    let index = dir.join("model.safetensors.index.json");
    fs::write(&index, json!({"metadata": {}, "weight_map": map}).to_string()).unwrap();
    index
}

#[test]
fn a_sharded_component_is_the_same_component() {
    let folder = copy();
    shard(&folder);
    let sharded = ModelFolder::open(folder.path()).unwrap();
    let whole = ModelFolder::open(&toybox()).unwrap();
    let part = |folder: &ModelFolder| folder.inspect().parts[1].clone();
    assert_eq!(part(&sharded).parameters, part(&whole).parameters);
    assert_eq!(part(&sharded).files.len(), 2);
    let read = |folder: &ModelFolder| {
        let weights = weights::Weights::open(folder, "text_encoder").unwrap();
        let tensor =
            weights.tensor("shared.weight", candle_core::DType::F32, &candle_core::Device::Cpu);
        tensor.unwrap().to_vec2::<f32>().unwrap()
    };
    assert_eq!(read(&sharded), read(&whole));
}

#[test]
fn an_index_must_agree_with_its_files() {
    let folder = copy();
    shard(&folder);
    let index = "text_encoder/model.safetensors.index.json";
    edit(&folder, index, |value| {
        let map = value["weight_map"].as_object_mut().unwrap();
        map.remove("encoder.block.0.layer.0.SelfAttention.q.weight");
        map.insert("ghost".to_owned(), json!("model-00001-of-00002.safetensors"));
        map["shared.weight"] = json!("model-00001-of-00002.safetensors");
    });
    let told = refusals(&folder);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.iter().all(|line| line.starts_with(index)), "{told:?}");
    assert!(
        told[1].contains("shared.weight: expected the tensor in text_encoder/model-00001"),
        "{told:?}"
    );
    assert!(told[0].contains("ghost: ") && told[0].ends_with("got nothing"), "{told:?}");
    assert!(
        told[2].contains("SelfAttention.q.weight: expected a line for each tensor"),
        "{told:?}"
    );

    let folder = copy();
    shard(&folder);
    fs::remove_file(folder.path().join("text_encoder/model-00002-of-00002.safetensors")).unwrap();
    assert!(refusals(&folder)[0].starts_with("text_encoder/model-00002-of-00002.safetensors: "));
}

#[test]
fn an_index_cannot_lead_out_of_its_folder() {
    for name in [
        "../vae/diffusion_pytorch_model.safetensors",
        "/etc/passwd.safetensors",
        "..",
        "sub/model.safetensors",
        "sub\\model.safetensors",
        "C:model.safetensors",
        ".hidden.safetensors",
        "model.bin",
        "",
    ] {
        let text = json!({"weight_map": {"t": name}}).to_string();
        let problems = parse_index("i.json", "vae", &text).unwrap_err();
        assert!(problems[0].to_string().contains("must not lead out of its folder"), "{name}");
    }
    for text in
        ["{}", r#"{"weight_map": 3}"#, r#"{"weight_map": {}}"#, "[]", r#"{"weight_map": {"a": 1}}"#]
    {
        assert!(parse_index("i.json", "vae", text).is_err());
    }
    let text = json!({"weight_map": {"t": "model-1.safetensors"}}).to_string();
    assert_eq!(parse_index("i.json", "vae", &text).unwrap()["t"], "vae/model-1.safetensors");
}

#[cfg(unix)]
#[test]
fn links_into_a_download_cache_are_followed() {
    let folder = copy();
    let cache = tempfile::tempdir().unwrap();
    let blob = cache.path().join("0123abcd");
    fs::rename(folder.path().join(VAE), &blob).unwrap();
    std::os::unix::fs::symlink(&blob, folder.path().join(VAE)).unwrap();
    ModelFolder::open(folder.path()).unwrap();
    fs::remove_file(blob).unwrap();
    assert!(refusals(&folder)[0].starts_with(VAE));
}

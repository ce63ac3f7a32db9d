//! A model folder that is wrong in one place: refused before the first step, with file, name, expected and got.

use serde_json::{Map, Value, json};

use crate::model::{Model, TRANSFORMER, Tensor};
use crate::studio::{Ran, Studio};

/// A tensor that every Wan transformer has, `[dim, dim]` in shape.
const QUERY: &str = "blocks.0.attn1.to_q.weight";

/// Spoils a copy of the bundled model and generates with it; nothing may be written.
#[track_caller]
fn with_model(spoil: impl FnOnce(&Model)) -> Ran {
    let studio = Studio::new();
    let model = studio.model();
    spoil(&model);
    let ran = studio.generate("a red ball").path("--model", model.path()).run().without_a_panic();
    assert_eq!(studio.files(), Vec::<String>::new(), "a refused model writes nothing");
    ran
}

fn find<'a>(tensors: &'a mut [Tensor], name: &str) -> &'a mut Tensor {
    tensors.iter_mut().find(|tensor| tensor.name == name).expect("every Wan transformer has it")
}

#[test]
fn truncated_weights() {
    with_model(|model| model.truncate_transformer(0.6)).exits_with(3).says(&[TRANSFORMER, "bytes"]);
}

#[test]
fn weights_shorter_than_their_header() {
    with_model(|model| model.truncate_transformer(0.0001))
        .exits_with(3)
        .says(&[TRANSFORMER, "header"]);
}

#[test]
fn tensor_of_the_wrong_shape() {
    with_model(|model| {
        model.transformer(|tensors| find(tensors, QUERY).shape = vec![640, 160]);
    })
    .exits_with(3)
    .says(&[TRANSFORMER, QUERY, "[320, 320]", "[640, 160]"]);
}

#[test]
fn missing_tensor() {
    with_model(|model| model.transformer(|tensors| tensors.retain(|tensor| tensor.name != QUERY)))
        .exits_with(3)
        .says(&["transformer", QUERY, "expected a tensor [320, 320], got nothing"]);
}

#[test]
fn surplus_tensor() {
    with_model(|model| {
        model.transformer(|tensors| {
            let surplus = Tensor {
                name: String::from("blocks.99.attn1.to_q.weight"),
                ..find(tensors, QUERY).clone()
            };
            tensors.push(surplus);
        });
    })
    .exits_with(3)
    .says(&["transformer", "blocks.99.attn1.to_q.weight"]);
}

#[test]
fn every_problem_is_told_at_once() {
    let other = "blocks.1.attn1.to_k.weight";
    with_model(|model| {
        model.transformer(|tensors| {
            tensors.retain(|tensor| tensor.name != QUERY);
            find(tensors, other).shape = vec![640, 160];
        });
    })
    .exits_with(3)
    .says(&[QUERY, other]);
}

#[test]
fn unknown_class_name() {
    with_model(|model| {
        model.json("transformer/config.json", |config| {
            config.insert(String::from("_class_name"), json!("HunyuanVideoTransformer3DModel"));
        });
    })
    .exits_with(3)
    .says(&[
        "transformer/config.json",
        "_class_name",
        "WanTransformer3DModel",
        "HunyuanVideoTransformer3DModel",
    ]);
}

#[test]
fn unknown_pipeline() {
    with_model(|model| {
        model.json("model_index.json", |index| {
            index.insert(String::from("_class_name"), json!("StableDiffusionPipeline"));
        });
    })
    .exits_with(3)
    .says(&["model_index.json", "WanPipeline", "StableDiffusionPipeline"]);
}

#[test]
fn index_that_names_a_path_outside_the_folder() {
    with_model(|model| {
        let outside = "../../../etc/passwd";
        let map = Map::from_iter([(QUERY.to_owned(), Value::from(outside))]);
        model.index(&map);
    })
    .exits_with(3)
    .says(&["diffusion_pytorch_model.safetensors.index.json", "../../../etc/passwd"]);
}

#[test]
fn config_out_of_range() {
    with_model(|model| {
        model.json("transformer/config.json", |config| {
            config.insert(String::from("num_layers"), json!(4_000_000_000_u64));
        });
    })
    .exits_with(3)
    .says(&["transformer/config.json", "num_layers", "4000000000"]);
}

#[test]
fn config_of_the_wrong_type() {
    with_model(|model| {
        model.json("transformer/config.json", |config| {
            config.insert(String::from("num_attention_heads"), json!("five"));
        });
    })
    .exits_with(3)
    .says(&["transformer/config.json", "num_attention_heads"]);
}

#[test]
fn weights_that_are_not_numbers_end_at_the_first_step() {
    // 0x7fc0 is the quiet NaN of bfloat16, little endian.
    with_model(|model| {
        model.transformer(|tensors| {
            find(tensors, QUERY).bytes.as_chunks_mut::<2>().0.fill([0xc0, 0x7f]);
        });
    })
    .exits_with(3)
    .says(&["not finite", "step"]);
}

#[test]
fn no_such_folder() {
    let studio = Studio::new();
    studio
        .generate("a red ball")
        .path("--model", studio.path("nowhere"))
        .run()
        .without_a_panic()
        .exits_with(3)
        .says(&["nowhere"]);
}

#[test]
fn inspect_tells_the_problems_too() {
    let studio = Studio::new();
    let model = studio.model();
    model.transformer(|tensors| tensors.retain(|tensor| tensor.name != QUERY));
    let ran =
        studio.tessera().arg("inspect").arg(model.path()).run().without_a_panic().exits_with(3);
    assert!(ran.stdout().contains(QUERY), "{}", ran.stdout());
}

//! Config files of every kind of wrong.

use serde_json::json;

use super::*;

fn names<T>(outcome: Result<T, Vec<Problem>>) -> Vec<String> {
    outcome.map(drop).unwrap_err().into_iter().map(|problem| problem.name).collect()
}

#[test]
fn missing_keys_are_class_defaults_and_unknown_ones_are_let_through() {
    let text = r#"{"num_layers": 30, "num_attention_heads": 12, "_diffusers_version": "0.33.0", "new_key": 1}"#;
    let config: TransformerConfig = read("transformer/config.json", text).unwrap();
    assert_eq!((config.num_layers, config.width(), config.ffn_dim), (30, 1536, 13824));
    let config: TextConfig = read("text_encoder/config.json", r#"{"vocab_size": 256384}"#).unwrap();
    assert_eq!((config.vocab_size, config.d_model, config.inner()), (256_384, 512, 384));
    let config: VaeConfig = read("vae/config.json", "{}").unwrap();
    assert_eq!(config.latents_std.len(), 16);
}

#[test]
fn all_wrong_fields_are_told_at_once_with_what_was_expected() {
    let text = r#"{"num_layers": "30", "eps": [1], "patch_size": [1, 2], "num_attention_heads": -1, "ffn_dim": 1e3}"#;
    let problems = read::<TransformerConfig>("transformer/config.json", text).unwrap_err();
    let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "transformer/config.json: num_layers: expected a whole number from 0 on, got \"30\"",
            "transformer/config.json: eps: expected a number, got [1]",
            "transformer/config.json: patch_size: expected an array of length 3, got [1,2]",
            "transformer/config.json: num_attention_heads: expected a whole number from 0 on, got -1",
            "transformer/config.json: ffn_dim: expected a whole number from 0 on, got 1000.0",
        ]
    );
}

#[test]
fn numbers_out_of_range_are_refused() {
    let outcome =
        read::<TransformerConfig>("c", r#"{"num_layers": 1001, "patch_size": [1, 2, 65]}"#);
    let told: Vec<_> = outcome.unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "c: num_layers: expected at most 1000, got 1001",
            "c: patch_size: expected at most 64, got [1,2,65]"
        ]
    );
    assert_eq!(names(read::<TransformerConfig>("c", r#"{"num_layers": 0}"#)), ["num_layers"]);
    assert_eq!(
        names(read::<TextConfig>("c", r#"{"d_kv": 0, "vocab_size": 99999999}"#)),
        ["vocab_size"]
    );
    assert_eq!(
        names(read::<TextConfig>("c", r#"{"d_kv": 0, "layer_norm_epsilon": 1}"#)),
        ["d_kv", "layer_norm_epsilon"]
    );
    let negative = json!({"latents_std": vec![-1.0; 16]}).to_string();
    assert_eq!(names(read::<VaeConfig>("c", &negative)), ["latents_std"]);
    assert_eq!(names(read::<VaeConfig>("c", r#"{"z_dim": 4, "dim_mult": []}"#)).len(), 3);
}

#[test]
fn what_is_not_json_or_of_another_class_is_refused() {
    for text in ["", "{", "[]", "3", "{\"num_layers\": 3", "\u{0}"] {
        let problems = read::<TransformerConfig>("c", text).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].to_string().starts_with("c: expected a JSON object, got "));
    }
    let told = read::<VaeConfig>("c", r#"{"_class_name": "AutoencoderKL"}"#).unwrap_err();
    assert_eq!(
        told[0].to_string(),
        "c: _class_name: expected AutoencoderKLWan, got \"AutoencoderKL\""
    );
    assert_eq!(names(read::<TextConfig>("c", r#"{"model_type": "t5"}"#)), ["model_type"]);
    assert_eq!(
        names(read::<TextConfig>("c", r#"{"feed_forward_proj": "relu"}"#)),
        ["feed_forward_proj"]
    );
}

#[test]
fn schedulers_that_are_not_plain_flow_are_refused_by_field() {
    let flow = json!({"prediction_type": "flow_prediction", "use_flow_sigmas": true});
    assert!(read::<SchedulerConfig>("c", &flow.to_string()).is_ok());
    for (field, value) in [
        ("use_dynamic_shifting", json!(true)),
        ("use_karras_sigmas", json!(true)),
        ("solver_order", json!(3)),
        ("solver_type", json!("bh1")),
        ("predict_x0", json!(false)),
        ("final_sigmas_type", json!("sigma_min")),
        ("flow_shift", json!(0)),
        ("shift_terminal", json!(1.0)),
        ("num_train_timesteps", json!(0)),
        ("disable_corrector", json!("no")),
        ("_class_name", json!("DDIMScheduler")),
    ] {
        let mut changed = flow.clone();
        changed[field] = value;
        assert_eq!(names(read::<SchedulerConfig>("c", &changed.to_string())), [field]);
    }
    // Class defaults are those of image models.
    assert_eq!(names(read::<SchedulerConfig>("c", "{}")), ["use_flow_sigmas", "prediction_type"]);
    let euler = r#"{"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 7.0}"#;
    assert_eq!(read::<SchedulerConfig>("c", euler).unwrap().default_shift(), 7.0);
}

#[test]
fn pythons_infinities_are_read_as_nothing() {
    let text = r#"{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity, "x": [NaN, Infinity],
        "prediction_type": "flow_prediction", "use_flow_sigmas": true, "y": "\\\"NaN", "flow_shift": 3.0}"#;
    let config: SchedulerConfig = read("c", text).unwrap();
    assert_eq!(config.class(), SchedulerClass::DpmSolver);
    let outcome = read::<TransformerConfig>("c", r#"{"eps": NaN, "n": "NaN é"}"#).unwrap_err();
    assert_eq!(outcome[0].to_string(), "c: eps: expected a number, got null");
    assert_eq!(plain(r#"{"a": "NaN \" -Infinity"}"#), None);
    assert_eq!(plain("\"NaN"), None);
}

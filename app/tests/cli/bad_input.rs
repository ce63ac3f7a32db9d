//! A request that is wrong: what was expected, what came, what to do; nothing is run and nothing is written.

use crate::studio::Studio;

#[test]
fn empty_prompt() {
    Studio::new().generate("").run().exits_with(2).says(&["prompt is empty", "such as"]);
}

#[test]
fn prompt_without_quotes() {
    let studio = Studio::new();
    studio
        .tessera()
        .arg("generate")
        .arg("a")
        .arg("ball")
        .run()
        .exits_with(2)
        .says(&["needs quotes"]);
}

#[test]
fn missing_file_of_prompts() {
    let studio = Studio::new();
    studio
        .tessera()
        .arg("generate")
        .arg("--prompts-file=none.txt")
        .run()
        .exits_with(2)
        .says(&["none.txt"]);
}

#[test]
fn file_of_prompts_without_one() {
    let studio = Studio::new();
    let path = studio.file("prompts.txt", "# nothing yet\n\n");
    studio
        .tessera()
        .arg("generate")
        .path("--prompts-file", path)
        .run()
        .exits_with(2)
        .says(&["prompts.txt", "one prompt a line"]);
}

#[test]
fn illegal_size() {
    Studio::new()
        .tessera()
        .arg("generate")
        .arg("a red ball")
        .arg("--size=17x17")
        .run()
        .without_a_panic()
        .exits_with(2)
        .says(&["width", "17", "multiple of 16"]);
}

#[test]
fn illegal_number_of_frames() {
    Studio::new()
        .tessera()
        .arg("generate")
        .arg("a red ball")
        .arg("--frames=6")
        .run()
        .exits_with(2)
        .says(&["frames", "6", "5", "9"]);
}

#[test]
fn more_memory_than_the_machine_has() {
    let studio = Studio::new();
    studio
        .tessera()
        .env("TESSERA_MEMORY_LIMIT", "2G")
        .arg("generate")
        .arg("a red ball")
        .arg("--size=1920x1072")
        .arg("--frames=81")
        .run()
        .without_a_panic()
        .exits_with(4)
        .says(&["memory", "--override-memory"]);
    assert!(studio.files().is_empty());
}

#[test]
fn a_device_that_is_not_there() {
    Studio::new()
        .generate("a red ball")
        .arg("--device=cuda:7")
        .run()
        .exits_with(2)
        .says(&["cuda:7", "cpu"]);
}

#[test]
fn a_strict_run_on_slow_kernels() {
    let studio = Studio::new();
    studio
        .generate("a red ball")
        .env("TESSERA_KERNELS", "reference")
        .arg("--attention=psa")
        .arg("--strict")
        .run()
        .exits_with(2)
        .says(&["strict", "reference kernels"]);
    assert!(studio.files().is_empty());
}

#[test]
fn unwritable_output() {
    let studio = Studio::new();
    studio
        .generate("a red ball")
        .arg("--out=/proc/clip.mp4")
        .run()
        .without_a_panic()
        .exits_with(5)
        .says(&["/proc"]);
}

#[test]
fn output_in_a_folder_that_does_not_exist() {
    let studio = Studio::new();
    studio
        .generate("a red ball")
        .arg("--out=no/such/clip.mp4")
        .run()
        .exits_with(5)
        .says(&["no/such"]);
}

#[test]
fn output_that_exists_is_not_replaced() {
    let studio = Studio::new();
    let path = studio.file("clip.mp4", "mine");
    studio
        .generate("a red ball")
        .path("--out", &path)
        .run()
        .exits_with(2)
        .says(&["clip.mp4", "--overwrite"]);
    assert_eq!(std::fs::read(path).expect("it is there"), b"mine");
}

#[test]
fn codec_that_does_not_go_into_the_file() {
    let studio = Studio::new();
    studio
        .generate("a red ball")
        .arg("--codec=ffv1")
        .arg("--out=clip.gif")
        .run()
        .without_a_panic()
        .exits_with(2)
        .says(&["ffv1", "gif"]);
    assert!(studio.files().is_empty());
}

#[test]
fn latents_of_another_shape() {
    let studio = Studio::new();
    studio.generate("a red ball").arg("--out=small.mp4").run().exits_with(0);
    studio
        .tessera()
        .arg("generate")
        .arg("a red ball")
        .arg("--size=96x64")
        .arg("--frames=5")
        .arg("--initial-latents=small.latents.safetensors")
        .run()
        .without_a_panic()
        .exits_with(2)
        .says(&["small.latents.safetensors", "[1, 16, 2, 8, 12]", "[1, 16, 2, 8, 8]"]);
}

#[test]
fn a_prompt_that_is_too_long_is_cut_and_it_is_said() {
    let studio = Studio::new();
    let prompt = "red ball ".repeat(300);
    studio.generate(&prompt).run().exits_with(0).says(&["warning", "512"]);
}

#[test]
fn inspecting_what_is_no_file_of_ours() {
    let studio = Studio::new();
    let path = studio.file("noise.mp4", [0_u8; 4096]);
    studio
        .tessera()
        .arg("inspect")
        .arg(&path)
        .run()
        .without_a_panic()
        .exits_with(2)
        .says(&["noise.mp4"]);
    studio.tessera().arg("inspect").arg("nowhere").run().exits_with(2).says(&["nowhere"]);
}

#[test]
fn resuming_what_is_no_latents_file() {
    let studio = Studio::new();
    let path = studio.file("noise.safetensors", [0_u8; 64]);
    studio
        .tessera()
        .arg("resume")
        .arg(&path)
        .run()
        .without_a_panic()
        .exits_with(2)
        .says(&["noise.safetensors"]);
}

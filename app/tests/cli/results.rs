//! What a run that goes well gives: the path on standard output, the settings in the file, the same bytes again.

use serde_json::Value;

use crate::studio::Studio;

#[test]
fn the_path_of_the_clip_is_all_of_standard_output() {
    let studio = Studio::new();
    let ran = studio.generate("a red ball").arg("--out=clip.mp4").run().exits_with(0);
    assert_eq!(ran.stdout(), "clip.mp4\n");
    assert!(studio.files().contains(&String::from("clip.mp4")), "{:?}", studio.files());
}

#[test]
fn a_clip_without_a_name_gets_one_and_never_anothers() {
    let studio = Studio::new();
    let first = studio.generate("A red ball!").run().exits_with(0).stdout();
    let second = studio.generate("A red ball!").run().exits_with(0).stdout();
    assert!(first.contains("a-red-ball") && first.ends_with("-s0.mp4\n"), "{first}");
    assert_ne!(first, second);
}

#[test]
fn a_folder_takes_the_clips_of_a_batch() {
    let studio = Studio::new();
    let prompts = studio.file("prompts.txt", "a red ball\na blue cube\n");
    let ran = studio
        .tessera()
        .arg("generate")
        .path("--prompts-file", prompts)
        .small()
        .arg("--count=2")
        .arg("--out=clips/")
        .run()
        .exits_with(0)
        .says(&["4 clips written"]);
    let stdout = ran.stdout();
    let paths: Vec<&str> = stdout.lines().collect();
    assert_eq!(paths.len(), 4, "{stdout}");
    assert!(
        paths.iter().all(|path| path.starts_with("clips/") && studio.path(path).is_file()),
        "{stdout}"
    );
}

#[test]
fn one_clip_that_fails_does_not_lose_the_others() {
    let studio = Studio::new();
    // A folder that is not empty lies where the second clip's latents go; no file can replace it.
    studio.file("clip-s1.latents.safetensors/mine.txt", "mine");
    let ran =
        studio.generate("a red ball").arg("--count=3").arg("--out=clip.mp4").run().exits_with(6);
    assert_eq!(ran.stdout(), "clip-s0.mp4\nclip-s2.mp4\n");
}

#[test]
fn same_request_same_bytes() {
    let clip = || {
        let studio = Studio::new();
        studio.generate("a red ball").arg("--seed=5").arg("--out=clip.mp4").run().exits_with(0);
        std::fs::read(studio.path("clip.mp4")).expect("written")
    };
    assert!(clip() == clip(), "two runs of one request differ");
}

#[test]
fn a_video_tells_its_settings_and_is_made_again_from_them() {
    let studio = Studio::new();
    studio.generate("a red ball").arg("--seed=7").arg("--out=clip.mp4").run().exits_with(0);
    let ran = studio.tessera().arg("inspect").arg("--json").arg("clip.mp4").run().exits_with(0);
    let told: Value = serde_json::from_str(&ran.stdout()).expect("JSON");
    assert_eq!(told["embedded"]["request"]["seed"], 7, "{told}");
    studio
        .tessera()
        .arg("generate")
        .arg("--like=clip.mp4")
        .arg("--out=again.mp4")
        .run()
        .exits_with(0);
}

#[test]
fn frames_are_written_as_pictures() {
    let studio = Studio::new();
    studio.generate("a red ball").arg("--out=clip.mp4").arg("--save-frames").run().exits_with(0);
    let pictures = studio.files().iter().filter(|name| name.starts_with("clip.frames/")).count();
    assert_eq!(pictures, 5, "{:?}", studio.files());
}

#[test]
fn saved_latents_are_decoded_again_with_another_codec() {
    let studio = Studio::new();
    studio.generate("a red ball").arg("--out=clip.mp4").run().exits_with(0);
    let latents = studio
        .files()
        .into_iter()
        .find(|name| name.ends_with(".safetensors"))
        .expect("latents are kept");
    let ran = studio
        .tessera()
        .arg("resume")
        .arg(latents)
        .arg("--out=clip.mkv")
        .arg("--codec=ffv1")
        .run()
        .exits_with(0);
    assert_eq!(ran.stdout(), "clip.mkv\n");
}

#[test]
fn a_dry_run_prints_the_plan_and_writes_nothing() {
    let studio = Studio::new();
    let ran = studio.generate("a red ball").arg("--dry-run").run().exits_with(0);
    for part in ["64", "tokens", "memory"] {
        assert!(ran.stdout().contains(part), "{part:?} is not in:\n{}", ran.stdout());
    }
    assert_eq!(studio.files(), Vec::<String>::new());
}

#[test]
fn events_are_one_object_a_line_from_plan_to_receipt() {
    let studio = Studio::new();
    let mut running = studio.generate("a red ball").arg("--out=clip.mp4").start();
    let events = running.rest();
    assert_eq!(running.end().0, Some(0));
    let names: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    assert_eq!((names.first(), names.last()), (Some(&"planned"), Some(&"finished")));
    assert_eq!(names.iter().filter(|name| **name == "step").count(), 2);
}

#[test]
fn help_says_what_there_is() {
    let ran = Studio::new().tessera().arg("--help").run().exits_with(0);
    assert!(
        ran.stdout().contains("generate") && ran.stdout().contains("Exit codes"),
        "{}",
        ran.stdout()
    );
}

#[test]
fn the_bundled_model_has_no_problems() {
    let studio = Studio::new();
    let model = studio.model();
    let ran = studio.tessera().arg("inspect").arg(model.path()).run().exits_with(0);
    assert!(ran.stdout().contains("WanPipeline"), "{}", ran.stdout());
}

#[test]
fn the_doctor_names_encoders_and_memory() {
    let ran = Studio::new().tessera().arg("doctor").run().exits_with(0);
    for part in ["h264", "memory", "cpu"] {
        assert!(
            ran.stdout().to_lowercase().contains(part),
            "{part:?} is not in:\n{}",
            ran.stdout()
        );
    }
}

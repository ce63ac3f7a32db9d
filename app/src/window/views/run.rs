//! The run that everyone looks at: phases with progress and time left, ways to stop it, what it left. Below it, the next clip.

use eframe::egui::{Label, RichText, ScrollArea, Ui};
use tessera_pipeline::events::Phase;

use super::{parts, planned};
use crate::text::{bytes, duration, plural, shorten};
use crate::window::action::Action;
use crate::window::commands::Command;
use crate::window::runs::{Pause, Progress, Run, State, phase_name};
use crate::window::store::Store;

/// Draws the run, if there is one, and the plan of the next.
pub(crate) fn show(ui: &mut Ui, store: &Store, actions: &mut Vec<Action>) {
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.set_max_width(ui.available_width() - 4.0);
        if let Some(run) = store.shown_run() {
            draw(ui, store, run, actions);
            ui.separator();
        }
        planned::show(ui, store);
    });
}

fn draw(ui: &mut Ui, store: &Store, run: &Run, actions: &mut Vec<Action>) {
    let colors = &store.theme.colors;
    let spent = duration(run.elapsed_ms());
    let (title, color) = match &run.state {
        State::Running => {
            let color = match (run.is_stopping, run.pause) {
                (false, Pause::No) => colors.accent,
                _ => colors.warning,
            };
            (standing(run), color)
        }
        State::Finished(_) => (format!("Done in {spent}"), colors.success),
        State::Failed(_) => (format!("Failed after {spent}"), colors.error),
        State::Cancelled => (format!("Stopped after {spent}"), colors.warning),
    };
    ui.label(RichText::new(title).heading().color(color));
    let seed =
        run.plan.as_ref().and_then(|plan| plan.request.seed).or(run.request.seed).unwrap_or(0);
    let prompt =
        RichText::new(format!("{}  (seed {seed})", shorten(&run.request.prompt, 120))).weak();
    ui.add(Label::new(prompt).wrap()).on_hover_text(&run.request.prompt);
    ui.add_space(4.0);
    for progress in &run.phases {
        let (name, words) = (phase_name(progress.phase), words(run, progress));
        let fill = match run.state {
            _ if progress.is_over => {
                parts::line(ui, name, &words);
                continue;
            }
            State::Failed(_) => colors.error,
            State::Cancelled => colors.warning,
            _ => colors.accent,
        };
        parts::bar(ui, name, &words, progress.share(), fill.into());
    }
    if run.is_running() {
        machine(ui, store);
    }
    ui.add_space(4.0);
    ui.horizontal_wrapped(|ui| match &run.state {
        State::Running => {
            parts::command_button(ui, store, Command::StopNow, "Stop now", actions);
            let pause = if run.pause == Pause::No { "Pause run" } else { "Go on" };
            parts::command_button(ui, store, Command::Pause, pause, actions);
            let held = if store.queue.is_held {
                "Let the queue go on"
            } else {
                "Finish this one, then wait"
            };
            parts::command_button(ui, store, Command::StopAfter, held, actions);
        }
        State::Finished(_) => {
            parts::command_button(ui, store, Command::OpenFolder, "Show file", actions);
            parts::command_button(ui, store, Command::SaveAs, "Save as…", actions);
            parts::command_button(ui, store, Command::CopyPath, "Copy path", actions);
            parts::command_button(ui, store, Command::FullSteps, "Same seed, full steps", actions);
            if ui.button("Take its settings").clicked() {
                actions.push(Action::Take(run.id));
            }
        }
        State::Failed(_) | State::Cancelled => {
            if ui.button("Try again").clicked() {
                actions.push(Action::Retry(run.id));
            }
            if ui.button("Take its settings").clicked() {
                actions.push(Action::Take(run.id));
            }
        }
    });
    if let State::Failed(error) = &run.state {
        ui.add(Label::new(RichText::new(error).color(colors.error)).wrap().selectable(true));
    }
    for file in &run.files {
        let text = format!("{} ({})", file.path.display(), bytes(file.bytes));
        ui.add(Label::new(RichText::new(text).small().weak()).truncate())
            .on_hover_text(file.path.display().to_string());
    }
    if let State::Finished(receipt) = &run.state {
        for line in &receipt.fallbacks {
            parts::note(ui, colors.warning, line);
        }
    }
    for warning in &run.warnings {
        parts::note(ui, colors.warning, warning);
    }
}

/// How a run that has not ended stands: "12 s left", "Paused, 12 s left".
fn standing(run: &Run) -> String {
    let left = run.eta_ms.map(|left| format!("{} left", duration(left)));
    let word = match run.pause {
        _ if run.is_stopping => return "Stopping…".into(),
        Pause::No => return left.unwrap_or_else(|| "Starting".into()),
        Pause::Asked => "Pausing at the next step",
        Pause::Resting => "Paused",
    };
    left.map_or_else(|| word.into(), |left| format!("{word}, {left}"))
}

/// How busy the machine is.
fn machine(ui: &mut Ui, store: &Store) {
    let Some(reading) = &store.reading else { return };
    let accent = store.theme.colors.accent.into();
    let cpu = format!("{:.0} % of {}", reading.cpu * 100.0, plural(reading.cores as u64, "core"));
    parts::bar(ui, "CPU", &cpu, reading.cpu as f32, accent);
    let (own, free) = (reading.own_bytes, reading.available_bytes);
    let memory = format!("{}, {} more free", bytes(own), bytes(free));
    parts::bar(ui, "Memory", &memory, own as f32 / (own + free).max(1) as f32, accent);
    for (index, gpu) in reading.gpus.iter().enumerate() {
        let name = if reading.gpus.len() == 1 { "GPU".into() } else { format!("GPU {index}") };
        let memory = format!("{} of {}", bytes(gpu.used_bytes), bytes(gpu.total_bytes));
        let held = gpu.used_bytes as f64 / gpu.total_bytes.max(1) as f64;
        let (share, words) = match gpu.busy {
            Some(busy) => (busy, format!("{:.0} %, {memory}", busy * 100.0)),
            None => (held, memory),
        };
        parts::bar(ui, &name, &words, share as f32, accent);
    }
}

/// "step 3 of 20, 12 s left", or how long it took, whether to its end or not.
fn words(run: &Run, progress: &Progress) -> String {
    let counted = match progress.phase {
        Phase::Denoise => run.steps.map(|(done, of)| (done, of, "step")),
        Phase::Decode => run.frames.map(|(done, of)| (done, of, "frame")),
        _ => None,
    };
    if progress.is_over {
        let count =
            counted.map(|(_, of, noun)| format!("{} in ", plural(of, noun))).unwrap_or_default();
        return format!("{count}{}", duration(progress.elapsed_ms));
    }
    let count = match counted {
        Some((done, of, noun)) => format!("{noun} {done} of {of}"),
        None => format!("{:.0} %", progress.share() * 100.0),
    };
    match progress.eta_ms.filter(|_| run.is_running()) {
        Some(left) => format!("{count}, {} left", duration(left)),
        None if run.is_running() => count,
        None => format!("{count} in {}", duration(progress.elapsed_ms)),
    }
}

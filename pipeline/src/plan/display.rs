//! A plan as a person reads it before saying yes.

use std::fmt;

use super::Plan;
use super::memory::bytes;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = &self.request;
        let word = |value: &Option<String>| value.clone().unwrap_or_default();
        let [_, channels, frames, rows, columns] = self.latent_shape;
        writeln!(f, "model      {} ({})", self.model.name, self.model.path.display())?;
        let gpu = self.gpu.as_ref().map_or_else(String::new, |gpu| format!(" ({})", gpu.name));
        writeln!(
            f,
            "on         {}{gpu}, {} (VAE {})",
            word(&request.device),
            word(&request.dtype),
            word(&request.vae_dtype)
        )?;
        writeln!(
            f,
            "clip       {}, {:.2} s at {} fps",
            self.size,
            self.seconds,
            request.fps.unwrap_or(0.0)
        )?;
        writeln!(
            f,
            "latents    {channels} x {frames} x {rows} x {columns}, {} tokens",
            self.tokens
        )?;
        let negative =
            self.negative_tokens.map_or_else(|| "not used".to_owned(), |n| n.to_string());
        writeln!(f, "prompt     {} tokens; negative prompt {negative}", self.prompt_tokens)?;
        writeln!(
            f,
            "sampling   {} steps of {}, guidance {}, flow shift {}, seed {}, {} attention: {} forwards",
            request.steps.unwrap_or(0),
            word(&request.sampler),
            request.guidance.unwrap_or(0.0),
            request.flow_shift.unwrap_or(0.0),
            request.seed.unwrap_or(0),
            word(&request.attention),
            self.forwards
        )?;
        if let Some(attention) = &self.attention {
            write!(f, "{attention}")?;
        }
        writeln!(f, "\n{:<14}{:>14}{:>12}{:>12}", "phase", "work", "peak", "time")?;
        for phase in &self.phases {
            let work = match phase.phase {
                crate::events::Phase::Load => bytes(phase.work as u64),
                crate::events::Phase::EncodeVideo => format!("{:.1} Mpixel", phase.work / 1e6),
                _ => format!("{:.3} TFLOP", phase.work / 1e12),
            };
            let sign = if phase.is_measured { "" } else { "~" };
            let time = format!("{sign}{}", duration(phase.seconds));
            writeln!(f, "{:<14}{work:>14}{:>12}{time:>12}", phase.phase, bytes(phase.peak_bytes))?;
        }
        let total = duration(self.total_seconds());
        writeln!(f, "{:<14}{:>14}{:>12}{total:>12}", "all", "", bytes(self.memory.peak_bytes))?;
        writeln!(
            f,
            "\nmemory     {} of {} available",
            bytes(self.memory.peak_bytes),
            bytes(self.memory.available_bytes)
        )?;
        if self.phases.iter().any(|phase| !phase.is_measured) {
            writeln!(f, "           (~ a guess until this machine has made a clip)")?;
        }
        for file in &self.files {
            writeln!(f, "writes     {} (about {})", file.path.display(), bytes(file.bytes))?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning    {warning}")?;
        }
        if let Some(refusal) = &self.memory.refusal {
            writeln!(f, "refused    {refusal}")?;
        }
        Ok(())
    }
}

/// "0.4 s", "12 s", "3 min 20 s", "2 h 5 min".
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..120 => format!("{whole} s"),
        120..7200 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

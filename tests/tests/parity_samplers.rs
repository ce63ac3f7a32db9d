//! Sampler trajectories against diffusers' schedulers: the same velocities in, the same samples out, step by step.

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};
use tessera_models::folder::config::{SchedulerConfig, read};
use tessera_models::samplers::{Sampler, SamplerKind};
use tessera_tests::compare::{Report, SAMPLER_BAR, relative_error_of};
use tessera_tests::goldens::{self, Goldens};

/// A scheduler config from the text of its file, as the folder reader makes it.
fn config(text: &str) -> Result<SchedulerConfig> {
    read("scheduler/scheduler_config.json", text).map_err(|problems| anyhow!("{problems:?}"))
}

/// The kind that a golden's name begins with.
fn kind(name: &str) -> Result<SamplerKind> {
    match name.split('.').next() {
        Some("unipc") => Ok(SamplerKind::UniPc),
        Some("euler") => Ok(SamplerKind::Euler),
        Some("dpm") => Ok(SamplerKind::DpmPp2M),
        _ => Err(anyhow!("no sampler for {name}")),
    }
}

/// Runs the golden `name` through `sampler` and measures timesteps, sigmas and every sample.
fn run(
    report: &mut Report,
    label: &str,
    name: &str,
    sampler: &mut dyn Sampler,
    golden: &Goldens,
    facts: &Value,
) -> Result<()> {
    let want: Vec<f64> = facts["timesteps"]
        .as_array()
        .context("timesteps")?
        .iter()
        .filter_map(Value::as_f64)
        .collect();
    let got = sampler.timesteps().to_vec();
    if name.starts_with("euler") {
        // Euler's timesteps are fractions that diffusers keeps in F32.
        report.number(&format!("{label} timesteps"), relative_error_of(&got, &want), 1e-7);
    } else if got != want {
        report.miss(format!("{label}: timesteps {got:?}, expected {want:?}"));
    }
    let sigmas = tessera_tests::compare::values(golden.get(&format!("{name}.sigmas"))?)?;
    report.number(&format!("{label} sigmas"), relative_error_of(sampler.sigmas(), &sigmas), 1e-7);

    let velocities = golden.get(&format!("{name}.velocity"))?;
    let (samples, exact) =
        (golden.get(&format!("{name}.samples"))?, golden.get(&format!("{name}.exact"))?);
    let mut sample = golden.get(&format!("{name}.start"))?.clone();
    let (mut shipped, mut precise) = (0.0f64, 0.0f64);
    for i in 0..velocities.dim(0)? {
        sample = sampler.step(&velocities.get(i)?, &sample)?;
        shipped = shipped.max(tessera_tests::compare::relative_error(&sample, &samples.get(i)?)?);
        precise = precise.max(tessera_tests::compare::relative_error(&sample, &exact.get(i)?)?);
    }
    report.number(&format!("{label} samples"), shipped, SAMPLER_BAR);
    report.number(&format!("{label} samples in F64"), precise, SAMPLER_BAR);
    Ok(())
}

#[test]
fn trajectories_are_diffusers() -> Result<()> {
    let (golden, all) = (Goldens::read("samplers.safetensors")?, goldens::json("samplers.json")?);
    let mut report = Report::default();
    for (name, facts) in goldens::entries(&all)? {
        let steps = goldens::number(facts, "steps")? as usize;
        let mut sampler =
            kind(name)?.build(&config(goldens::text(facts, "config")?)?, steps, None)?;
        run(&mut report, name, name, sampler.as_mut(), &golden, facts)?;
        // A second clip with the same sampler: nothing may be left of the first.
        sampler.reset();
        run(&mut report, &format!("{name} again"), name, sampler.as_mut(), &golden, facts)?;
    }
    report.finish()
}

#[test]
fn any_sampler_runs_on_the_folders_own_config_with_the_callers_shift() -> Result<()> {
    // A person who picks another sampler has a UniPC folder: only class and shift may make the difference.
    let (golden, all) = (Goldens::read("samplers.safetensors")?, goldens::json("samplers.json")?);
    let unipc = goldens::text(&all["unipc.3.4"], "config")?;
    let mut report = Report::default();
    for name in ["unipc.5.12", "euler.3.12", "dpm.5.12"] {
        let facts = &all[name];
        let shift = goldens::number(facts, "shift")?;
        let mut sampler = kind(name)?.build(&config(unipc)?, 12, Some(shift))?;
        run(
            &mut report,
            &format!("{name} on a UniPC folder"),
            name,
            sampler.as_mut(),
            &golden,
            facts,
        )?;
    }
    report.finish()
}

#[test]
fn the_wrong_shift_breaks_a_trajectory() -> Result<()> {
    let (golden, all) = (Goldens::read("samplers.safetensors")?, goldens::json("samplers.json")?);
    for name in ["unipc.5.12", "euler.3.12", "dpm.5.12"] {
        let mut report = Report::default();
        let mut sampler =
            kind(name)?.build(&config(goldens::text(&all[name], "config")?)?, 12, Some(4.0))?;
        run(&mut report, name, name, sampler.as_mut(), &golden, &all[name])?;
        ensure!(report.finish().is_err(), "{name} did not notice shift 4");
    }
    Ok(())
}

#[test]
fn what_is_not_supported_is_refused_by_name() -> Result<()> {
    let all = goldens::json("samplers.json")?;
    for (field, value) in
        [("prediction_type", json!("epsilon")), ("use_karras_sigmas", json!(true))]
    {
        let mut changed: Value = serde_json::from_str(goldens::text(&all["unipc.3.4"], "config")?)?;
        changed[field] = value;
        let outcome = config(&changed.to_string())
            .and_then(|config| Ok(SamplerKind::UniPc.build(&config, 4, None).map(drop)?));
        let Err(error) = outcome else {
            return Err(anyhow!("{field} = {} was taken", changed[field]));
        };
        ensure!(error.to_string().contains(field), "{error} does not name {field}");
    }
    Ok(())
}

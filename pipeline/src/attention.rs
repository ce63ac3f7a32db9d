//! Which self-attention a request stands for: dense, or a sparse method with a schedule and, where it goes by one, a
//! calibration plan. What a model or a clip makes impossible is refused here, before any weight is read.

use tessera_models::attention::Sequence;

use crate::request::Request;
use crate::settings::Problem;
use crate::sparsity::calibration::PlanFile;
use crate::sparsity::layout::Layouts;
use crate::sparsity::schedule::Schedule;
use crate::sparsity::{Options, SparseAttention};
use crate::{Error, Result};

/// The sparse attention of one run, resolved against its model, clip and steps.
#[derive(Debug)]
pub struct Resolved {
    /// Every setting.
    pub options: Options,
    /// When it is dense and when maps are estimated.
    pub schedule: Schedule,
    /// The calibration plan that the settings name.
    pub plan: Option<PlanFile>,
    /// Where each layer's tokens stand.
    pub layouts: Layouts,
    /// The least density that forced keeps and the floor leave possible.
    pub least_density: f64,
}

/// What a run is of.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Which weights.
    pub fingerprint: &'a str,
    /// The clip's tokens in the model.
    pub sequence: Sequence,
    /// Noise levels of the steps, one each.
    pub sigmas: &'a [f64],
}

/// Resolves a filled request ([`crate::sparsity::options::fill`]); `None` for dense attention.
pub fn resolve(request: &Request, subject: &Subject<'_>) -> Result<Option<Resolved>> {
    let Some(options) = Options::new(request).map_err(Error::Settings)? else { return Ok(None) };
    let (layers, heads) = (subject.sequence.layers, subject.sequence.heads);
    if options.dense_heads.resolve(layers, heads).is_none() {
        let expected =
            format!("layers 0 to {} with heads 0 to {}", layers.max(1) - 1, heads.max(1) - 1);
        let problem = Problem::new("dense_heads", expected, &options.dense_heads);
        return Err(Error::Settings(vec![problem]));
    }
    let schedule =
        Schedule::new(&options.terms, subject.sigmas, layers).map_err(Error::Settings)?;
    let plan = match &options.plan {
        Some(path) => {
            let plan = PlanFile::read(path)?;
            plan.check(path, subject.fingerprint, subject.sequence.grid)?;
            Some(plan)
        }
        None => None,
    };
    let layouts = Layouts::new(&options, plan.as_ref(), &subject.sequence)?;
    let mut least_density = 0.0f64;
    for layout in layouts.distinct() {
        least_density = least_density.max(layout.rules.least_density()?);
    }
    if let Some(wanted) = options.density.filter(|wanted| *wanted < least_density) {
        let expected = format!(
            "at least {:.4} for this clip, which is what the floor and the forced keeps cost",
            (least_density * 1e4).ceil() / 1e4
        );
        return Err(Error::Settings(vec![Problem::new("density", expected, wanted)]));
    }
    Ok(Some(Resolved { options, schedule, plan, layouts, least_density }))
}

/// The self-attention of a filled request.
pub fn build(request: &Request, subject: &Subject<'_>) -> Result<SparseAttention> {
    let seed = request.seed.unwrap_or_default();
    Ok(match resolve(request, subject)? {
        Some(Resolved { options, schedule, plan, .. }) => {
            SparseAttention::new(options, schedule, plan, seed)
        }
        None => SparseAttention::dense(subject.sigmas.len(), subject.sequence.layers),
    })
}

//! The settings of sparse attention: what a request leaves open comes from its method's preset.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use serde_json::Value;
use tessera_kernels::pyramid::Bias;
use tessera_models::attention::{Branch, Site};

use super::Arrangement;
use super::cuts::Ends;
use super::heads::Heads;
use super::layers::Layers;
use super::levels::Levels;
use super::policy::Policy;
use super::registry::{self, Defaults, METHODS, Method, Preset};
use super::schedule::Terms;
use crate::machine::parse_bytes;
use crate::request::Request;
use crate::settings::{Problem, SETTINGS, Section};

/// The bound on what is kept of maps, where a request names none: 2 GiB hold every map of Wan 2.1 14B at 720p.
pub const CACHE_LIMIT: &str = "2G";

/// Every setting of one run's sparse attention, none left open.
#[derive(Debug, Clone)]
pub struct Options {
    /// The method.
    pub method: &'static Method,
    /// Its numbers.
    pub preset: &'static Preset,
    /// Share of the dense work to keep; `None` takes what the preset's selection comes to.
    pub density: Option<f64>,
    /// Where levels end; `None` takes the preset's cut-offs, where its method has any.
    pub thresholds: Option<Ends>,
    /// Heads that stay dense.
    pub dense_heads: Heads,
    /// Token order; `None` is the method's own, which then differs between layers.
    pub order: Option<Arrangement>,
    /// Levels that maps may use.
    pub levels: Levels,
    /// Level of what was not selected.
    pub floor: u8,
    /// What stands for the size of a pooled group in its score.
    pub bias: Bias,
    /// When attention is dense and when maps are estimated.
    pub terms: Terms,
    /// What is seen in full whatever was selected.
    pub keep: Keep,
    /// Whether the branch without the prompt uses the maps of the branch with it.
    pub share_branches: bool,
    /// The calibration plan.
    pub plan: Option<PathBuf>,
    /// Whether a fallback is an error.
    pub strict: bool,
    /// Bytes of maps and log-sum-exps that are kept at most.
    pub cache_limit: u64,
}

/// What is seen in full whatever was selected.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Keep {
    /// The key blocks at a query block's own place.
    pub own: bool,
    /// Key blocks to either side of them.
    pub radius: usize,
    /// The first latent frame, by everybody.
    pub first_frame: bool,
    /// Share of a row's key blocks, its best ones.
    pub least_full: f64,
}

/// Fills what a request for a sparse method leaves open; a request for dense attention stays as it is. `layers` is the
/// number of the model's blocks: of a preset's dense layers those are left out that it lacks, or that would leave nothing
/// sparse.
pub fn fill(request: &mut Request, layers: usize) -> Result<(), Vec<Problem>> {
    let Some((method, preset)) = chosen(request)? else { return Ok(()) };
    let Defaults {
        floor,
        bias,
        warmup,
        dense_last,
        dense_layers,
        ref refresh,
        keep_self,
        radius,
        first_frame,
        least_full,
        share_branches,
        order_of_plan,
        measured_density: _,
    } = preset.defaults;
    let own = match request.plan {
        Some(_) if order_of_plan => Some(Arrangement::Calibrated),
        _ => own_order(preset, layers),
    };
    let r = request;
    or(&mut r.attention, || method.name.into());
    or(&mut r.preset, || preset.name.into());
    r.order = r.order.take().or_else(|| own.map(|order| order.to_string()));
    or(&mut r.levels, || Levels::ALL.to_string());
    or(&mut r.floor, || floor.into());
    or(&mut r.bias, || bias.to_string());
    or(&mut r.warmup, || warmup.to_string());
    or(&mut r.dense_last, || dense_last as u32);
    or(&mut r.dense_layers, || {
        let known = dense_layers.iter().copied().filter(|layer| *layer < layers);
        Layers::new(known.take(layers.saturating_sub(1)).collect()).to_string()
    });
    or(&mut r.refresh, || refresh.to_string());
    or(&mut r.keep_self, || keep_self);
    or(&mut r.keep_radius, || radius as u32);
    or(&mut r.keep_first_frame, || first_frame);
    or(&mut r.least_full, || least_full);
    or(&mut r.share_branches, || share_branches);
    or(&mut r.strict, || false);
    or(&mut r.cache_limit, || CACHE_LIMIT.into());
    Ok(())
}

impl Options {
    /// Reads a filled request; `None` for dense attention. Nothing of a model is looked at.
    pub fn new(request: &Request) -> Result<Option<Self>, Vec<Problem>> {
        let Some((method, preset)) = chosen(request)? else { return Ok(None) };
        let one = |problem| vec![problem];
        let order = request.order.as_deref().map(|order| word("order", Some(order))).transpose();
        let order: Option<Arrangement> = order.map_err(one)?;
        let options = || {
            Ok(Self {
                method,
                preset,
                density: request.density,
                thresholds: given("thresholds", request.thresholds.as_deref())?,
                dense_heads: given("dense_heads", request.dense_heads.as_deref())?
                    .unwrap_or_default(),
                order,
                levels: word("levels", request.levels.as_deref())?,
                floor: need("floor", request.floor)? as u8,
                bias: word("bias", request.bias.as_deref())?,
                terms: Terms {
                    warmup: word("warmup", request.warmup.as_deref())?,
                    dense_last: need("dense_last", request.dense_last)? as usize,
                    dense_layers: word("dense_layers", request.dense_layers.as_deref())?,
                    refresh: word("refresh", request.refresh.as_deref())?,
                },
                keep: Keep {
                    own: need("keep_self", request.keep_self)?,
                    radius: need("keep_radius", request.keep_radius)? as usize,
                    first_frame: need("keep_first_frame", request.keep_first_frame)?,
                    least_full: need("least_full", request.least_full)?,
                },
                share_branches: need("share_branches", request.share_branches)?,
                plan: request.plan.clone(),
                strict: need("strict", request.strict)?,
                cache_limit: cache_limit(request.cache_limit.as_deref())?,
            })
        };
        let options: Self = options().map_err(one)?;
        if options.levels.nearest(options.floor) != options.floor {
            let expected = format!("0 or one of the levels {}", options.levels);
            return Err(one(Problem::new("floor", expected, options.floor)));
        }
        if options.thresholds.is_some() && (preset.build)().cuts().is_none() {
            let expected =
                format!("none, because {} does not choose by cut-offs as psa does", method.name);
            let got = request.thresholds.as_deref().unwrap_or_default();
            return Err(one(Problem::new("thresholds", expected, got)));
        }
        if options.plan.is_none() && options.needs_plan() {
            return Err(one(Problem::new(
                "plan",
                format!(
                    "a plan file, because {} chooses by what calibration found (tessera calibrate writes one)",
                    method.name
                ),
                "none",
            )));
        }
        Ok(Some(options))
    }

    /// The method with its numbers.
    pub fn policy(&self) -> Box<dyn Policy> {
        let policy = (self.preset.build)();
        let other = self.thresholds.as_ref().and_then(|ends| policy.with_ends(ends));
        other.unwrap_or(policy)
    }

    /// The token order of a layer.
    pub fn arrangement(&self, layer: usize) -> Arrangement {
        self.order.unwrap_or_else(|| (self.preset.build)().arrangement(layer))
    }

    /// Whose map a site of this policy uses. Heads in orders of their own share with no other layer.
    pub fn owner(&self, policy: &dyn Policy, site: Site, layers: usize) -> Site {
        let owner = match self.order.unwrap_or_else(|| policy.arrangement(site.layer)) {
            Arrangement::Calibrated => site,
            _ => policy.owner(site, layers),
        };
        if self.share_branches { Site { branch: Branch::Cond, ..owner } } else { owner }
    }

    /// Whether a calibration plan must be there.
    fn needs_plan(&self) -> bool {
        let policy = (self.preset.build)();
        self.arrangement(0) == Arrangement::Calibrated || policy.needs().plan
    }
}

fn or<T>(value: &mut Option<T>, default: impl FnOnce() -> T) {
    value.get_or_insert_with(default);
}

/// Settings of sparse attention that a request for dense attention names to no effect.
pub fn idle(request: &Request) -> Vec<&'static str> {
    let Ok(Value::Object(given)) = serde_json::to_value(request) else { return Vec::new() };
    let is_idle = |key: &str| key != "attention" && given.contains_key(key);
    let rows = SETTINGS.iter().filter(|setting| setting.section == Section::Sparsity);
    rows.map(|setting| setting.key).filter(|key| is_idle(key)).collect()
}

/// The method and preset of a request; `None` for dense attention.
fn chosen(request: &Request) -> Result<Option<(&'static Method, &'static Preset)>, Vec<Problem>> {
    let Some(name) = request.attention.as_deref() else { return Ok(None) };
    let names = || METHODS.iter().map(|method| method.name).collect::<Vec<_>>().join(", ");
    let Some(method) = registry::method(name) else {
        return Err(vec![Problem::new("attention", format!("one of {}", names()), name)]);
    };
    if method.presets.is_empty() {
        return Ok(None);
    }
    let wanted = request.preset.as_deref();
    method.preset(wanted).map(|preset| Some((method, preset))).ok_or_else(|| {
        let names: Vec<_> = method.presets.iter().map(|preset| preset.name).collect();
        let expected = format!("a preset of {name}: {}", names.join(", "));
        vec![Problem::new("preset", expected, wanted.unwrap_or_default())]
    })
}

/// The order of a preset's policy, when it is the same for all layers.
fn own_order(preset: &Preset, layers: usize) -> Option<Arrangement> {
    let policy = (preset.build)();
    let first = policy.arrangement(0);
    (1..layers).all(|layer| policy.arrangement(layer) == first).then_some(first)
}

fn need<T>(key: &str, value: Option<T>) -> Result<T, Problem> {
    value.ok_or_else(|| Problem::new(key, "a value", "none in a request that should be resolved"))
}

fn word<T: FromStr>(key: &str, value: Option<&str>) -> Result<T, Problem>
where
    T::Err: Display,
{
    let value = need(key, value)?;
    value.parse().map_err(|error: T::Err| Problem::new(key, error.to_string(), value))
}

fn given<T: FromStr>(key: &str, value: Option<&str>) -> Result<Option<T>, Problem>
where
    T::Err: Display,
{
    value.map(|value| word(key, Some(value))).transpose()
}

fn cache_limit(value: Option<&str>) -> Result<u64, Problem> {
    let value = need("cache_limit", value)?;
    parse_bytes(value).ok_or_else(|| Problem::new("cache_limit", "a size such as 2G", value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn psa(change: impl FnOnce(&mut Request)) -> Request {
        let mut request = Request { attention: Some("psa".into()), ..Request::default() };
        change(&mut request);
        request
    }

    fn told(request: &Request) -> String {
        let mut filled = request.clone();
        let problems =
            fill(&mut filled, 8).and_then(|()| Options::new(&filled).map(|_| ())).unwrap_err();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn what_is_left_open_comes_from_the_preset_and_what_is_given_wins() {
        let mut request = psa(|r| {
            r.floor = Some(7);
            r.refresh = Some("4".into());
        });
        fill(&mut request, 8).unwrap();
        assert_eq!(request.order.as_deref(), Some("gilbert"));
        assert_eq!((request.floor, request.refresh.as_deref()), (Some(7), Some("4")));
        assert_eq!(request.warmup.as_deref(), Some("30%"));
        assert_eq!(request.cache_limit.as_deref(), Some("2G"));
        let options = Options::new(&request).unwrap().unwrap();
        assert_eq!((options.method.name, options.cache_limit), ("psa", 2 << 30));
        assert_eq!(options.arrangement(3), Arrangement::Gilbert);
        let mut again = request.clone();
        fill(&mut again, 8).unwrap();
        assert_eq!(again, request, "a filled request fills to itself");
    }

    #[test]
    fn a_plan_says_the_order_where_a_preset_goes_by_it() {
        let order = |method: &str, order: Option<&str>, plan: Option<&str>| {
            let mut request = Request {
                attention: Some(method.into()),
                order: order.map(Into::into),
                plan: plan.map(Into::into),
                ..Request::default()
            };
            fill(&mut request, 8).unwrap();
            request.order.unwrap()
        };
        assert_eq!(order("tessera", None, None), "hfw");
        assert_eq!(order("tessera", None, Some("plan")), "calibrated");
        assert_eq!(order("tessera", Some("raster"), Some("plan")), "raster");
        assert_eq!(order("psa", None, Some("plan")), "gilbert");
    }

    #[test]
    fn dense_requests_stay_as_they_are() {
        for attention in [None, Some("dense".to_owned())] {
            let mut request =
                Request { attention, density: Some(0.2), strict: Some(true), ..Request::default() };
            let before = request.clone();
            fill(&mut request, 8).unwrap();
            assert_eq!(request, before);
            assert!(Options::new(&request).unwrap().is_none());
            assert_eq!(idle(&request), ["density", "strict"]);
        }
    }

    #[test]
    fn thresholds_are_for_methods_that_have_cut_offs() {
        let mut request = psa(|r| r.thresholds = Some("1:0.3,4:0.9".into()));
        fill(&mut request, 8).unwrap();
        let options = Options::new(&request).unwrap().unwrap();
        assert_eq!(options.policy().cuts().unwrap().ends.as_slice(), [(1, 0.3), (4, 0.9)]);
        let without = Options { thresholds: None, ..options };
        assert_eq!(without.policy().cuts().unwrap().ends.to_string(), "1:0.4,2:0.5,3:0.6,4:0.8");
        let wrong = psa(|r| {
            r.attention = Some("tessera".into());
            r.thresholds = Some("1:0.3".into());
        });
        assert!(told(&wrong).starts_with("thresholds: expected none, because tessera"));
    }

    #[test]
    fn wrong_names_and_missing_files_are_told_with_what_there_is() {
        let wrong = psa(|r| r.preset = Some("none".into()));
        assert!(told(&wrong).starts_with("preset: expected a preset of psa: "), "{}", told(&wrong));
        let wrong = psa(|r| r.order = Some("calibrated".into()));
        assert!(told(&wrong).starts_with("plan: expected a plan file"), "{}", told(&wrong));
        let wrong = Request { attention: Some("sparce".into()), ..Request::default() };
        assert!(told(&wrong).starts_with("attention: expected one of dense, "), "{}", told(&wrong));
    }
}

//! scheduler/scheduler_config.json: the sampler a checkpoint was made for, and its noise schedule (wan.md §4.1).

use serde::{Deserialize, Serialize};

use super::Config;
use crate::problems::Problem;

/// The scheduler classes of diffusers that a checkpoint may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchedulerClass {
    /// `UniPCMultistepScheduler`.
    UniPc,
    /// `FlowMatchEulerDiscreteScheduler`.
    FlowMatchEuler,
    /// `DPMSolverMultistepScheduler`.
    DpmSolver,
}

/// Their names in model_index.json and in `_class_name`.
pub(crate) const CLASSES: [&str; 3] =
    ["UniPCMultistepScheduler", "FlowMatchEulerDiscreteScheduler", "DPMSolverMultistepScheduler"];

/// A flow-matching scheduler. Most fields are here to be checked: one value of them is supported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "the file format has them")]
pub struct SchedulerConfig {
    /// The class that the file configures; UniPC when it does not say.
    #[serde(rename = "_class_name")]
    pub class_name: Option<String>,
    /// Training steps: the model sees timesteps from 0 to this.
    pub num_train_timesteps: usize,
    /// Shift of the noise schedule, for the multistep classes.
    pub flow_shift: f64,
    /// Shift of the noise schedule, for the Euler class.
    pub shift: f64,
    /// Noise level that the last step is stretched to, when set.
    pub shift_terminal: Option<f64>,
    /// Order of the multistep solvers: 1 or 2.
    pub solver_order: usize,
    /// Steps after which UniPC does not correct.
    pub disable_corrector: Vec<usize>,
    /// Kind of multistep solver: "bh2" for UniPC, "midpoint" for DPM-Solver.
    pub solver_type: Option<String>,
    /// Kind of DPM-Solver: "dpmsolver++".
    pub algorithm_type: String,
    /// What the model predicts: "flow_prediction".
    pub prediction_type: String,
    /// The last noise level: "zero".
    pub final_sigmas_type: String,
    /// The flow schedule is in use: true.
    pub use_flow_sigmas: bool,
    /// UniPC in its x0 form: true.
    pub predict_x0: bool,
    /// The last step is of first order: true.
    pub lower_order_final: bool,
    /// A shift that depends on the clip's size: false.
    pub use_dynamic_shifting: bool,
    /// Another noise schedule: false.
    pub use_karras_sigmas: bool,
    /// Another noise schedule: false.
    pub use_exponential_sigmas: bool,
    /// Another noise schedule: false.
    pub use_beta_sigmas: bool,
    /// Another noise schedule: false.
    pub use_lu_lambdas: bool,
    /// Noise levels counted from the other end: false.
    pub invert_sigmas: bool,
    /// Fresh noise at each step: false.
    pub stochastic_sampling: bool,
    /// Clipping of the prediction: false.
    pub thresholding: bool,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self {
            class_name: None,
            num_train_timesteps: 1000,
            flow_shift: 1.0,
            shift: 1.0,
            shift_terminal: None,
            solver_order: 2,
            disable_corrector: Vec::new(),
            solver_type: None,
            algorithm_type: "dpmsolver++".to_owned(),
            prediction_type: "epsilon".to_owned(),
            final_sigmas_type: "zero".to_owned(),
            use_flow_sigmas: false,
            predict_x0: true,
            lower_order_final: true,
            use_dynamic_shifting: false,
            use_karras_sigmas: false,
            use_exponential_sigmas: false,
            use_beta_sigmas: false,
            use_lu_lambdas: false,
            invert_sigmas: false,
            stochastic_sampling: false,
            thresholding: false,
        }
    }
}

impl SchedulerConfig {
    /// The class that the file configures.
    pub fn class(&self) -> SchedulerClass {
        match self.class_name.as_deref() {
            Some("FlowMatchEulerDiscreteScheduler") => SchedulerClass::FlowMatchEuler,
            Some("DPMSolverMultistepScheduler") => SchedulerClass::DpmSolver,
            _ => SchedulerClass::UniPc,
        }
    }

    /// The shift of the noise schedule, under whichever name the class gives it.
    pub fn default_shift(&self) -> f64 {
        match self.class() {
            SchedulerClass::FlowMatchEuler => self.shift,
            SchedulerClass::UniPc | SchedulerClass::DpmSolver => self.flow_shift,
        }
    }
}

impl Config for SchedulerConfig {
    const CLASS: (&'static str, &'static [&'static str]) = ("_class_name", &CLASSES);
    const IGNORED: &'static [&'static str] = &[
        "base_image_seq_len",
        "base_shift",
        "beta_end",
        "beta_schedule",
        "beta_start",
        "dynamic_thresholding_ratio",
        "euler_at_final",
        "lambda_min_clipped",
        "max_image_seq_len",
        "max_shift",
        "rescale_betas_zero_snr",
        "sample_max_value",
        "sigma_max",
        "sigma_min",
        "solver_p",
        "steps_offset",
        "time_shift_type",
        "timestep_spacing",
        "trained_betas",
        "variance_type",
    ];

    fn problems(&self, file: &str) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut flag = |name: &str, value: bool, only: bool, advice: &str| {
            if value != only {
                let problem = Problem::new(file, name, only.to_string(), value.to_string());
                found.push(problem.advice(advice));
            }
        };
        let schedule = "only the plain flow schedule is supported";
        flag("use_dynamic_shifting", self.use_dynamic_shifting, false, schedule);
        flag("use_karras_sigmas", self.use_karras_sigmas, false, schedule);
        flag("use_exponential_sigmas", self.use_exponential_sigmas, false, schedule);
        flag("use_beta_sigmas", self.use_beta_sigmas, false, schedule);
        flag("use_lu_lambdas", self.use_lu_lambdas, false, schedule);
        flag("invert_sigmas", self.invert_sigmas, false, schedule);
        flag("stochastic_sampling", self.stochastic_sampling, false, "");
        flag("thresholding", self.thresholding, false, "");
        let class = self.class();
        if class != SchedulerClass::FlowMatchEuler {
            // The class defaults are those of image models, so silence is refused too.
            let flow = "only flow-matching checkpoints are supported";
            flag("use_flow_sigmas", self.use_flow_sigmas, true, flow);
            flag("predict_x0", self.predict_x0, true, "");
            flag("lower_order_final", self.lower_order_final, true, "");
            let kind = if class == SchedulerClass::UniPc { "bh2" } else { "midpoint" };
            let words = [
                ("prediction_type", self.prediction_type.as_str(), "flow_prediction"),
                ("final_sigmas_type", &self.final_sigmas_type, "zero"),
                ("algorithm_type", &self.algorithm_type, "dpmsolver++"),
                ("solver_type", self.solver_type.as_deref().unwrap_or(kind), kind),
            ];
            for (name, value, only) in words {
                if value != only {
                    found.push(Problem::new(file, name, only, value));
                }
            }
        }
        if !(1..=2).contains(&self.solver_order) {
            found.push(Problem::new(file, "solver_order", "1 or 2", self.solver_order.to_string()));
        }
        if self.num_train_timesteps == 0 {
            found.push(Problem::new(file, "num_train_timesteps", "at least 1", "0"));
        }
        let shifts = [("flow_shift", self.flow_shift), ("shift", self.shift)];
        for (name, value) in shifts {
            if !(0.01..=100.0).contains(&value) {
                found.push(Problem::new(file, name, "from 0.01 to 100", value.to_string()));
            }
        }
        if let Some(value) = self.shift_terminal
            && !(0.0..1.0).contains(&value)
        {
            let got = value.to_string();
            found.push(Problem::new(file, "shift_terminal", "null, or from 0 to below 1", got));
        }
        found
    }
}

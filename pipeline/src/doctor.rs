//! What works here and what does not, found by trying: encoders are opened, folders are written to, the model is read.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use tessera_models::folder::ModelFolder;

use crate::machine::{Driver, Gpu, GpuReading, Machine, open};
use crate::{bundled, files, history, video};

/// Everything that was tried.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// This program's version.
    pub program: String,
    /// Memory, cores, kernels, GPUs.
    pub machine: Machine,
    /// What NVIDIA's driver tells, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nvidia: Option<Driver>,
    /// Whether this build can use CUDA at all.
    pub has_cuda: bool,
    /// Every codec.
    pub encoders: Vec<Codec>,
    /// Version of the linked FFmpeg.
    pub ffmpeg: String,
    /// The bundled model.
    pub model: Finding,
    /// Where the history is kept.
    pub data_dir: Finding,
}

/// A codec and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Codec {
    /// Its name in settings.
    pub codec: String,
    /// The encoder that will be used; `None` when none works.
    pub encoder: Option<String>,
    /// Why others do not work.
    pub problems: Vec<String>,
}

/// A path that is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where it is, or should be.
    pub path: Option<PathBuf>,
    /// What is wrong; `None` when nothing is.
    pub problem: Option<String>,
}

impl Report {
    /// Whether a clip can be made here.
    pub fn is_well(&self) -> bool {
        self.model.problem.is_none() && self.encoders.iter().any(|codec| codec.encoder.is_some())
    }
}

/// Tries everything; takes about a second.
pub fn doctor() -> Report {
    let encoders = video::probe().into_iter().map(|status| Codec {
        codec: status.codec.name().into(),
        encoder: status.encoder.map(Into::into),
        problems: status
            .attempts
            .iter()
            .filter_map(|(name, problem)| Some(format!("{name}: {}", problem.as_ref()?)))
            .collect(),
    });
    Report {
        program: crate::receipt::program(),
        machine: machine(),
        nvidia: Driver::ask(),
        has_cuda: cfg!(feature = "cuda"),
        encoders: encoders.collect(),
        ffmpeg: ffmpeg_version(),
        model: model(),
        data_dir: data_dir(),
    }
}

/// The machine with its GPUs opened, so that what is free of them is known.
fn machine() -> Machine {
    let seen = Machine::detect();
    for gpu in &seen.gpus {
        if let Err(error) = open(&gpu.device) {
            tracing::warn!("{}: {error}", gpu.device);
        }
    }
    if seen.gpus.is_empty() { seen } else { Machine::detect() }
}

fn model() -> Finding {
    match bundled::model() {
        Ok(path) => {
            let problem = ModelFolder::open(&path).err().map(|error| error.to_string());
            Finding { path: Some(path), problem }
        }
        Err(error) => Finding { path: None, problem: Some(error.to_string()) },
    }
}

fn data_dir() -> Finding {
    let Some(path) = history::data_dir() else {
        let problem =
            format!("there is no home folder; set {} to keep a history", history::DATA_VARIABLE);
        return Finding { path: None, problem: Some(problem) };
    };
    let tried = std::fs::create_dir_all(&path)
        .map_err(|error| error.to_string())
        .and_then(|()| files::check_writable(&path, 1 << 20).map_err(|error| error.to_string()));
    Finding { path: Some(path), problem: tried.err() }
}

/// The version of libavcodec as FFmpeg numbers it.
fn ffmpeg_version() -> String {
    let version = ffmpeg_next::codec::version();
    format!("libavcodec {}.{}.{}", version >> 16, (version >> 8) & 255, version & 255)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = crate::plan::bytes;
        let memory = &self.machine.memory;
        writeln!(
            f,
            "program    {}{}",
            self.program,
            if self.has_cuda { ", with CUDA" } else { ", without CUDA" }
        )?;
        writeln!(f, "cpu        {} cores, {} kernels", self.machine.cores, self.machine.kernels)?;
        let limit =
            memory.limit.map_or_else(String::new, |limit| format!(", limited to {}", bytes(limit)));
        writeln!(
            f,
            "memory     {} of {} available{limit}",
            bytes(memory.available),
            bytes(memory.total)
        )?;
        if let Some(why) = &self.machine.no_gpu {
            writeln!(f, "gpu        none: {why}")?;
        }
        for gpu in &self.machine.gpus {
            writeln!(f, "gpu        {}", line(gpu, self.machine.driver.as_deref()))?;
        }
        for (driver, gpu) in self.nvidia.iter().flat_map(|d| d.gpus.iter().map(move |gpu| (d, gpu)))
        {
            writeln!(f, "driver     NVIDIA {}: {}", driver.version, load(gpu))?;
        }
        writeln!(f, "ffmpeg     {}", self.ffmpeg)?;
        for codec in &self.encoders {
            match &codec.encoder {
                Some(encoder) => writeln!(f, "  {:<8} by {encoder}", codec.codec)?,
                None => {
                    writeln!(f, "  {:<8} not here: {}", codec.codec, codec.problems.join("; "))?;
                }
            }
        }
        for (what, finding) in [("model", &self.model), ("data", &self.data_dir)] {
            let path =
                finding.path.as_ref().map_or_else(|| "-".into(), |path| path.display().to_string());
            match &finding.problem {
                None => writeln!(f, "{what:<11}{path}")?,
                Some(problem) => writeln!(f, "{what:<11}{path}: {problem}")?,
            }
        }
        Ok(())
    }
}

/// "NVIDIA H200, 3 % busy, 0.6 GB of 150.8 GB in use".
fn load(gpu: &GpuReading) -> String {
    let bytes = crate::plan::bytes;
    let busy = gpu.busy.map_or_else(String::new, |busy| format!(", {:.0} % busy", busy * 100.0));
    format!("{}{busy}, {} of {} in use", gpu.name, bytes(gpu.used_bytes), bytes(gpu.total_bytes))
}

/// "cuda:0 NVIDIA H200, sm_90, 149.6 GB of 150.1 GB free, driver for CUDA 13.0; attention D=64 by …".
fn line(gpu: &Gpu, driver: Option<&str>) -> String {
    let bytes = crate::plan::bytes;
    let memory = match gpu.free_bytes {
        Some(free) => format!("{} of {} free", bytes(free), bytes(gpu.total_bytes)),
        None => format!("{}, but it could not be opened", bytes(gpu.total_bytes)),
    };
    let attention = gpu.attention.iter().map(|head| match &head.kernel {
        Some(kernel) => format!("D={} by {kernel}", head.head_width),
        None => format!(
            "D={} by candle's operations, slowly: kernels of ours need sm_80 or later",
            head.head_width
        ),
    });
    format!(
        "{} {}, sm_{}, {memory}, driver for CUDA {}; attention {}",
        gpu.device,
        gpu.name,
        gpu.capability.replace('.', ""),
        driver.unwrap_or("unknown"),
        attention.collect::<Vec<_>>().join(", ")
    )
}

//! One of the clips that are compared: where it comes from, and what is known of it without its pictures.

use std::path::{Path, PathBuf};

use tessera_pipeline::inspect;
use tessera_pipeline::plan::files;
use tessera_pipeline::receipt::Receipt;
use tessera_pipeline::request::Request;

/// Names a clip while the window is open; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClipId(pub(crate) u64);

/// A clip that is to be compared.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Source {
    /// Its file, or a folder of pictures.
    pub(crate) path: PathBuf,
    /// What it is called here.
    pub(crate) name: String,
}

impl Source {
    /// A file under its own name.
    pub(crate) fn file(path: &Path) -> Self {
        let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Self { path: path.to_path_buf(), name }
    }
}

/// What is beside a clip's pictures: its settings, and the receipt of the run that made it. Foreign clips have neither.
#[derive(Debug, Clone, Default)]
pub(crate) struct Papers {
    /// The settings.
    pub(crate) request: Option<Box<Request>>,
    /// What really ran.
    pub(crate) receipt: Option<Box<Receipt>>,
}

impl Papers {
    /// Reads what there is.
    pub(crate) fn of(path: &Path) -> Self {
        if let Ok(receipt) = Receipt::read(&files::sidecar_of(path)) {
            return Self {
                request: Some(Box::new(receipt.request.clone())),
                receipt: Some(Box::new(receipt)),
            };
        }
        let report = inspect::inspect(path).ok();
        let request = report.and_then(|report| report.request().cloned());
        Self { request: request.map(Box::new), receipt: None }
    }
}

/// What a clip's file told when it was opened.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    /// Pixels in a row, rows.
    pub(crate) size: [usize; 2],
    /// Frames by the file's own account.
    pub(crate) announced: Option<usize>,
    /// What is beside the pictures.
    pub(crate) papers: Papers,
}

/// One of the clips.
#[derive(Debug, Clone)]
pub(crate) struct Clip {
    /// Its name for the program.
    pub(crate) id: ClipId,
    /// Its name for people, and its file.
    pub(crate) source: Source,
    /// What was read; `None` until it was opened.
    pub(crate) opened: Option<Opened>,
    /// Frames from the start that have been decoded at least once.
    pub(crate) decoded: usize,
    /// Frames in all, once its end was reached.
    pub(crate) ended_at: Option<usize>,
    /// Frames shown in a second, once two have told.
    pub(crate) fps: Option<f64>,
    /// Why it cannot be read, or not to its end.
    pub(crate) error: Option<String>,
}

impl Clip {
    /// One of which nothing is known.
    pub(crate) fn new(id: ClipId, source: Source) -> Self {
        Self { id, source, opened: None, decoded: 0, ended_at: None, fps: None, error: None }
    }

    /// Pixels in a row, rows.
    pub(crate) fn size(&self) -> Option<[usize; 2]> {
        self.opened.as_ref().map(|opened| opened.size)
    }

    /// Frames in all: as counted, else as announced, else as far as it was decoded.
    pub(crate) fn frames(&self) -> usize {
        let announced = self.opened.as_ref().and_then(|opened| opened.announced);
        self.ended_at.or(announced).unwrap_or(self.decoded)
    }

    /// Its settings.
    pub(crate) fn request(&self) -> Option<&Request> {
        self.opened.as_ref()?.papers.request.as_deref()
    }

    /// What really ran.
    pub(crate) fn receipt(&self) -> Option<&Receipt> {
        self.opened.as_ref()?.papers.receipt.as_deref()
    }

    /// Whether it has no pictures at all.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.error.is_some() && self.frames() == 0
    }
}

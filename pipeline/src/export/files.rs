//! Many arrays in one file.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, View};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::array::{Array, Values};
use super::{Format, create, writing};
use crate::{Error, Result};

/// A file of arrays; it is there once the first array is.
pub(super) struct Pack {
    name: String,
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    /// A zip of .npy files, stored as they are.
    Npz(Option<Box<ZipWriter<BufWriter<File>>>>),
    /// Its header stands before all arrays, so they wait until they are all known.
    Safetensors(Vec<Array>),
}

impl Pack {
    /// The file `name` in `folder`.
    pub(super) fn new(format: Format, name: String, folder: &Path) -> Self {
        let kind = match format {
            Format::Safetensors => Kind::Safetensors(Vec::new()),
            _ => Kind::Npz(None),
        };
        Self { path: folder.join(&name), name, kind }
    }

    pub(super) fn add(&mut self, array: Array) -> Result<()> {
        let path = &self.path;
        let zip = match &mut self.kind {
            Kind::Safetensors(arrays) => {
                arrays.push(array);
                return Ok(());
            }
            Kind::Npz(Some(zip)) => zip,
            Kind::Npz(none) => {
                let file = File::create(path).map_err(writing(path))?;
                none.insert(Box::new(ZipWriter::new(BufWriter::new(file))))
            }
        };
        let bytes = array.bytes();
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(bytes.len() >= 1 << 31);
        let failed = |error: zip::result::ZipError| writing(path)(error.into());
        zip.start_file(format!("{}.npy", array.name), options).map_err(failed)?;
        zip.write_all(&array.npy_header()).map_err(writing(path))?;
        zip.write_all(&bytes).map_err(writing(path))
    }

    /// Completes the file; `None` when there was nothing to write.
    pub(super) fn finish(self) -> Result<Option<PathBuf>> {
        let path = &self.path;
        match self.kind {
            Kind::Npz(None) => return Ok(None),
            Kind::Npz(Some(zip)) => {
                let out = zip.finish().map_err(|error| writing(path)(error.into()))?;
                let file = out.into_inner().map_err(|error| writing(path)(error.into_error()))?;
                file.sync_all().map_err(writing(path))?;
            }
            Kind::Safetensors(arrays) if arrays.is_empty() => return Ok(None),
            Kind::Safetensors(arrays) => {
                let named = arrays.iter().map(|array| (array.name.as_str(), array));
                let bytes = safetensors::serialize(named, None).map_err(|error| {
                    Error::Unreadable { what: self.name.clone(), reason: error.to_string() }
                })?;
                create(path, |out| out.write(&bytes))?;
            }
        }
        Ok(Some(self.name.into()))
    }
}

impl View for &Array {
    fn dtype(&self) -> Dtype {
        match self.values {
            Values::U8(_) => Dtype::U8,
            Values::U32(_) => Dtype::U32,
            Values::F32(_) => Dtype::F32,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.bytes()
    }

    fn data_len(&self) -> usize {
        match &self.values {
            Values::U8(values) => values.len(),
            Values::U32(values) => 4 * values.len(),
            Values::F32(values) => 4 * values.len(),
        }
    }
}

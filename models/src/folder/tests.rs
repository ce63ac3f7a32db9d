use std::path::{Path, PathBuf};
/// The bundled checkpoint.
pub(crate) fn toybox() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/toybox/checkpoint")
}

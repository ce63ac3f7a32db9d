//! The same clip again, as good as its model makes it: what one does with the best of several quick ones.

use std::path::{Path, PathBuf};

use tessera_models::folder::ModelFolder;

use super::{defaults, files};
use crate::request::Request;
use crate::{Result, bundled};

/// The request of a clip with as many steps as suit its model, or its own where those are more. What was named keeps its folder,
/// name and ending, with a number where the name is taken: no file of the first clip is written over.
pub fn full_steps(request: &Request) -> Result<Request> {
    let path = request.model.clone().map_or_else(bundled::model, Ok)?;
    let most = defaults::of(&ModelFolder::open(&path)?).steps;
    let steps = Some(request.steps.map_or(most, |steps| steps.max(most)));
    let (out, record) = (another(request.out.as_deref()), another(request.record.as_deref()));
    Ok(Request { steps, count: None, out, record, ..request.clone() })
}

fn another(path: Option<&Path>) -> Option<PathBuf> {
    path.map(|path| if files::is_folder(path) { path.to_path_buf() } else { files::free(path) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_only_grow_and_files_keep_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        let clip = folder.path().join("ball.webm");
        crate::files::write_atomically(&clip, |_| Ok(())).unwrap();
        let of = |steps: Option<u32>, out: &Path| {
            let request = Request { steps, out: Some(out.into()), ..Request::default() };
            let again = full_steps(&request).unwrap();
            (again.steps, again.out.unwrap())
        };
        let second = folder.path().join("ball-2.webm");
        assert_eq!(of(Some(4), &clip), (Some(20), second.clone()));
        assert_eq!(of(None, &second), (Some(20), second));
        assert_eq!(of(Some(35), folder.path()), (Some(35), folder.path().to_path_buf()));
    }
}

//! What the graphics device has: one texture a clip and one for a picture of two, all of the same frame.
//!
//! All pictures of a frame change together or not at all: until the last of them is at hand the frame before stays.

use std::collections::BTreeMap;
use std::sync::Arc;

use eframe::egui::{ColorImage, Context, TextureFilter, TextureHandle, TextureOptions};

use super::blend::Key;
use super::clip::ClipId;

/// Pixels are told apart when they are large; many in one point are mixed.
const OPTIONS: TextureOptions =
    TextureOptions { magnification: TextureFilter::Nearest, ..TextureOptions::LINEAR };

/// The textures.
#[derive(Default)]
pub(crate) struct Textures {
    clips: BTreeMap<ClipId, (TextureHandle, usize)>,
    blend: Option<(TextureHandle, Key)>,
    uploads: u64,
}

impl Textures {
    /// Shows a frame of a clip.
    pub(crate) fn show(
        &mut self,
        ctx: &Context,
        id: ClipId,
        frame: usize,
        picture: &Arc<ColorImage>,
    ) {
        match self.clips.get_mut(&id) {
            Some((_, shown)) if *shown == frame => return,
            Some((texture, shown)) => {
                texture.set(Arc::clone(picture), OPTIONS);
                *shown = frame;
            }
            None => {
                let texture =
                    ctx.load_texture(format!("clip {}", id.0), Arc::clone(picture), OPTIONS);
                self.clips.insert(id, (texture, frame));
            }
        }
        self.uploads += 1;
    }

    /// Shows a picture of two.
    pub(crate) fn show_blend(&mut self, ctx: &Context, key: Key, picture: &Arc<ColorImage>) {
        match &mut self.blend {
            Some((_, shown)) if *shown == key => return,
            Some((texture, shown)) => {
                texture.set(Arc::clone(picture), OPTIONS);
                *shown = key;
            }
            None => {
                let texture = ctx.load_texture("picture of two", Arc::clone(picture), OPTIONS);
                self.blend = Some((texture, key));
            }
        }
        self.uploads += 1;
    }

    /// Gives up the textures of clips that are gone.
    pub(crate) fn retain(&mut self, is_there: impl Fn(ClipId) -> bool) {
        self.clips.retain(|id, _| is_there(*id));
    }

    /// The texture of a clip and its frame.
    pub(crate) fn of(&self, id: ClipId) -> Option<(&TextureHandle, usize)> {
        self.clips.get(&id).map(|(texture, frame)| (texture, *frame))
    }

    /// The texture of this picture of two, if that is the one that was handed over last.
    pub(crate) fn blend(&self, key: Key) -> Option<&TextureHandle> {
        self.blend.as_ref().filter(|(_, shown)| *shown == key).map(|(texture, _)| texture)
    }

    /// How often a picture was handed over.
    #[cfg(test)]
    pub(crate) fn uploads(&self) -> u64 {
        self.uploads
    }
}

//! The clip on the screen: which frame is shown, and the one texture that shows it.
//!
//! The texture is written only when the frame or the film is another one. While a film plays the next repaint is asked for at the
//! time of its next frame and no sooner; a film that is held asks for none.

use std::sync::Arc;
use std::time::Duration;

use eframe::egui::{ColorImage, Context, TextureHandle, TextureOptions};
use tessera_pipeline::events::JobId;
use tessera_pipeline::preview::Preview;

/// Pictures in their order.
#[derive(Debug, Clone)]
pub(crate) struct Film {
    /// What it is of.
    pub(crate) source: Source,
    /// Pixels in a row, rows.
    pub(crate) size: [usize; 2],
    /// Packed RGB of each frame.
    pub(crate) frames: Vec<Arc<[u8]>>,
    /// Frames shown in a second at normal speed.
    pub(crate) fps: f64,
}

/// What a film is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The clip as predicted after a step.
    Preview { job: JobId, step: u64 },
    /// The finished clip.
    Clip { job: JobId },
    /// Frames of a recorded run; the number tells them from others.
    Recorded { serial: u64 },
}

impl Film {
    /// A preview as a film: a picture a latent frame, so that it lasts as long as the clip will. `seconds` is how long that is.
    pub(crate) fn of_preview(preview: &Preview, seconds: f64) -> Self {
        let bytes = preview.width * preview.height * 3;
        Self {
            source: Source::Preview { job: preview.job, step: preview.step },
            size: [preview.width, preview.height],
            frames: preview.rgb.chunks_exact(bytes.max(1)).map(Arc::from).collect(),
            fps: preview.frames as f64 / seconds.max(0.1),
        }
    }
}

/// Speeds from slowest to fastest.
const SPEEDS: [f64; 6] = [0.125, 0.25, 0.5, 1.0, 2.0, 4.0];

/// Plays one film.
pub(crate) struct Player {
    film: Option<Film>,
    /// In frames, with the part of a frame that has passed.
    position: f64,
    /// When the position was last moved on, in egui's time.
    moved_at: Option<f64>,
    /// Whether it moves.
    pub(crate) is_playing: bool,
    /// Whether it starts again at the end.
    pub(crate) repeats: bool,
    speed: usize,
    texture: Option<TextureHandle>,
    shown: Option<(Source, usize)>,
    uploads: u64,
}

impl Default for Player {
    fn default() -> Self {
        Self {
            film: None,
            position: 0.0,
            moved_at: None,
            is_playing: true,
            repeats: true,
            speed: 3,
            texture: None,
            shown: None,
            uploads: 0,
        }
    }
}

impl Player {
    /// One that waits to be played.
    pub(crate) fn held() -> Self {
        Self { is_playing: false, ..Self::default() }
    }

    /// Puts a film on the screen, or clears it. Where it stands stays the same share of the whole, so that the previews of one
    /// run and its clip go on from one to the next.
    pub(crate) fn show(&mut self, film: Option<Film>) {
        let share = match &self.film {
            Some(old) => self.position / old.frames.len().max(1) as f64,
            None => 0.0,
        };
        self.film = film.filter(|film| !film.frames.is_empty());
        self.position = self.film.as_ref().map_or(0.0, |film| share * film.frames.len() as f64);
    }

    /// What is on the screen.
    pub(crate) fn film(&self) -> Option<&Film> {
        self.film.as_ref()
    }

    /// The frame that is shown, from 0.
    pub(crate) fn frame(&self) -> usize {
        let last = self.film.as_ref().map_or(0, |film| film.frames.len() - 1);
        (self.position.max(0.0) as usize).min(last)
    }

    /// Goes to a frame; beyond an end is the end, or the other one when it repeats.
    pub(crate) fn seek(&mut self, frame: isize) {
        let Some(film) = &self.film else { return };
        let count = film.frames.len() as isize;
        let to = if self.repeats { frame.rem_euclid(count) } else { frame.clamp(0, count - 1) };
        self.position = to as f64;
    }

    /// How fast it plays; 1 is normal.
    pub(crate) fn speed(&self) -> f64 {
        SPEEDS[self.speed]
    }

    /// Plays faster by so many notches, or slower when negative.
    pub(crate) fn change_speed(&mut self, notches: isize) {
        self.speed = self.speed.saturating_add_signed(notches).min(SPEEDS.len() - 1);
    }

    /// The picture, once there is one.
    pub(crate) fn texture(&self) -> Option<&TextureHandle> {
        self.texture.as_ref().filter(|_| self.film.is_some())
    }

    /// The frame that is shown, pixel for pixel.
    pub(crate) fn picture(&self) -> Option<ColorImage> {
        let film = self.film.as_ref()?;
        Some(ColorImage::from_rgb(film.size, film.frames.get(self.frame())?))
    }

    /// How often a picture was sent to the graphics device.
    #[cfg(test)]
    pub(crate) fn uploads(&self) -> u64 {
        self.uploads
    }

    /// Moves on to the time of this frame of the window, and sees to the texture. While previews rest they stand still and ask
    /// for nothing; a clip goes on, because somebody chose to watch it.
    pub(crate) fn tick(&mut self, ctx: &Context, previews_rest: bool) {
        let now = ctx.input(|input| input.time);
        let passed = self.moved_at.replace(now).map_or(0.0, |then| (now - then).max(0.0));
        let Some(film) = &self.film else {
            (self.shown, self.moved_at) = (None, None);
            return;
        };
        let count = film.frames.len() as f64;
        let rate = film.fps * self.speed();
        let rests = previews_rest && matches!(film.source, Source::Preview { .. });
        let is_moving = self.is_playing && count > 1.0 && !rests;
        if is_moving {
            // Half a second without a frame is a window that slept, not time that was watched.
            self.position += passed.min(0.5) * rate;
            if self.repeats {
                self.position %= count;
            } else if self.position >= count {
                (self.position, self.is_playing) = (count - 1.0, false);
            }
        }
        if is_moving && self.is_playing {
            let left = (self.position.floor() + 1.0 - self.position) / rate;
            ctx.request_repaint_after(Duration::from_secs_f64(left.clamp(0.005, 1.0)));
        } else {
            self.moved_at = None;
        }
        self.upload(ctx);
    }

    fn upload(&mut self, ctx: &Context) {
        let frame = self.frame();
        let Some(film) = &self.film else { return };
        if self.shown == Some((film.source, frame)) {
            return;
        }
        let image = ColorImage::from_rgb(film.size, &film.frames[frame]);
        match &mut self.texture {
            Some(texture) => texture.set(image, TextureOptions::LINEAR),
            None => self.texture = Some(ctx.load_texture("screen", image, TextureOptions::LINEAR)),
        }
        self.shown = Some((film.source, frame));
        self.uploads += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn film(frames: usize) -> Film {
        Film {
            source: Source::Clip { job: JobId(1) },
            size: [1, 1],
            frames: vec![Arc::from([0u8, 0, 0].as_slice()); frames],
            fps: 16.0,
        }
    }

    #[test]
    fn a_preview_lasts_as_long_as_its_clip() {
        let rgb: Arc<[u8]> = Arc::from((0..9 * 2 * 2 * 3).map(|n| n as u8).collect::<Vec<_>>());
        let preview =
            Preview { job: JobId(1), step: 4, of: 20, frames: 9, width: 2, height: 2, rgb };
        let film = Film::of_preview(&preview, 33.0 / 16.0);
        assert_eq!(film.frames.len(), 9);
        assert_eq!(film.frames[1][0], 12);
        assert!((film.frames.len() as f64 / film.fps - 33.0 / 16.0).abs() < 1e-9);
    }

    #[test]
    fn the_place_in_the_clip_survives_a_sharper_film() {
        let mut player = Player::default();
        player.show(Some(film(9)));
        player.seek(3);
        player.show(Some(film(33)));
        assert_eq!(player.frame(), 11);
        player.seek(-1);
        assert_eq!(player.frame(), 32);
        player.repeats = false;
        player.seek(40);
        assert_eq!(player.frame(), 32);
    }

    #[test]
    fn a_held_film_uploads_once_and_asks_for_nothing() {
        let ctx = Context::default();
        let mut player = Player { is_playing: false, ..Player::default() };
        player.show(Some(film(3)));
        for _ in 0..3 {
            player.tick(&ctx, false);
        }
        assert_eq!(player.uploads(), 1);
        player.seek(1);
        player.tick(&ctx, false);
        assert_eq!(player.uploads(), 2);
    }
}

//! Frames: what the workers are asked for, what they tell, and which frame is seen.

use std::sync::Arc;

use eframe::egui::{ColorImage, Context, TextureHandle};

use super::blend::{Job, Key};
use super::clip::{Clip, ClipId};
use super::{Compare, Mode, alignment, keep, reel, scores};

/// Bytes of a decoded pixel.
const PIXEL: usize = 4;
/// Pictures of two that are made ahead of the playhead.
const AHEAD: usize = 8;

impl Compare {
    /// What the decoder is to be asked, when that is something new.
    pub(super) fn ask(&mut self) -> Option<reel::Ask> {
        let clips = self.clips.iter().map(|clip| (clip.id, clip.source.path.clone())).collect();
        let ask = reel::Ask { clips, stretch: self.stretch() };
        (self.asked.as_ref() != Some(&ask)).then_some(ask)
    }

    /// Remembers what the decoder was asked, and drops what it drops.
    pub(super) fn was_asked(&mut self, ask: reel::Ask) {
        for shelf in self.shelves.values_mut() {
            shelf.retain(|index, _| ask.stretch.contains(index));
        }
        self.asked = Some(ask);
    }

    /// The frames that are to be at hand.
    fn stretch(&self) -> std::ops::Range<usize> {
        let readable = || self.clips.iter().filter(|clip| !clip.is_unreadable());
        if readable().any(|clip| clip.opened.is_none()) {
            return 0..1; // how large they are tells the first frame
        }
        let is_counted = |clip: &Clip| {
            clip.ended_at.or(clip.opened.as_ref().and_then(|opened| opened.announced)).is_some()
        };
        let frames = if readable().all(is_counted) { self.frames() } else { usize::MAX };
        let bytes: usize =
            readable().filter_map(Clip::size).map(|[width, height]| width * height * PIXEL).sum();
        let playhead = self.transport.frame(self.frames());
        keep::stretch(playhead, self.transport.is_forward, frames, bytes, keep::MOST_BYTES)
    }

    /// Takes in what the decoder told; the error is for people.
    pub(super) fn take(&mut self, told: reel::Told, most_side: usize) -> Result<(), String> {
        let asked = self.asked.as_ref().map(|ask| ask.stretch.clone()).unwrap_or_default();
        let (reel::Told::Opened(id, _)
        | reel::Told::Frame(id, ..)
        | reel::Told::Ended(id, _)
        | reel::Told::Failed(id, ..)) = &told;
        let Some(clip) = self.clips.iter_mut().find(|clip| clip.id == *id) else { return Ok(()) };
        match told {
            reel::Told::Opened(_, opened) => {
                let [width, height] = opened.size;
                clip.opened = Some(*opened);
                if width.max(height) > most_side {
                    return Err(clip.fail(0, &format!(
                        "its pictures of {width}×{height} are larger than the {most_side} a side that this graphics device shows"
                    )));
                }
            }
            reel::Told::Frame(id, index, picture, seconds) => {
                clip.decoded = clip.decoded.max(index + 1);
                if let Some(seconds) = seconds.filter(|seconds| index > 0 && *seconds > 0.0) {
                    clip.fps = Some(index as f64 / seconds);
                }
                if asked.contains(&index) {
                    self.shelves.entry(id).or_default().insert(index, picture);
                }
            }
            reel::Told::Ended(_, frames) => clip.ended_at = Some(frames),
            reel::Told::Failed(_, frames, error) => return Err(clip.fail(frames, &error)),
        }
        Ok(())
    }

    /// Takes in a picture of two.
    pub(super) fn take_blend(&mut self, key: Key, picture: Arc<ColorImage>) {
        self.blends.insert(key, picture);
    }

    /// Takes in a figure.
    pub(super) fn take_score(&mut self, told: &scores::Told) {
        self.curves.take(told);
    }

    /// What is to be measured, when that is something new: all clips of A's size whose curves are not whole.
    pub(super) fn ask_scores(&mut self) -> Option<scores::Ask> {
        let frames = self.frames();
        let [a, ..] = self.clips.as_slice() else { return None };
        let is_missing = |clip: &&Clip| {
            clip.opened.is_some()
                && !clip.is_unreadable()
                && alignment::pixel_refusal(a, clip).is_none()
                && !self.curves.is_whole([a.id, clip.id], frames)
        };
        let named = |clip: &Clip| (clip.id, clip.source.path.clone());
        let missing: Vec<_> = self.clips[1..].iter().filter(is_missing).map(named).collect();
        let is_wanted = self.looking.measures || self.goes_to_worst;
        if missing.is_empty() || frames == 0 || a.opened.is_none() || !is_wanted {
            return None;
        }
        // Measuring goes on when only frames were added, and when one of several pairs became whole.
        let is_under_way = |asked: &scores::Ask| {
            asked.frames >= frames
                && asked.clips.first().is_some_and(|(id, _)| *id == a.id)
                && missing.iter().all(|clip| asked.clips[1..].contains(clip))
        };
        if self.asked_scores.as_ref().is_some_and(is_under_way) {
            return None;
        }
        let ask = scores::Ask { clips: std::iter::once(named(a)).chain(missing).collect(), frames };
        Some(self.asked_scores.insert(ask).clone())
    }

    /// The clips of which a picture is seen now.
    fn seen(&self) -> Vec<ClipId> {
        let readable = |clip: &&Clip| !clip.is_unreadable();
        if self.looking.mode == Mode::Side && !self.is_blind() {
            return self.clips.iter().filter(readable).map(|clip| clip.id).collect();
        }
        self.pair().map(|pair| pair.map(|clip| clip.id).to_vec()).unwrap_or_default()
    }

    fn picture(&self, id: ClipId, frame: usize) -> Option<&Arc<ColorImage>> {
        self.shelves.get(&id)?.get(&frame)
    }

    /// The picture of two for a frame, when the mode shows one.
    fn key(&self, frame: usize) -> Option<Key> {
        let kind = self.kind().filter(|_| self.refusal().is_none())?;
        Some(Key { kind, of: self.pair()?.map(|clip| clip.id), frame })
    }

    /// Whether all pictures of a frame are at hand.
    fn is_ready(&self, frame: usize) -> bool {
        let seen = self.seen();
        !seen.is_empty()
            && seen.iter().all(|id| self.picture(*id, frame).is_some())
            && self.key(frame).is_none_or(|key| self.blends.contains_key(&key))
    }

    /// The pictures of two that are to be made, when those are others than before: at the playhead, then ahead of it.
    pub(super) fn ask_blends(&mut self) -> Option<Vec<Job>> {
        let frames = self.frames();
        let now = self.transport.frame(frames);
        let way = if self.transport.is_forward { 1 } else { -1 };
        let ahead = (0..=AHEAD.min(frames.saturating_sub(1)) as isize)
            .map(|by| (now as isize + way * by).rem_euclid(frames.max(1) as isize) as usize);
        let keys: Vec<Key> = ahead.filter_map(|frame| self.key(frame)).collect();
        let shown = self.shown.and_then(|shown| self.key(shown));
        self.blends.retain(|key, _| keys.contains(key) || Some(*key) == shown);
        let job = |key: &Key| {
            let [a, b] = key.of;
            let pair = [self.picture(a, key.frame)?, self.picture(b, key.frame)?].map(Arc::clone);
            Some(Job { key: *key, pair })
        };
        let missing = keys.iter().filter(|key| !self.blends.contains_key(key));
        let jobs: Vec<Job> = missing.filter_map(job).collect();
        let asked: Vec<Key> = jobs.iter().map(|job| job.key).collect();
        let is_new = asked.iter().any(|key| !self.asked_blends.contains(key));
        self.asked_blends = asked;
        is_new.then_some(jobs)
    }

    /// Moves the playhead on to the time of this frame of the window, and sees to the textures.
    pub(super) fn tick(&mut self, ctx: &Context) {
        let frames = self.frames();
        if frames == 0 {
            self.shown = None;
            return;
        }
        let mut transport = std::mem::take(&mut self.transport);
        transport.tick(ctx, frames, self.fps(), |frame| self.is_ready(frame));
        self.transport = transport;
        self.arrive_at_worst();
        let wanted = self.transport.frame(frames);
        if self.is_ready(wanted) {
            self.shown = Some(wanted);
        }
        let Some(shown) = self.shown else { return };
        for id in self.seen() {
            if let Some(picture) = self.shelves.get(&id).and_then(|shelf| shelf.get(&shown)) {
                self.textures.show(ctx, id, shown, picture);
            }
        }
        if let Some(key) = self.key(shown)
            && let Some(picture) = self.blends.get(&key)
        {
            self.textures.show_blend(ctx, key, picture);
        }
    }

    /// The picture of a clip, when it is of the frame that is seen.
    pub(super) fn shown_clip(&self, id: ClipId) -> Option<&TextureHandle> {
        let (texture, frame) = self.textures.of(id)?;
        (Some(frame) == self.shown).then_some(texture)
    }

    /// The picture of two, when it is of what is seen.
    pub(super) fn shown_blend(&self) -> Option<&TextureHandle> {
        self.textures.blend(self.key(self.shown?)?)
    }

    /// Red, green and blue of a pixel of the frame that is seen.
    pub(super) fn pixel(&self, id: ClipId, [x, y]: [usize; 2]) -> Option<[u8; 3]> {
        let picture = self.picture(id, self.shown?)?;
        let pixel = picture.pixels.get(y * picture.size[0] + x)?;
        Some([pixel.r(), pixel.g(), pixel.b()])
    }

    /// The frame of a clip that the graphics device has.
    #[cfg(test)]
    pub(crate) fn shown_frame(&self, id: ClipId) -> Option<usize> {
        self.textures.of(id).map(|(_, frame)| frame)
    }

    /// Whether every clip that can be is measured against A.
    #[cfg(test)]
    pub(crate) fn is_measured(&self) -> bool {
        let frames = self.frames();
        let [a, rest @ ..] = self.clips.as_slice() else { return false };
        frames > 0
            && rest
                .iter()
                .filter(|b| alignment::pixel_refusal(a, b).is_none())
                .all(|b| self.curves.is_whole([a.id, b.id], frames))
    }

    /// Whether what is wanted is what is seen.
    #[cfg(test)]
    pub(crate) fn is_settled(&self) -> bool {
        self.shown == Some(self.transport.frame(self.frames()))
    }
}

impl Clip {
    /// Ends the clip at a frame for a reason; answers with the reason for people.
    fn fail(&mut self, frames: usize, reason: &str) -> String {
        (self.ended_at, self.error) = (Some(frames), Some(reason.to_owned()));
        format!("{}: {reason}", self.source.name)
    }
}

//! The one playhead of all clips: it plays both ways, waits for frames that are not decoded yet, and rests when it is held.

use std::time::Duration;

use eframe::egui::Context;

/// Speeds that pressing "play on" again goes through.
const SPEEDS: [f64; 6] = [0.125, 0.25, 0.5, 1.0, 2.0, 4.0];
/// Normal speed among them.
const NORMAL: usize = 3;

/// Where all clips stand.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    /// In frames, with the part of a frame that has passed.
    position: f64,
    moved_at: Option<f64>,
    /// Whether it moves.
    pub(crate) is_playing: bool,
    /// Whether it moves towards the end.
    pub(crate) is_forward: bool,
    /// Whether it begins again at an end.
    pub(crate) repeats: bool,
    speed: usize,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            position: 0.0,
            moved_at: None,
            is_playing: false,
            is_forward: true,
            repeats: true,
            speed: NORMAL,
        }
    }
}

impl Transport {
    /// The frame that is wanted, of so many.
    pub(crate) fn frame(&self, frames: usize) -> usize {
        (self.position.max(0.0) as usize).min(frames.saturating_sub(1))
    }

    /// Goes to a frame; beyond an end is the other one when it repeats.
    pub(crate) fn seek(&mut self, frame: isize, frames: usize) {
        let frames = frames.max(1) as isize;
        let to = if self.repeats { frame.rem_euclid(frames) } else { frame.clamp(0, frames - 1) };
        self.position = to as f64;
        self.is_playing = false;
    }

    /// Goes one frame on or back, and stays there.
    pub(crate) fn step(&mut self, by: isize, frames: usize) {
        self.seek(self.frame(frames) as isize + by, frames);
    }

    /// Plays this way; asked again while it does, faster.
    pub(crate) fn shuttle(&mut self, is_forward: bool) {
        if self.is_playing && self.is_forward == is_forward {
            self.change_speed(1);
        } else {
            (self.is_playing, self.is_forward, self.speed) = (true, is_forward, NORMAL);
        }
    }

    /// Plays or holds.
    pub(crate) fn toggle(&mut self) {
        self.is_playing = !self.is_playing;
    }

    /// How fast it plays; 1 is normal.
    pub(crate) fn speed(&self) -> f64 {
        SPEEDS[self.speed]
    }

    /// Plays faster by so many notches, or slower when negative.
    pub(crate) fn change_speed(&mut self, notches: isize) {
        self.speed = self.speed.saturating_add_signed(notches).min(SPEEDS.len() - 1);
    }

    /// Moves on to the time of this frame of the window. `is_ready` says whether all pictures of a frame are at hand: one that
    /// is not is waited for.
    pub(crate) fn tick(
        &mut self,
        ctx: &Context,
        frames: usize,
        fps: f64,
        is_ready: impl Fn(usize) -> bool,
    ) {
        let now = ctx.input(|input| input.time);
        let passed = self.moved_at.replace(now).map_or(0.0, |then| (now - then).clamp(0.0, 0.5));
        if !self.is_playing || frames < 2 {
            self.moved_at = None;
            return;
        }
        let rate = fps.max(0.1) * self.speed();
        let way = if self.is_forward { 1.0 } else { -1.0 };
        let (was, count) = (self.frame(frames), frames as f64);
        let mut to = self.position + way * passed * rate;
        if self.repeats {
            to = to.rem_euclid(count);
        } else if to >= count || to < 0.0 {
            (to, self.is_playing) = (to.clamp(0.0, count - 1.0), false);
        }
        let next = (to as usize).min(frames - 1);
        if next != was && !is_ready(next) {
            return; // whoever decodes it wakes the window
        }
        self.position = to;
        if self.is_playing {
            let into = to - to.floor();
            let left = if self.is_forward { (1.0 - into) / rate } else { into / rate };
            ctx.request_repaint_after(Duration::from_secs_f64(left.clamp(0.005, 1.0)));
        }
    }
}

#[cfg(test)]
mod tests {
    use eframe::egui::RawInput;

    use super::*;

    /// Lets so many seconds pass in steps of a sixtieth.
    fn pass(transport: &mut Transport, seconds: f64, is_ready: impl Fn(usize) -> bool) {
        let ctx = Context::default();
        for tick in 0..=(seconds * 60.0) as usize {
            let time = Some(tick as f64 / 60.0);
            let mut output = ctx.run_ui(RawInput { time, ..RawInput::default() }, |ui| {
                transport.tick(ui.ctx(), 10, 10.0, &is_ready);
            });
            output.textures_delta.clear();
        }
    }

    #[test]
    fn it_plays_both_ways_and_over_the_ends() {
        let mut transport = Transport::default();
        transport.shuttle(true);
        pass(&mut transport, 0.35, |_| true);
        assert_eq!(transport.frame(10), 3);
        transport.shuttle(false);
        pass(&mut transport, 0.6, |_| true);
        assert_eq!(transport.frame(10), 7, "back over the start");
        transport.shuttle(false);
        assert!((transport.speed() - 2.0).abs() < f64::EPSILON && !transport.is_forward);
    }

    #[test]
    fn a_frame_that_is_not_there_is_waited_for() {
        let mut transport = Transport::default();
        transport.shuttle(true);
        pass(&mut transport, 0.9, |frame| frame < 4);
        assert_eq!(transport.frame(10), 3);
        assert!(transport.is_playing);
    }

    #[test]
    fn stepping_holds_and_stops_at_the_end_unless_it_repeats() {
        let mut transport = Transport { is_playing: true, ..Transport::default() };
        transport.step(-1, 10);
        assert_eq!((transport.frame(10), transport.is_playing), (9, false));
        transport.repeats = false;
        transport.step(1, 10);
        assert_eq!(transport.frame(10), 9);
    }
}

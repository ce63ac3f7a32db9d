//! Zoom and pan, shared by all pictures: which part of the picture a view shows.

use eframe::egui::{Pos2, Rect, Vec2};

/// Nearer than this there is nothing more to see.
const NEAREST: f32 = 64.0;

/// The part that is looked at, in shares of the picture, so that it is the same part of clips of any size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Camera {
    /// 1 shows the whole picture.
    pub(crate) zoom: f32,
    /// Its middle.
    pub(crate) middle: Pos2,
}

impl Default for Camera {
    fn default() -> Self {
        Self { zoom: 1.0, middle: Pos2::new(0.5, 0.5) }
    }
}

impl Camera {
    /// Where a picture of this aspect lies when `area` looks at it, before it is cut at the area's edges.
    pub(crate) fn place(&self, area: Rect, aspect: f32) -> Rect {
        let aspect = aspect.max(1e-3);
        let high = area.height().min(area.width() / aspect) * self.zoom;
        let size = Vec2::new(high * aspect, high);
        Rect::from_min_size(area.center() - self.middle.to_vec2() * size, size)
    }

    /// Comes nearer by a factor, keeping what is at `at` (in shares of the picture) where it is.
    pub(crate) fn nearer(&mut self, factor: f32, at: Pos2) {
        let zoom = (self.zoom * factor).clamp(1.0, NEAREST);
        self.middle = at + (self.middle - at) * (self.zoom / zoom);
        self.zoom = zoom;
        self.stay();
    }

    /// Moves the middle by shares of the picture.
    pub(crate) fn pan(&mut self, by: Vec2) {
        self.middle += by;
        self.stay();
    }

    /// Keeps the middle inside the picture, and in the middle when all of it is shown.
    fn stay(&mut self) {
        let free = 0.5 - 0.5 / self.zoom;
        let (low, high) = (0.5 - free, 0.5 + free);
        self.middle = Pos2::new(self.middle.x.clamp(low, high), self.middle.y.clamp(low, high));
    }
}

/// The part of the texture that shows in `seen`, of a picture that lies at `place`.
pub(crate) fn uv(place: Rect, seen: Rect) -> Rect {
    let share = |at: Pos2| ((at - place.min) / place.size()).to_pos2();
    Rect::from_min_max(share(seen.min), share(seen.max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_the_pointer_stays_there() {
        let area = Rect::from_min_size(Pos2::new(10.0, 20.0), Vec2::new(400.0, 200.0));
        let mut camera = Camera::default();
        let at = Pos2::new(0.25, 0.75);
        let seen = |camera: &Camera| {
            let place = camera.place(area, 2.0);
            place.min + at.to_vec2() * place.size()
        };
        let before = seen(&camera);
        camera.nearer(3.0, at);
        assert!(seen(&camera).distance(before) < 1e-3);
        camera.pan(Vec2::new(9.0, 0.0));
        assert!(
            camera.place(area, 2.0).right() >= area.right() - 1e-3,
            "the picture fills the view"
        );
        camera.nearer(0.01, at);
        assert_eq!(camera, Camera::default());
    }

    #[test]
    fn a_whole_picture_keeps_its_shape() {
        let area = Rect::from_min_size(Pos2::ZERO, Vec2::new(300.0, 300.0));
        let place = Camera::default().place(area, 1.5);
        assert_eq!(place.size(), Vec2::new(300.0, 200.0));
        let left = Rect::from_min_max(place.min, place.center_bottom());
        assert_eq!(uv(place, left), Rect::from_min_max(Pos2::ZERO, Pos2::new(0.5, 1.0)));
    }
}

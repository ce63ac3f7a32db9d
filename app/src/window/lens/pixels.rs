//! Pictures of data: a pixel a block, smaller ones for looking from afar, and the textures they become.
//!
//! A worker paints, in the colours of [`tessera_pipeline::palette`]; the window's thread only hands the finished pixels over, and
//! only when they are others.

use eframe::egui::{
    Color32, ColorImage, Context, Rgba, TextureFilter, TextureHandle, TextureId, TextureOptions,
};

/// A picture and its halves: each side of the next one is half as long.
#[derive(Debug, Clone)]
pub(crate) struct Pixels(Vec<ColorImage>);

impl Pixels {
    /// Paints `width` × `height` cells.
    pub(super) fn of(size: [usize; 2], cells: impl Iterator<Item = [u8; 3]>) -> Self {
        let pixels: Vec<Color32> =
            cells.map(|[r, g, b]| Color32::from_rgb(r, g, b)).take(size[0] * size[1]).collect();
        let mut levels = vec![ColorImage::new(size, pixels)];
        while let Some(last) = levels.last().filter(|last| last.size[0].min(last.size[1]) > 32) {
            let half = halved(last);
            levels.push(half);
        }
        Self(levels)
    }

    /// One picture without smaller ones.
    pub(super) fn flat(size: [usize; 2], cells: Vec<[u8; 3]>) -> Self {
        let pixels = cells.into_iter().map(|[r, g, b]| Color32::from_rgb(r, g, b)).collect();
        Self::see_through(size, pixels)
    }

    /// One picture, in which some cells may show what is below.
    pub(super) fn see_through(size: [usize; 2], cells: Vec<Color32>) -> Self {
        Self(vec![ColorImage::new(size, cells)])
    }
}

/// Each pixel the mean light of up to four.
fn halved(image: &ColorImage) -> ColorImage {
    let [width, height] = image.size;
    let size = [width.div_ceil(2), height.div_ceil(2)];
    let mean = |index: usize| {
        let (x, y) = (index % size[0] * 2, index / size[0] * 2);
        let mut sum = Rgba::TRANSPARENT;
        let mut count = 0.0;
        for y in y..(y + 2).min(height) {
            for x in x..(x + 2).min(width) {
                sum = sum + Rgba::from(image.pixels[y * width + x]);
                count += 1.0;
            }
        }
        Color32::from(sum * (1.0 / count))
    };
    ColorImage::new(size, (0..size[0] * size[1]).map(mean).collect())
}

/// A picture that the graphics device has.
pub(crate) struct Picture {
    levels: Vec<TextureHandle>,
}

impl Picture {
    /// Hands the pixels over. Levels with more pixels a side than the device takes are left out.
    pub(super) fn load(ctx: &Context, name: &str, pixels: Pixels) -> Self {
        let most = ctx.input(|input| input.max_texture_side);
        let options = TextureOptions {
            magnification: TextureFilter::Nearest,
            minification: TextureFilter::Linear,
            ..TextureOptions::LINEAR
        };
        let fits = |image: &ColorImage| image.size[0].max(image.size[1]) <= most;
        let mut all = pixels.0;
        // Without any level that fits, the smallest is shrunk until it does.
        while let Some(last) = all.last().filter(|last| !fits(last)) {
            let half = halved(last);
            all.push(half);
        }
        let load = |image| ctx.load_texture(name, image, options);
        Self { levels: all.into_iter().filter(fits).map(load).collect() }
    }

    /// The level for a picture that is drawn this many physical pixels wide: the smallest that loses nothing.
    pub(super) fn at(&self, width: f32) -> Option<TextureId> {
        let wide = |level: &&TextureHandle| level.size()[0] as f32 >= width;
        self.levels.iter().rev().find(wide).or(self.levels.first()).map(TextureHandle::id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smaller_pictures_have_the_mean_light() {
        let cells = (0..66 * 65).map(|i| if i % 66 % 2 == 0 { [255; 3] } else { [0; 3] });
        let pixels = Pixels::of([66, 65], cells);
        assert_eq!(
            pixels.0.iter().map(|image| image.size).collect::<Vec<_>>(),
            [[66, 65], [33, 33], [17, 17]]
        );
        // Half of the light is far more than half of the sRGB value.
        assert_eq!(pixels.0[1].pixels[0], Color32::from_gray(188));
    }

    #[test]
    fn from_afar_a_smaller_picture_is_taken() {
        let ctx = Context::default();
        let picture =
            Picture::load(&ctx, "test", Pixels::of([128, 128], std::iter::repeat([9; 3])));
        assert_eq!(picture.levels.len(), 3);
        assert_eq!(picture.at(500.0), Some(picture.levels[0].id()));
        assert_eq!(picture.at(60.0), Some(picture.levels[1].id()));
        assert_eq!(picture.at(3.0), Some(picture.levels[2].id()));
    }
}

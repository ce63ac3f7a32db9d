//! RGB to what the encoder is fed, and what the decoder gives to RGB, with the matrix said on both sides.
//!
//! Y' = 0.2126 R' + 0.7152 G' + 0.0722 B', Cb = (B' − Y')/1.8556, Cr = (R' − Y')/1.5748 (BT.709), then to 16–235 and 16–240.
//! swscale's default would be BT.601 without a tag: a player that assumes BT.709 then shows colours 6.8 dB off. So the matrix,
//! both ranges, the chroma position (left, as the standards have it) and exact rounding are all given, and every frame is tagged.
//!
//! The conversion is an FFmpeg filter graph `buffer → scale → format → setparams → buffersink`: libswscale's own call for
//! the matrix has no safe wrapper, the filter's options have.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::{color, filter, frame};

use crate::video::ffmpeg::{Colours, colours_of, fill_rows, ready};
use crate::video::rate::Fps;

/// Rounding exactly, and chroma computed from and to every pixel rather than every other one.
const EXACT: &str = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp:sws_dither=none";

/// A filter graph with one input and one output.
pub(crate) struct Converter {
    graph: filter::Graph,
    width: u32,
    height: u32,
}

impl Converter {
    /// Packed RGB of 8 bits to `pixel`, tagged.
    pub(crate) fn from_rgb(
        pixel: Pixel,
        width: u32,
        height: u32,
        fps: Fps,
    ) -> Result<Self, ffmpeg::Error> {
        let name = name_of(pixel)?;
        let chain = match colours_of(pixel) {
            Colours::Bt709Limited => format!(
                "scale=in_range=full:out_color_matrix=bt709:out_range=limited:out_h_chr_pos=0:out_v_chr_pos=128:{EXACT},\
                 format={name},\
                 setparams=range=limited:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
            ),
            Colours::Rgb => format!(
                "scale={EXACT},format={name},setparams=range=full:color_primaries=bt709:color_trc=bt709:colorspace=gbr"
            ),
            Colours::Fixed => format!("scale={EXACT},format={name}"),
        };
        let input = InputFormat { pixel: Pixel::RGB24, width, height, fps };
        Ok(Self { graph: build(&[("in", input)], &format!("[in]{chain}[out]"))?, width, height })
    }

    /// What a decoder gave to packed RGB of 8 bits. Frames that follow must be of the same format, size and colours.
    pub(crate) fn to_rgb(from: &frame::Video) -> Result<Self, ffmpeg::Error> {
        let (width, height) = (from.width(), from.height());
        // The rate does not matter here: nothing is timed.
        let fps = Fps::new(1, 1).ok_or(ffmpeg::Error::Bug)?;
        let input = InputFormat { pixel: from.format(), width, height, fps };
        let chain = if is_rgb(from.format()) {
            format!("scale={EXACT},format=rgb24")
        } else {
            let matrix = matrix_name(from);
            let range = range_name(from);
            format!(
                "scale=in_color_matrix={matrix}:in_range={range}:out_range=full:in_h_chr_pos=0:in_v_chr_pos=128:{EXACT},format=rgb24"
            )
        };
        Ok(Self { graph: build(&[("in", input)], &format!("[in]{chain}[out]"))?, width, height })
    }

    /// Converts packed RGB rows, `width * height * 3` bytes; `index` becomes the timestamp.
    pub(crate) fn rgb(&mut self, rgb: &[u8], index: u64) -> Result<frame::Video, ffmpeg::Error> {
        let mut input = rgb_frame(rgb, self.width, self.height);
        input.set_pts(Some(index.cast_signed()));
        self.frame(&input)
    }

    /// Converts one frame, which is empty afterwards: the graph takes its buffers.
    pub(crate) fn frame(&mut self, input: &frame::Video) -> Result<frame::Video, ffmpeg::Error> {
        put(&mut self.graph, "in", input)?;
        take(&mut self.graph)?.ok_or(ffmpeg::Error::Bug)
    }
}

/// A frame of packed RGB.
pub(crate) fn rgb_frame(rgb: &[u8], width: u32, height: u32) -> frame::Video {
    let mut frame = frame::Video::new(Pixel::RGB24, width, height);
    frame.set_color_range(color::Range::JPEG);
    fill_rows(&mut frame, rgb, width as usize * 3);
    frame
}

/// What arrives at one input of a graph.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InputFormat {
    pub(crate) pixel: Pixel,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) fps: Fps,
}

/// Builds a graph with the named inputs and one output, `out`.
pub(crate) fn build(
    inputs: &[(&str, InputFormat)],
    chain: &str,
) -> Result<filter::Graph, ffmpeg::Error> {
    let mut graph = filter::Graph::new();
    let source = filter::find("buffer").ok_or(ffmpeg::Error::FilterNotFound)?;
    let sink = filter::find("buffersink").ok_or(ffmpeg::Error::FilterNotFound)?;
    for (name, input) in inputs {
        let InputFormat { pixel, width, height, fps } = *input;
        let arguments = format!(
            "video_size={width}x{height}:pix_fmt={}:time_base={}/{}:pixel_aspect=1/1",
            name_of(pixel)?,
            fps.den(),
            fps.num()
        );
        graph.add(&source, name, &arguments)?;
    }
    graph.add(&sink, "out", "")?;
    let mut parser = filter::graph::Parser::new(&mut graph);
    for (name, _) in inputs {
        parser = parser.output(name, 0)?;
    }
    parser.input("out", 0)?.parse(chain)?;
    graph.validate()?;
    Ok(graph)
}

/// Gives a frame to the input `name`; it is empty afterwards.
pub(crate) fn put(
    graph: &mut filter::Graph,
    name: &str,
    frame: &frame::Video,
) -> Result<(), ffmpeg::Error> {
    graph.get(name).ok_or(ffmpeg::Error::FilterNotFound)?.source().add(frame)
}

/// Tells the input `name` that no more frames come.
pub(crate) fn end(graph: &mut filter::Graph, name: &str) -> Result<(), ffmpeg::Error> {
    graph.get(name).ok_or(ffmpeg::Error::FilterNotFound)?.source().flush()
}

/// The next finished frame, if one is ready.
pub(crate) fn take(graph: &mut filter::Graph) -> Result<Option<frame::Video>, ffmpeg::Error> {
    let mut frame = frame::Video::empty();
    let got =
        ready(graph.get("out").ok_or(ffmpeg::Error::FilterNotFound)?.sink().frame(&mut frame))?;
    Ok(got.map(|()| frame))
}

fn name_of(pixel: Pixel) -> Result<&'static str, ffmpeg::Error> {
    Ok(pixel.descriptor().ok_or(ffmpeg::Error::InvalidData)?.name())
}

fn is_rgb(pixel: Pixel) -> bool {
    let name = name_of(pixel).unwrap_or_default();
    pixel == Pixel::PAL8
        || ["rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr"].iter().any(|p| name.starts_with(p))
}

/// The matrix that a frame is tagged with. Untagged files follow the broadcast habit: BT.709 from 720 lines up, BT.601 below.
fn matrix_name(frame: &frame::Video) -> &'static str {
    match frame.color_space() {
        color::Space::BT709 => "bt709",
        color::Space::FCC => "fcc",
        color::Space::SMPTE240M => "smpte240m",
        color::Space::BT2020NCL | color::Space::BT2020CL => "bt2020",
        color::Space::Unspecified | color::Space::Reserved if frame.height() >= 720 => "bt709",
        _ => "bt601",
    }
}

fn range_name(frame: &frame::Video) -> &'static str {
    let full_by_format = matches!(
        frame.format(),
        Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ444P | Pixel::YUVJ440P
    );
    if full_by_format || frame.color_range() == color::Range::JPEG { "full" } else { "limited" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::ffmpeg::{packed_rows, start};

    /// The eight corners of the cube have BT.709 values that any textbook lists; BT.601's differ by up to 30.
    #[test]
    fn corners_have_the_values_of_bt709() {
        start();
        let fps = Fps::new(24, 1).unwrap();
        let cases: [([u8; 3], [u8; 3]); 6] = [
            ([255, 255, 255], [235, 128, 128]),
            ([0, 0, 0], [16, 128, 128]),
            ([255, 0, 0], [63, 102, 240]),
            ([0, 255, 0], [173, 42, 26]),
            ([0, 0, 255], [32, 240, 118]),
            ([128, 128, 128], [126, 128, 128]),
        ];
        for (rgb, expected) in cases {
            let picture = rgb.repeat(16 * 16);
            let frame =
                Converter::from_rgb(Pixel::YUV420P, 16, 16, fps).unwrap().rgb(&picture, 0).unwrap();
            let got = [frame.data(0)[0], frame.data(1)[0], frame.data(2)[0]];
            assert!(
                got.iter().zip(expected).all(|(g, e)| g.abs_diff(e) <= 1),
                "{rgb:?}: {got:?}, expected {expected:?}"
            );
            assert_eq!(frame.color_space(), color::Space::BT709);
            assert_eq!(frame.color_range(), color::Range::MPEG);
            let back = Converter::to_rgb(&frame).unwrap().frame(&frame).unwrap();
            let back = packed_rows(&back, 48);
            assert!(
                back.iter().zip(&picture).all(|(g, e)| g.abs_diff(*e) <= 2),
                "{rgb:?}: {:?}",
                &back[..3]
            );
        }
    }

    #[test]
    fn rgb_formats_come_back_exactly() {
        start();
        let fps = Fps::new(24, 1).unwrap();
        let picture: Vec<u8> = (0..17 * 33 * 3).map(|i| (i * 7 % 256) as u8).collect();
        for pixel in [Pixel::RGB24, Pixel::GBRP, Pixel::BGRZ, Pixel::BGRA] {
            let frame = Converter::from_rgb(pixel, 17, 33, fps).unwrap().rgb(&picture, 0).unwrap();
            let back = Converter::to_rgb(&frame).unwrap().frame(&frame).unwrap();
            assert_eq!(packed_rows(&back, 51), picture, "{pixel:?}");
        }
    }
}

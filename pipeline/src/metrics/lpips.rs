//! LPIPS with AlexNet: a distance of pictures by the features of a network that was trained to recognise things.
//!
//! Source: Zhang, Isola, Efros, Shechtman, Wang 2018, and its reference implementation (`lpips` 0.1.4, `net="alex"`). Five
//! convolutions, each with a rectifier; after each, features are scaled to unit length over channels, the squared difference of
//! the two pictures' is weighted by channel and averaged over places, and the five are added. The weights are not ours and do not
//! come with Tessera: [`Lpips::load`] reads a file that the user points at, and without one there is no LPIPS.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};

use crate::{Error, Result};

/// What the network expects of RGB in −1 to 1: mean and spread of each colour.
const SHIFT: [f32; 3] = [-0.030, -0.088, -0.188];
const SCALE: [f32; 3] = [0.458, 0.448, 0.450];
/// Keeps features of length 0 from being divided by it.
const EPSILON: f64 = 1e-10;
/// The smallest side of a picture that the network's poolings leave something of.
const LEAST_SIDE: usize = 31;

/// A convolution of AlexNet.
struct Shape {
    /// Its number among torchvision's `features`.
    number: usize,
    /// Channels out and in, and the kernel's side.
    weight: [usize; 3],
    stride: usize,
    padding: usize,
    /// Whether a 3×3 maximum with stride 2 comes before it.
    pooled: bool,
}

const SHAPES: [Shape; 5] = [
    Shape { number: 0, weight: [64, 3, 11], stride: 4, padding: 2, pooled: false },
    Shape { number: 3, weight: [192, 64, 5], stride: 1, padding: 2, pooled: true },
    Shape { number: 6, weight: [384, 192, 3], stride: 1, padding: 1, pooled: true },
    Shape { number: 8, weight: [256, 384, 3], stride: 1, padding: 1, pooled: false },
    Shape { number: 10, weight: [256, 256, 3], stride: 1, padding: 1, pooled: false },
];

/// The network with its weights, in F32 on the CPU.
pub struct Lpips {
    layers: Vec<Layer>,
}

struct Layer {
    weight: Tensor,
    /// `[1, C, 1, 1]`.
    bias: Tensor,
    /// Weight of each channel of the squared differences, `[1, C, 1, 1]`.
    linear: Tensor,
}

impl Lpips {
    /// Reads weights: safetensors, or a torch file (`.pth`, `.pt`) of a state dict. Names are those of the reference
    /// implementation (`net.slice1.0.weight`, `lin0.model.1.weight`), or torchvision's for the convolutions
    /// (`features.0.weight`); other tensors are left alone.
    ///
    /// # Errors
    /// A file that cannot be read; a tensor that is missing, of another shape, or not finite: with its name.
    pub fn load(path: &Path) -> Result<Self> {
        let wrong = |reason: String| Error::Unreadable {
            what: format!("LPIPS weights {}", path.display()),
            reason,
        };
        std::fs::metadata(path).map_err(Error::io(path))?;
        let is_torch = path.extension().is_some_and(|ending| ending == "pth" || ending == "pt");
        let tensors: HashMap<String, Tensor> = if is_torch {
            candle_core::pickle::read_all(path).map(|all| all.into_iter().collect()).map_err(
                |error| {
                    wrong(format!(
                        "expected a state dict as torch.save writes it since 1.6, got {error}; save it as safetensors (docs/metrics.md)"
                    ))
                },
            )?
        } else {
            candle_core::safetensors::load(path, &Device::Cpu)
                .map_err(|error| wrong(format!("expected a safetensors file, got {error}")))?
        };
        let find = |names: &[String], shape: &[usize]| -> Result<Tensor> {
            let named = names.iter().find_map(|name| Some((name, tensors.get(name)?)));
            let Some((name, tensor)) = named else {
                let expected = names.join(" or ");
                return Err(wrong(format!("expected a tensor {expected}, got none of that name")));
            };
            if tensor.dims() != shape {
                let got = tensor.dims();
                return Err(wrong(format!("{name}: expected shape {shape:?}, got {got:?}")));
            }
            let tensor = tensor.to_dtype(DType::F32)?;
            let values = tensor.flatten_all()?.to_vec1::<f32>()?;
            if !values.iter().all(|value| value.is_finite()) {
                return Err(wrong(format!("{name}: expected finite numbers, got NaN or infinity")));
            }
            Ok(tensor)
        };
        let layer = |(index, shape): (usize, &Shape)| {
            let Shape { number, weight: [out, into, side], .. } = *shape;
            let names = |what: &str| {
                [
                    format!("net.slice{}.{number}.{what}", index + 1),
                    format!("features.{number}.{what}"),
                ]
            };
            let linear = ["lin{}", "lins.{}"]
                .map(|name| format!("{}.model.1.weight", name.replace("{}", &index.to_string())));
            Ok(Layer {
                weight: find(&names("weight"), &[out, into, side, side])?,
                bias: find(&names("bias"), &[out])?.reshape((1, out, 1, 1))?,
                linear: find(&linear, &[1, out, 1, 1])?,
            })
        };
        Ok(Self { layers: SHAPES.iter().enumerate().map(layer).collect::<Result<_>>()? })
    }

    /// The distance of two RGB pictures of `width`×`height` (3 bytes a pixel, rows without gaps); 0 is equal, and there is no
    /// upper end. `None` when a side is below 31 pixels.
    pub fn distance(&self, a: &[u8], b: &[u8], width: usize, height: usize) -> Result<Option<f64>> {
        if width.min(height) < LEAST_SIDE {
            return Ok(None);
        }
        let mut x = Tensor::stack(&[input(a, width, height)?, input(b, width, height)?], 0)?;
        let mut distance = 0.0;
        for (layer, shape) in self.layers.iter().zip(&SHAPES) {
            if shape.pooled {
                x = x.max_pool2d_with_stride(3, 2)?;
            }
            x = x.conv2d(&layer.weight, shape.padding, shape.stride, 1, 1)?;
            x = x.broadcast_add(&layer.bias)?.relu()?;
            let length = x.sqr()?.sum_keepdim(1)?.sqrt()?;
            let unit = x.broadcast_div(&(length + EPSILON)?)?;
            let difference = (unit.narrow(0, 0, 1)? - unit.narrow(0, 1, 1)?)?;
            let weighted = difference.sqr()?.broadcast_mul(&layer.linear)?.sum(1)?;
            distance += f64::from(weighted.mean_all()?.to_scalar::<f32>()?);
        }
        Ok(Some(distance))
    }
}

/// A picture as the network takes it, `[3, height, width]`.
fn input(rgb: &[u8], width: usize, height: usize) -> Result<Tensor> {
    let plane = |colour: usize| {
        rgb.iter()
            .skip(colour)
            .step_by(3)
            .map(move |value| (f32::from(*value) / 127.5 - 1.0 - SHIFT[colour]) / SCALE[colour])
    };
    let values: Vec<f32> = (0..3).flat_map(plane).collect();
    Ok(Tensor::from_vec(values, (3, height, width), &Device::Cpu)?)
}

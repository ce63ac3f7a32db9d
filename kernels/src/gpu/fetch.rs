//! Copies of tensors to the host that the work does not wait for: on a GPU a stream beside the one that works makes them.

use candle_core::{Result, Tensor};

#[cfg(feature = "cuda")]
use super::side;

/// A tensor on its way to the host.
#[derive(Debug)]
pub struct Fetch(Way);

#[derive(Debug)]
enum Way {
    Host(Tensor),
    #[cfg(feature = "cuda")]
    Side(side::Copied),
}

impl Fetch {
    /// Begins to copy `x` as it is after everything that its device was asked for so far; waits for nothing. On the CPU there
    /// is nothing to copy.
    pub fn begin(x: &Tensor) -> Result<Self> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            return side::Copied::begin(x).map(|copied| Self(Way::Side(copied)));
        }
        Ok(Self(Way::Host(x.clone())))
    }

    /// The tensor on the CPU; waits for the copy, in whatever thread asks.
    pub fn finish(&self) -> Result<Tensor> {
        match &self.0 {
            Way::Host(x) => Ok(x.clone()),
            #[cfg(feature = "cuda")]
            Way::Side(copied) => copied.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn the_cpu_has_nothing_to_copy() {
        let x = Tensor::new(&[[1_u8, 2], [3, 4]], &Device::Cpu).unwrap();
        let fetch = Fetch::begin(&x.t().unwrap()).unwrap();
        assert_eq!(fetch.finish().unwrap().to_vec2::<u8>().unwrap(), [[1, 3], [2, 4]]);
    }

    /// Each copy is of the moment when it began, while the work goes on; and buffers are used again.
    #[cfg(feature = "cuda")]
    #[test]
    #[ignore = "needs a GPU"]
    fn copies_are_of_the_moment_when_they_began() {
        let device = crate::gpu::open(0).unwrap();
        for round in 0..3 {
            let mut fetches = Vec::new();
            let mut x = Tensor::full(round as f32, (3, 1 << 20), &device).unwrap();
            for _ in 0..20 {
                fetches.push(Fetch::begin(&x).unwrap());
                x = (x + 1.0).unwrap();
            }
            drop(x);
            let reader = std::thread::Builder::new().name("reader".into());
            let read = reader.spawn(move || {
                for (step, fetch) in fetches.iter().enumerate() {
                    let found = fetch.finish().unwrap();
                    assert!(found.device().is_cpu() && found.dims() == [3, 1 << 20]);
                    let found = found.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                    assert!(found.iter().all(|value| *value == (round + step) as f32), "{step}");
                }
            });
            read.unwrap().join().unwrap();
        }
        for bytes in [0_usize, 1, 7, 4096, 5000] {
            let host = Tensor::arange(0_u32, bytes as u32, &Device::Cpu).unwrap();
            let host = host.to_dtype(candle_core::DType::U8).unwrap();
            let fetch = Fetch::begin(&host.to_device(&device).unwrap()).unwrap();
            let found = fetch.finish().unwrap().to_vec1::<u8>().unwrap();
            assert_eq!(found, host.to_vec1::<u8>().unwrap());
        }
    }
}

#![allow(unsafe_code)]
use std::time::Instant;
use candle_core::{DType, Tensor};
use crate::{Activation, cpu::{Level, with_level, simd::*, tile::*}, linear::Linear, testing::random};

pub(crate) fn best(mut f: impl FnMut()) -> f64 {
    f();
    let mut b = f64::MAX;
    let t0 = Instant::now();
    let mut n = 0;
    while (t0.elapsed().as_secs_f64() < 0.25 || n < 5) && n < 200 { n += 1; let t = Instant::now(); f(); b = b.min(t.elapsed().as_secs_f64()); }
    b
}
struct Peak(usize);
impl Work for Peak { type Output = f32;
 #[inline(always)] unsafe fn run<S: Simd>(self) -> f32 { unsafe {
   let x = S::splat(0.5); let mut a=[S::splat(1.0);12];
   let y = S::splat(std::hint::black_box(0.5));
   for _ in 0..self.0 { for v in a.iter_mut() { *v = S::fma(x, y, *v); } a = std::hint::black_box(a).map(|x|x); }
   let mut s=0.0; for v in a { s+=S::sum(v);} s } } }
struct TilePeak(usize, bool);
impl Work for TilePeak { type Output = f32;
 #[inline(always)] unsafe fn run<S: Simd>(self) -> f32 { unsafe {
   let a = crate::cpu::host::Units::zeroed(16*128); let b = crate::cpu::host::Units::zeroed(32*128); let mut c = [0f32; 32*16];
   for _ in 0..self.0 { let t = Tile{a:a.pointer(),taps:&[0],depth:128,lda:12,b:b.pointer(),sums:c.as_mut_ptr(),ldc:32,accumulate:true};
     if self.1 { tile::<S,half::bf16>(12,2,t) } else { tile::<S,f32>(12,2,t) } }
   c[0] } } }

#[test] #[ignore]
fn linear() {
    let l = Level::of_this_machine();
    let n = 20000;
    for bf in [false, true] {
    let t = best(|| { std::hint::black_box(unsafe { dispatch(l, TilePeak(n, bf)) }); });
    println!("tile in L1, one core, bf16 {bf}: {:.1} GFLOP/s", (n * 128 * 12 * 32 * 2) as f64 * if bf {2.} else {1.} / t / 1e9);
    }
    for (m, k, nn) in [(2304, 320, 320), (2304, 320, 1280), (2304, 1280, 320), (1, 320, 1920), (20, 512, 512), (512, 1536, 1536)] {
        let fl = (2 * m * k * nn) as f64 / 1e9;
        let x = random(&[m, k], 1); let w = random(&[nn, k], 2); let b = random(&[nn], 3);
        let xb = x.to_dtype(DType::BF16).unwrap();
        print!("[{m}x{k}]·[{k}x{nn}]:");
        let wt = w.t().unwrap().contiguous().unwrap();
        let t = best(|| { x.matmul(&wt).unwrap(); }); print!(" candle {:.1}", fl / t);
        for lev in [Level::Portable, Level::Avx2, Level::Avx512, Level::Avx512Bf16] {
            if lev > l || (m == 512 && lev == Level::Portable) { continue; }
            let lin = with_level(lev, || Linear::new(&w, Some(&b), DType::F32).unwrap());
            let t = best(|| { lin.forward(&x).unwrap(); }); print!(" | {} f32 {:.1}", lev.name(), fl / t);
            let lin = with_level(lev, || Linear::new(&w, Some(&b), DType::BF16).unwrap());
            let t = best(|| { lin.forward(&xb).unwrap(); }); print!(" bf16 {:.1}", fl / t);
            if lev == l { let t = best(|| { lin.forward_with(&xb, Activation::GeluTanh).unwrap(); }); print!(" gelu {:.1}", fl / t); }
        }
        println!();
    }
    let _: Option<Tensor> = None;
}
struct TileL2 { lda: usize, depth: usize, bf: bool, reps: usize, rows: usize }
impl Work for TileL2 { type Output = f32;
 #[inline(always)] unsafe fn run<S: Simd>(self) -> f32 { unsafe {
   let a = crate::cpu::host::Units::zeroed(self.lda.max(self.rows)*self.depth+64); let b = crate::cpu::host::Units::zeroed(32*self.depth); let mut c = [0f32; 32*16];
   for _ in 0..self.reps { c = std::hint::black_box(c); let mut row=0; while row < self.rows { 
     let bp = std::hint::black_box(b.pointer()); let off = if self.lda == 12 { row*self.depth } else { row };
     let t = Tile{a:a.pointer().add(off),taps:&[0],depth:self.depth,lda:self.lda,b:bp,sums:c.as_mut_ptr(),ldc:32,accumulate:false};
     if self.bf { tile::<S,half::bf16>(12,2,t) } else { tile::<S,f32>(12,2,t) } row += 12; } }
   c[0] } } }
#[test] #[ignore]
fn tiles() {
    let l = Level::of_this_machine();
    for bf in [false, true] { for depth in [128, 160, 192, 256, 320, 512, 1280] { print!("bf {bf} depth {depth}:"); for (lda, rows) in [(12, 192), (192, 192), (204, 192), (96,96), (48, 48)] {
        let reps = 40_000_000 / (depth * rows * 32) + 1;
        let t = best(|| { std::hint::black_box(unsafe { dispatch(l, TileL2{lda,depth,bf,reps,rows}) }); });
        print!(" lda {lda}: {:.1}", (reps * depth * rows * 32 * 2) as f64 * if bf {2.} else {1.} / t / 1e9); } println!(); } }
}

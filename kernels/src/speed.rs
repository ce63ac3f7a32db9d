#![allow(unsafe_code)]
use std::time::Instant;
use candle_core::{DType, Tensor};
use crate::{Activation, cpu::{Level, with_level, simd::*, tile::*}, linear::Linear, testing::random};

unsafe extern "C" { fn clock_gettime(c: i32, t: *mut [i64; 2]) -> i32; }
fn cpu() -> f64 { let mut t = [0i64; 2]; unsafe { clock_gettime(2, &mut t) }; t[0] as f64 + t[1] as f64 * 1e-9 }
/// Least CPU time (all threads): GFLOP/s from it are per core.
pub(crate) fn best(mut f: impl FnMut()) -> f64 {
    f();
    let mut b = f64::MAX;
    let t0 = Instant::now();
    let mut n = 0;
    while (t0.elapsed().as_secs_f64() < 0.3 || n < 5) && n < 200 { n += 1; let t = cpu(); f(); b = b.min(cpu() - t); }
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
   let a = crate::cpu::host::Units::zeroed(16*128); let b = crate::cpu::host::Units::zeroed(32*128); let mut c = [0f32; 32*16]; let o: Vec<usize> = std::hint::black_box((0..128).map(|k|k*12).collect());
   for _ in 0..self.0 { c=std::hint::black_box(c); let t = Tile{a:a.pointer(),offsets:&o,b:b.pointer(),sums:c.as_mut_ptr(),ldc:32,accumulate:true};
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
#[test] #[ignore]
fn parts() {
    let l = Level::of_this_machine();
    struct Tr<'a>(&'a [f32], usize, usize, usize, *mut u32);
    impl Work for Tr<'_> { type Output=(); #[inline(always)] unsafe fn run<S: Simd>(self) { let mut r=0; while r < 2304 { unsafe{crate::cpu::pack::transpose::<f32>(self.0.as_ptr().add(r*self.1), self.1, self.2, self.1, self.4, self.3);} r += self.2; } } }
    for (k, rows) in [(320, 192), (1280, 96), (1280, 48)] {
        let x = random(&[2304*k], 1).to_vec1::<f32>().unwrap();
        let mut s = crate::cpu::host::Units::zeroed(k * 208);
        for ld in [rows, rows+4, rows+16] {
        let t = best(|| unsafe { dispatch(l, Tr(&x, k, rows, ld, s.pointer_mut())) });
        println!("transpose {k} {rows} ld {ld}: {:.3} ms, {:.2} ns per element", t*1e3, t*1e9/(2304*k) as f64); }
    }
    for n in [320, 1280] { let t = best(|| { let mut v = Vec::<f32>::with_capacity(2304*n); for i in (0..2304*n).step_by(1024) { unsafe { v.as_mut_ptr().add(i).write(1.0) } } std::hint::black_box(&v); }); println!("alloc {n}: {:.3} ms", t*1e3); }
}
#[test] #[ignore]
fn one() {
    for (m,k,nn) in [(2304,320,320),(2304, 1280, 320)] {
    let fl = (2 * m * k * nn) as f64 / 1e9;
    let x = random(&[m, k], 1); let w = random(&[nn, k], 2); let b = random(&[nn], 3);
    let lin = Linear::new(&w, Some(&b), DType::F32).unwrap();
    for _ in 0..3 { let t = best(|| { lin.forward(&x).unwrap(); }); println!("{} f32 {:.1}", k, fl / t); } }
}
#[test] #[ignore]
fn attention() {
    let l = Level::of_this_machine();
    for (h, s, d) in [(5, 2304, 64), (2, 2304, 128)] {
        let fl = 4.0 * (h * s * s * d) as f64 / 1e9;
        for dt in [DType::F32, DType::BF16] {
        let q = random(&[1, h, s, d], 1).to_dtype(dt).unwrap(); let k = random(&[1, h, s, d], 2).to_dtype(dt).unwrap(); let v = random(&[1, h, s, d], 3).to_dtype(dt).unwrap();
        print!("{h}x{s}x{d} {dt:?}:");
        for lev in [Level::Avx2, Level::Avx512, Level::Avx512Bf16] { if lev > l { continue; }
          let t = with_level(lev, || best(|| { crate::attention::attention(&q,&k,&v,0.125,None).unwrap(); })); print!(" {} {:.1}", lev.name(), fl / t); }
        println!(); } }
}
#[test] #[ignore]
fn conv() {
    use crate::conv::*;
    let l = Level::of_this_machine();
    for (t, s, i, o, k) in [(6,256,16,16,3),(6,128,32,32,3),(6,64,64,64,3),(3,32,64,64,3),(6,256,16,3,3),(3,64,192,192,3),(4,128,32,16,0)] {
        let to = if k == 3 { t - 2 } else { t };
        let fl = 2.0 * (to * s * s * i * o * if k == 3 { 27 } else { 36 }) as f64 / 1e9;
        for dt in [DType::F32, DType::BF16] {
        let x = random(&[1, t, s, s, i], 1).to_dtype(dt).unwrap();
        print!("{t}x{s}² {i}→{o} k{k} {dt:?}:");
        for lev in [Level::Avx2, Level::Avx512, Level::Avx512Bf16] { if lev > l { continue; }
          let tm = with_level(lev, || if k == 3 { let c = Conv3d::new(&random(&[o,i,3,3,3],2), None, [1,1,1], Padding::all(1), dt).unwrap(); best(|| { c.forward(&[&x]).unwrap(); }) }
            else { let c = UpsampleConv2x::new(&random(&[o,i,3,3],2), None, dt).unwrap(); best(|| { c.forward(&x).unwrap(); }) }); print!(" {} {:.1}", lev.name(), fl / tm); }
        println!(); } }
}
#[test] #[ignore]
fn rows() {
    let l = Level::of_this_machine();
    let x = random(&[1, 2304, 320], 1); let w = random(&[320], 2); let g = random(&[1,320],3);
    let px = random(&[1,4,256,256,16], 1); let gm = random(&[16], 2);
    let an = random(&[2304, 32], 3); let rt = crate::rope::RopeTables { cos: an.cos().unwrap(), sin: an.sin().unwrap() };
    for lev in [Level::Reference, Level::Portable, Level::Avx2, Level::Avx512, Level::Avx512Bf16] { if lev > l { continue; } with_level(lev, || {
      let gb = |t: f64, n: usize| n as f64 * 8.0 / t / 1e9;
      print!("{}:", lev.name());
      print!(" modulate {:.1} GB/s", gb(best(|| { crate::norm::layer_norm_modulate(&x, &g, &g, 1e-6, DType::F32).unwrap(); }), 2304*320));
      print!(" gated {:.1}", 1.5*gb(best(|| { crate::norm::gated_add(x.clone(), &x, Some(&g)).unwrap(); }), 2304*320));
      print!(" rope {:.1}", gb(best(|| { crate::rope::norm_rope_heads(&x, Some((&w, 1e-6)), 5, Some(&rt)).unwrap(); }), 2304*320));
      let hx = crate::rope::norm_rope_heads(&x, None, 5, None).unwrap();
      print!(" merge {:.1}", gb(best(|| { crate::rope::merge_heads(&hx).unwrap(); }), 2304*320));
      println!(" channel+silu {:.1}", gb(best(|| { crate::channel_norm::channel_norm(&px, &gm, true).unwrap(); }), 4*65536*16));
    }) }
}

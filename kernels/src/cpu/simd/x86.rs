//! Vectors of the x86-64 levels.
#![expect(unsafe_code, reason = "each level's instructions are there only on some processors")]
#![cfg_attr(
    not(test),
    expect(
        clippy::wildcard_imports,
        reason = "the names of the instructions are the code; a list of them would say it twice"
    )
)]

use std::arch::x86_64::*;

use half::bf16;

use super::{Simd, Work};

/// Eight lanes.
#[derive(Clone, Copy)]
pub(super) struct Avx2;

/// Sixteen lanes.
#[derive(Clone, Copy)]
pub(super) struct Avx512;

/// Sixteen lanes, and products of BF16 pairs.
#[derive(Clone, Copy)]
pub(super) struct Avx512Bf16;

/// Methods that are one expression of instructions.
macro_rules! instructions {
    ($($name:ident($($x:ident: $t:ty),*) -> $r:ty { $body:expr })*) => {$(
        #[inline(always)]
        unsafe fn $name($($x: $t),*) -> $r {
            // SAFETY: the caller of a method of the level has its instructions, and memory for its loads and stores.
            unsafe { $body }
        }
    )*};
}

/// The function in which everything is inlined, with the level's instructions switched on.
macro_rules! entry {
    ($features:literal) => {
        #[inline(always)]
        unsafe fn run<W: Work>(work: W) -> W::Output {
            #[inline(never)]
            #[target_feature(enable = $features)]
            unsafe fn entry<W: Work, S: Simd>(work: W) -> W::Output {
                // SAFETY: the caller's promise.
                unsafe { work.run::<S>() }
            }
            // SAFETY: the caller's promise.
            unsafe { entry::<W, Self>(work) }
        }
    };
}

impl Simd for Avx2 {
    type V = __m256;
    const LANES: usize = 8;
    const ROWS: usize = 6;

    entry!("avx2,fma");

    instructions! {
        splat(x: f32) -> __m256 { _mm256_set1_ps(x) }
        load(from: *const f32) -> __m256 { _mm256_loadu_ps(from) }
        store(to: *mut f32, x: __m256) -> () { _mm256_storeu_ps(to, x) }
        load_bf16(from: *const bf16) -> __m256 {
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()))))
        }
        store_bf16(to: *mut bf16, x: __m256) -> () {{
            // Packing works within each half of 128 bits; the permutation puts the halves side by side.
            let high = _mm256_srli_epi32::<16>(rounded_256(x));
            let packed = _mm256_permute4x64_epi64::<0b1000>(_mm256_packus_epi32(high, high));
            _mm_storeu_si128(to.cast(), _mm256_castsi256_si128(packed));
        }}
        add(a: __m256, b: __m256) -> __m256 { _mm256_add_ps(a, b) }
        sub(a: __m256, b: __m256) -> __m256 { _mm256_sub_ps(a, b) }
        mul(a: __m256, b: __m256) -> __m256 { _mm256_mul_ps(a, b) }
        div(a: __m256, b: __m256) -> __m256 { _mm256_div_ps(a, b) }
        fma(a: __m256, b: __m256, c: __m256) -> __m256 { _mm256_fmadd_ps(a, b, c) }
        max(a: __m256, b: __m256) -> __m256 { _mm256_max_ps(a, b) }
        min(a: __m256, b: __m256) -> __m256 { _mm256_min_ps(a, b) }
        round(x: __m256) -> __m256 { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x) }
        pow2(n: __m256) -> __m256 {
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127))))
        }
        sum(x: __m256) -> f32 {{
            let four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }}
        dot_pairs(a: __m256, b: __m256, c: __m256) -> __m256 {{
            let (a, b) = (_mm256_castps_si256(a), _mm256_castps_si256(b));
            let mask = _mm256_set1_epi32(0xffff_0000_u32 as i32);
            let low = _mm256_fmadd_ps(
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(a)),
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(b)),
                c,
            );
            _mm256_fmadd_ps(
                _mm256_castsi256_ps(_mm256_and_si256(a, mask)),
                _mm256_castsi256_ps(_mm256_and_si256(b, mask)),
                low,
            )
        }}
        pair(low: __m256, high: __m256) -> __m256 {
            _mm256_castsi256_ps(_mm256_or_si256(
                _mm256_srli_epi32::<16>(rounded_256(low)),
                _mm256_and_si256(rounded_256(high), _mm256_set1_epi32(0xffff_0000_u32 as i32)),
            ))
        }
        load_pairs(low: *const bf16, high: *const bf16) -> __m256 {
            _mm256_castsi256_ps(_mm256_or_si256(
                _mm256_cvtepu16_epi32(_mm_loadu_si128(low.cast())),
                _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(high.cast()))),
            ))
        }
        load_quads(rows: *const *const f32, k: usize) -> __m256 {
            _mm256_loadu2_m128((*rows.add(4)).add(k), (*rows).add(k))
        }
        transpose_quads(rows: [__m256; 4]) -> [__m256; 4] {{
            let [a, b, c, d] = rows;
            let ab = _mm256_castps_pd(_mm256_unpacklo_ps(a, b));
            let ab_high = _mm256_castps_pd(_mm256_unpackhi_ps(a, b));
            let cd = _mm256_castps_pd(_mm256_unpacklo_ps(c, d));
            let cd_high = _mm256_castps_pd(_mm256_unpackhi_ps(c, d));
            [
                _mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd)),
                _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd)),
                _mm256_castpd_ps(_mm256_unpacklo_pd(ab_high, cd_high)),
                _mm256_castpd_ps(_mm256_unpackhi_pd(ab_high, cd_high)),
            ]
        }}
        swap_pairs(x: __m256) -> __m256 { _mm256_permute_ps::<0b10_11_00_01>(x) }
        prefetch(from: *const u8) -> () { _mm_prefetch::<_MM_HINT_T1>(from.cast()) }
    }
}

/// Bits of x whose high halves are x rounded to BF16; what the low halves hold does not matter.
#[inline(always)]
unsafe fn rounded_256(x: __m256) -> __m256i {
    // SAFETY: called by methods of the level only.
    unsafe {
        let bits = _mm256_castps_si256(x);
        let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
        let nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(x, x);
        let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x0040_0000));
        _mm256_castps_si256(_mm256_blendv_ps(
            _mm256_castsi256_ps(rounded),
            _mm256_castsi256_ps(quiet),
            nan,
        ))
    }
}

/// As [`rounded_256`].
#[inline(always)]
unsafe fn rounded_512(x: __m512) -> __m512i {
    // SAFETY: called by methods of the level only.
    unsafe {
        let bits = _mm512_castps_si512(x);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
        _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x0040_0000))
    }
}

/// What the two levels with sixteen lanes have in common.
macro_rules! sixteen_lanes {
    ($features:literal) => {
        type V = __m512;
        const LANES: usize = 16;
        const ROWS: usize = 12;

        entry!($features);

        instructions! {
            splat(x: f32) -> __m512 { _mm512_set1_ps(x) }
            load(from: *const f32) -> __m512 { _mm512_loadu_ps(from) }
            store(to: *mut f32, x: __m512) -> () { _mm512_storeu_ps(to, x) }
            load_first(from: *const f32, count: usize) -> __m512 {
                _mm512_maskz_loadu_ps(((1_u32 << count) - 1) as u16, from)
            }
            store_first(to: *mut f32, x: __m512, count: usize) -> () {
                _mm512_mask_storeu_ps(to, ((1_u32 << count) - 1) as u16, x)
            }
            load_bf16(from: *const bf16) -> __m512 {
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()))))
            }
            add(a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
            sub(a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
            mul(a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
            div(a: __m512, b: __m512) -> __m512 { _mm512_div_ps(a, b) }
            fma(a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmadd_ps(a, b, c) }
            max(a: __m512, b: __m512) -> __m512 { _mm512_max_ps(a, b) }
            min(a: __m512, b: __m512) -> __m512 { _mm512_min_ps(a, b) }
            round(x: __m512) -> __m512 {
                _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x)
            }
            pow2(n: __m512) -> __m512 {
                _mm512_castsi512_ps(_mm512_slli_epi32::<23>(
                    _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)),
                ))
            }
            sum(x: __m512) -> f32 { _mm512_reduce_add_ps(x) }
            load_pairs(low: *const bf16, high: *const bf16) -> __m512 {
                _mm512_castsi512_ps(_mm512_or_si512(
                    _mm512_cvtepu16_epi32(_mm256_loadu_si256(low.cast())),
                    _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(high.cast()))),
                ))
            }
            load_quads(rows: *const *const f32, k: usize) -> __m512 {{
                let x = _mm512_castps128_ps512(_mm_loadu_ps((*rows).add(k)));
                let x = _mm512_insertf32x4::<1>(x, _mm_loadu_ps((*rows.add(4)).add(k)));
                let x = _mm512_insertf32x4::<2>(x, _mm_loadu_ps((*rows.add(8)).add(k)));
                _mm512_insertf32x4::<3>(x, _mm_loadu_ps((*rows.add(12)).add(k)))
            }}
            transpose_quads(rows: [__m512; 4]) -> [__m512; 4] {{
                let [a, b, c, d] = rows;
                let ab = _mm512_castps_pd(_mm512_unpacklo_ps(a, b));
                let ab_high = _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
                let cd = _mm512_castps_pd(_mm512_unpacklo_ps(c, d));
                let cd_high = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
                [
                    _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)),
                    _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)),
                    _mm512_castpd_ps(_mm512_unpacklo_pd(ab_high, cd_high)),
                    _mm512_castpd_ps(_mm512_unpackhi_pd(ab_high, cd_high)),
                ]
            }}
            swap_pairs(x: __m512) -> __m512 { _mm512_permute_ps::<0b10_11_00_01>(x) }
            prefetch(from: *const u8) -> () { _mm_prefetch::<_MM_HINT_T1>(from.cast()) }
        }
    };
}

impl Simd for Avx512 {
    sixteen_lanes!("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma");

    instructions! {
        store_bf16(to: *mut bf16, x: __m512) -> () {
            _mm256_storeu_si256(to.cast(), _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded_512(x))))
        }
        dot_pairs(a: __m512, b: __m512, c: __m512) -> __m512 {{
            let (a, b) = (_mm512_castps_si512(a), _mm512_castps_si512(b));
            let mask = _mm512_set1_epi32(0xffff_0000_u32 as i32);
            let low = _mm512_fmadd_ps(
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(a)),
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(b)),
                c,
            );
            _mm512_fmadd_ps(
                _mm512_castsi512_ps(_mm512_and_si512(a, mask)),
                _mm512_castsi512_ps(_mm512_and_si512(b, mask)),
                low,
            )
        }}
        pair(low: __m512, high: __m512) -> __m512 {
            _mm512_castsi512_ps(_mm512_or_si512(
                _mm512_srli_epi32::<16>(rounded_512(low)),
                _mm512_and_si512(rounded_512(high), _mm512_set1_epi32(0xffff_0000_u32 as i32)),
            ))
        }
    }
}

impl Simd for Avx512Bf16 {
    sixteen_lanes!("avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma");

    instructions! {
        store_bf16(to: *mut bf16, x: __m512) -> () {
            to.cast::<__m256bh>().write_unaligned(_mm512_cvtneps_pbh(x))
        }
        dot_pairs(a: __m512, b: __m512, c: __m512) -> __m512 {
            _mm512_dpbf16_ps(c, std::mem::transmute::<__m512, __m512bh>(a), std::mem::transmute::<__m512, __m512bh>(b))
        }
        pair(low: __m512, high: __m512) -> __m512 {{
            // Low halves from `low`, high halves from `high`: widened bits put together.
            let (low, high) = (_mm512_cvtneps_pbh(low), _mm512_cvtneps_pbh(high));
            let (low, high) =
                (std::mem::transmute::<__m256bh, __m256i>(low), std::mem::transmute::<__m256bh, __m256i>(high));
            _mm512_castsi512_ps(_mm512_or_si512(
                _mm512_cvtepu16_epi32(low),
                _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(high)),
            ))
        }}
    }
}

//! Raw bits that torch 2.15 (x86-64, AVX2) gave for `torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed))`.

use super::torch_randn;

struct Golden {
    seed: u64,
    shape: &'static [usize],
    /// Bits of the first and of the last four values (fewer where the tensor is smaller).
    first: &'static [u32],
    last: &'static [u32],
    /// FNV-1a over all bytes, little-endian.
    hash: u64,
}

const GOLDENS: &[Golden] = &[
    Golden {
        seed: 0,
        shape: &[1],
        first: &[0x3fc5_3f5c],
        last: &[0x3fc5_3f5c],
        hash: 0x1877_733c_12d6_4cbc,
    },
    Golden {
        seed: 3,
        shape: &[3, 5],
        first: &[0x3f4d_a380, 0x3e33_0786, 0x3db6_3a26, 0xbf1d_1ca0],
        last: &[0x3f9e_740e, 0xbf5d_58c2, 0x3e99_1165, 0x3ed6_a3d4],
        hash: 0xf9da_7b09_f2e2_4801,
    },
    Golden {
        seed: 0,
        shape: &[16],
        first: &[0xbf90_1b85, 0xbf93_808a, 0xbe80_4bd6, 0xbede_255d],
        last: &[0x3df5_6f77, 0x3f9e_6b93, 0x3f8e_f28e, 0xbe7d_367c],
        hash: 0x28d4_9f8f_92bf_21d6,
    },
    Golden {
        seed: 5,
        shape: &[1, 31],
        first: &[0x3feb_d177, 0x3f04_d5ca, 0xbfdb_203d, 0xbfd9_c6cc],
        last: &[0xbfd1_cea4, 0xbfe8_5beb, 0xbe53_9672, 0xbf06_a4bd],
        hash: 0x39db_e9c6_f5d1_d00f,
    },
    Golden {
        seed: 4_294_967_301,
        shape: &[4, 5, 5],
        first: &[0x3feb_d177, 0x3f04_d5ca, 0xbfdb_203d, 0xbfd9_c6cc],
        last: &[0x3e01_13b3, 0x3d77_3085, 0xbf11_54ed, 0xbf8c_4888],
        hash: 0x8216_93f9_a621_b93a,
    },
    Golden {
        seed: 42,
        shape: &[1, 16, 3, 8, 8],
        first: &[0x3ff6_a529, 0x3fbe_5f53, 0x3f66_9567, 0xc006_c0db],
        last: &[0xbf90_f4ee, 0xc018_e754, 0x3f37_c1b3, 0xbfca_a355],
        hash: 0x2ce4_bfc6_e4c9_4d16,
    },
    Golden {
        seed: 7,
        shape: &[1, 16, 9, 32, 32],
        first: &[0xbf51_f456, 0x3eca_902b, 0x3f66_1ede, 0xbfb1_b738],
        last: &[0xbf86_397c, 0x3f8c_783b, 0x3fd5_f3f3, 0xc012_12ac],
        hash: 0x3a9c_7e2a_db6c_bc45,
    },
    Golden {
        seed: 80085,
        shape: &[1, 16, 5, 60, 104],
        first: &[0xbf8e_b7ce, 0xc001_48e4, 0xbde3_738b, 0x3e0c_fd07],
        last: &[0x3f2c_b5d5, 0x3e9f_3bff, 0xbefe_3ff6, 0x3fa1_a972],
        hash: 0x4fe3_e1a9_012c_d784,
    },
];

fn fnv(values: &[f32]) -> u64 {
    values.iter().flat_map(|v| v.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn equals_torch_in_every_bit() {
    for golden in GOLDENS {
        let noise = torch_randn(golden.seed, golden.shape);
        let bits: Vec<u32> = noise.iter().map(|v| v.to_bits()).collect();
        let what = format!("seed {} shape {:?}", golden.seed, golden.shape);
        assert_eq!(bits.len(), golden.shape.iter().product::<usize>(), "{what}");
        assert_eq!(&bits[..golden.first.len()], golden.first, "{what}");
        assert_eq!(&bits[bits.len() - golden.last.len()..], golden.last, "{what}");
        assert_eq!(fnv(&noise), golden.hash, "{what}");
    }
}

#[test]
fn only_the_number_of_elements_and_the_low_half_of_the_seed_count() {
    assert_eq!(torch_randn(9, &[2, 3, 4]), torch_randn(9, &[24]));
    assert_eq!(torch_randn(9, &[24]), torch_randn(9 + (1 << 32), &[24]));
    assert_ne!(torch_randn(9, &[24]), torch_randn(10, &[24]));
    assert!(torch_randn(9, &[0, 4]).is_empty());
}

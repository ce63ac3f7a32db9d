//! The Mersenne twister mt19937 (Matsumoto & Nishimura 1998) as torch seeds and reads it.
//!
//! State of 624 words of 32 bits, x₀ = the low 32 bits of the seed, xᵢ = 1812433253·(xᵢ₋₁ ⊕ xᵢ₋₁≫30) + i. Recurrence
//! x[k+624] = x[k+397] ⊕ A(top bit of x[k] | low 31 bits of x[k+1]); output is tempered by four shifts.

/// Words of state.
const WORDS: usize = 624;
/// Distance in the recurrence.
const DISTANCE: usize = 397;

/// One generator. Only the low 32 bits of the seed count, as in torch.
pub(super) struct Mersenne {
    state: [u32; WORDS],
    next: usize,
}

impl Mersenne {
    /// The generator after `manual_seed(seed)`.
    pub(super) fn new(seed: u64) -> Self {
        let mut state = [0; WORDS];
        state[0] = seed as u32;
        for i in 1..WORDS {
            let before: u32 = state[i - 1];
            state[i] = (before ^ (before >> 30)).wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        Self { state, next: WORDS }
    }

    /// The next 32 random bits.
    pub(super) fn bits(&mut self) -> u32 {
        if self.next == WORDS {
            self.advance();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// Uniform in [0, 1) with 24 bits.
    pub(super) fn uniform_f32(&mut self) -> f32 {
        (self.bits() & 0x00ff_ffff) as f32 / 16_777_216.0
    }

    /// Uniform in [0, 1) with 53 bits, of two words: the first is the upper half.
    pub(super) fn uniform_f64(&mut self) -> f64 {
        let upper = u64::from(self.bits());
        let lower = u64::from(self.bits());
        let mantissa = (upper << 32 | lower) & ((1 << 53) - 1);
        mantissa as f64 / (1_u64 << 53) as f64
    }

    /// Makes the next 624 words.
    fn advance(&mut self) {
        for k in 0..WORDS {
            let joined =
                (self.state[k] & 0x8000_0000) | (self.state[(k + 1) % WORDS] & 0x7fff_ffff);
            let twisted = (joined >> 1) ^ if joined & 1 == 0 { 0 } else { 0x9908_b0df };
            self.state[k] = self.state[(k + DISTANCE) % WORDS] ^ twisted;
        }
        self.next = 0;
    }
}

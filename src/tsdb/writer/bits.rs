//! What the chunk encoders have in common: bits, numbers and windows of changed bits.

/// Bits that do not fill a byte yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pending {
    /// The low `count` of these.
    bits: u64,
    /// Fewer than 8.
    count: u32,
}

/// Bits appended most significant first.
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    pending: Pending,
}

impl<'a> BitWriter<'a> {
    /// Appends to `out`, from a new byte on.
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self::resume(out, Pending::default())
    }

    /// Goes on behind `pending`, the bits that an earlier writer had left.
    pub(super) fn resume(out: &'a mut Vec<u8>, pending: Pending) -> Self {
        Self { out, pending }
    }

    /// What is not in the output yet.
    pub(super) fn pending(&self) -> Pending {
        self.pending
    }

    /// Appends the low `count` (1 to 64) bits of `value`.
    pub(super) fn write(&mut self, value: u64, count: u32) {
        if count > 32 {
            self.short(value >> 32, count - 32);
            self.short(value, 32);
        } else {
            self.short(value, count);
        }
    }

    /// [`Self::write`] for up to 32 bits, which fit beside the pending ones.
    fn short(&mut self, value: u64, count: u32) {
        let low = value & (u64::MAX >> (64 - count));
        let pending = &mut self.pending;
        pending.bits = (pending.bits << count) | low;
        pending.count += count;
        while pending.count >= 8 {
            pending.count -= 8;
            self.out.push((pending.bits >> pending.count) as u8);
        }
    }

    /// Appends LEB128 in groups of eight bits.
    pub(super) fn uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.short((value & 0x7f) | 0x80, 8);
            value >>= 7;
        }
        self.short(value, 8);
    }

    /// Appends `value` zigzag-coded as LEB128.
    pub(super) fn varint(&mut self, value: i64) {
        self.uvarint(((value << 1) ^ (value >> 63)) as u64);
    }

    /// Appends `value` in Prometheus' `varbit` form: the more ones come first,
    /// the more bits follow.
    pub(super) fn varbit(&mut self, value: i64) {
        if value == 0 {
            return self.write(0b0, 1);
        }
        for (ones, size) in [(1, 3), (2, 6), (3, 9), (4, 12), (5, 18), (6, 25), (7, 56)] {
            if fits(value, size) {
                self.write(u64::MAX << 1, ones + 1);
                return self.write(value as u64, size);
            }
        }
        self.write(0xff, 8);
        self.write(value as u64, 64);
    }

    /// Fills the last byte with zeros.
    pub(super) fn flush(&mut self) {
        if self.pending.count > 0 {
            self.short(0, 8 - self.pending.count);
        }
    }
}

/// True if `size` bits hold `value`. They reach one further up than down:
/// −(2^(size−1) − 1) … 2^(size−1).
pub(super) fn fits(value: i64, size: u32) -> bool {
    let half = 1_i64 << (size - 1);
    -half < value && value <= half
}

/// The run of bits that the last changed value used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    leading: u32,
    trailing: u32,
}

impl Window {
    /// Before the first changed value. No value fits into it, so that value opens one.
    pub(super) const NONE: Self = Self { leading: u32::MAX, trailing: 0 };

    /// True if all changed bits lie inside.
    pub(super) fn holds(self, xor: u64) -> bool {
        leading_zeros(xor) >= self.leading && xor.trailing_zeros() >= self.trailing
    }

    /// The tightest window for `xor`, not 0; states it.
    pub(super) fn open(bits: &mut BitWriter<'_>, xor: u64) -> Self {
        let window = Self { leading: leading_zeros(xor), trailing: xor.trailing_zeros() };
        bits.write(u64::from(window.leading), 5);
        // Six bits hold at most 63: 64 is written as 0.
        bits.write(u64::from(window.length() & 63), 6);
        window
    }

    /// Appends the bits inside.
    pub(super) fn put(self, bits: &mut BitWriter<'_>, xor: u64) {
        bits.write(xor >> self.trailing, self.length());
    }

    fn length(self) -> u32 {
        64 - self.leading - self.trailing
    }
}

/// Five bits hold at most 31.
fn leading_zeros(xor: u64) -> u32 {
    xor.leading_zeros().min(31)
}

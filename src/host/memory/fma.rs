//! The AVX2 + FMA build of the same safe loops.

/// Loops that are worth compiling for AVX2 and FMA.
pub(in crate::host) trait Work {
    /// Marked `#[inline(always)]`, with all that it calls: else it is compiled for any CPU.
    fn run(self);
}

/// Whether this CPU has FMA instructions.
pub(in crate::host) fn has_fma() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    return true;
}

/// Does `work` with FMA instructions, or else `otherwise`: without them `mul_add` is a library call, the same bits, ten times slower.
pub(in crate::host) fn with_fma<W: Work>(work: W, otherwise: impl FnOnce(W)) {
    #[cfg(target_arch = "x86_64")]
    match has_fma() {
        // SAFETY: the CPU has what the function is compiled for.
        true => unsafe { with_avx2_and_fma(work) },
        false => otherwise(work),
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = otherwise;
        work.run();
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2_and_fma(work: impl Work) {
    work.run();
}

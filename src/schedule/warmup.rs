//! The four warm-up conventions in use. What each means is said here; `program::lower` spells them out.

/// Which of the conventions in use a warm-up over `n` steps to `peak` follows. They differ in what the first updates get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Warmup {
    /// `peak · t / n`: the first update gets 0, and `peak` comes at `t = n`. Peers: transformers, optax, Composer.
    FromZero,
    /// `peak · (t + 1) / n`: the first update gets `peak / n`, and `peak` comes at `t = n - 1`. Peers: torchtitan, llm.c.
    FromFirst,
    /// `peak · (t + 1) / (n + 1)`: neither 0 nor `peak` is among the `n` warm-up steps. Peer: nanoGPT.
    Between,
    /// 0 twice, then `peak · (t - 1) / n`: everything comes one step late. Peer: DeepSpeed `WarmupLR`.
    ZeroTwice,
}

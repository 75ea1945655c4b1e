//! What keeps a captured graph safe.

use std::sync::Arc;

use super::resident::Resident;
use super::{Engine, Optimizer};

/// Keeps everything of an optimizer alive that a captured graph of its steps needs on the device: kernels, tables, optimizer state. With
/// it the optimizer may be dropped before the graph; replays go on as if it lived. Tensors and what was handed in are the engine's to
/// keep. A [`CapturedGraph`](super::CapturedGraph) holds one by itself. Cheap to clone; on the host it holds nothing, since nothing is captured there.
#[derive(Debug, Clone)]
#[must_use = "what it keeps is freed when it is dropped"]
pub struct KeepAlive {
    _resident: Vec<Arc<Resident>>,
}

impl Optimizer {
    /// A handle for whoever owns a graph that holds steps of this optimizer: see [`KeepAlive`].
    pub fn keep_alive(&self) -> KeepAlive {
        match &self.0 {
            Engine::Cuda(engine) => KeepAlive { _resident: vec![engine.resident().clone()] },
            Engine::Host(_) => KeepAlive { _resident: Vec::new() },
        }
    }
}

//! The CUDA form, as a training engine would do it: its own context, stream and buffers through cudarc, its kernels in
//! `digits.cu`. What it puts on the stream is in `work.rs`, and captured once, the optimizer's part included: see
//! `graphs.rs`. Training is then nothing but launches of graphs, or of one: the host waits for nothing and reads nothing
//! before the report. Event tracking is off: it would query events inside the captures.

use cudarc::driver::CudaContext;
use instep::{Device, Optimizer};

use crate::Result;
use crate::buffers::{self, Memory};
use crate::data::Digits;
use crate::graphs::{Graphs, Launch};
use crate::optimizer::{WEIGHTS, optimizer};
use crate::recipe::Recipe;
use crate::stored::Start;
use crate::training::{Report, Training, Validation};
use crate::work::{self, Kernels, Work};

pub struct CudaTraining {
    // In this order on purpose: each is dropped before what it uses.
    graphs: Graphs,
    /// Keeps the kernels and the state that the graphs use.
    work: Work,
    memory: Memory,
    steps_per_epoch: u64,
    steps: u64,
    launches: u64,
}

impl CudaTraining {
    /// Compiles, allocates, captures: all that the training needs but the launches. Without a `launch` a graph is the
    /// whole training, or a step where that cannot be had, and a line says why; what was asked for must succeed.
    pub fn new(digits: &Digits, recipe: &Recipe, start: Start, launch: Option<Launch>) -> Result<Self> {
        let device = Device::cuda(0)?;
        let context = CudaContext::new(0)?;
        // SAFETY: all work goes to one stream, which orders it.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream()?;
        let kernels = Kernels::load(&context, &device, digits, start.form)?;
        let (memory, mut buffers) = buffers::allocate(&stream, digits, recipe, start)?;
        // SAFETY: the buffers hold PARAMS values and outlive the optimizer in `Self`; only this stream touches them.
        let optimizer = unsafe { optimizer(&device, buffers.param, buffers.grad, recipe, start) }?;
        let view = optimizer.device_view();
        (buffers.t, buffers.scalars) = (view.t, view.scalars(WEIGHTS).ok_or("no such group")?);

        let (held_out, observes) = (digits.held_out() as u32, recipe.plateau().is_some());
        let borrowed = device.stream(&stream)?;
        let mut work = Work { optimizer, kernels, buffers, held_out, observes, borrowed, stream };
        let mut capture =
            |launch| Graphs::capture(&mut work, launch, |unit| work::load(&context, &device, digits, start.form, unit));
        let graphs = match launch {
            Some(launch) => capture(launch)?,
            None => match capture(Launch::Training) {
                Ok(graphs) => graphs,
                Err(why) => {
                    println!("digits: one launch for each step: {why}");
                    capture(Launch::Step)?
                }
            },
        };
        Ok(Self { graphs, work, memory, steps_per_epoch: recipe.steps_per_epoch, steps: 0, launches: 0 })
    }
}

impl Training for CudaTraining {
    fn advance(&mut self, left: u64) -> Result<u64> {
        let (steps, launches) = self.graphs.launch(left, self.steps_per_epoch)?;
        self.steps += steps;
        self.launches += launches;
        Ok(steps)
    }

    fn launches(&self) -> u64 {
        self.launches
    }

    fn optimizer(&self) -> &Optimizer {
        &self.work.optimizer
    }

    fn validated(&self) -> Option<Validation> {
        None
    }

    fn report(&mut self) -> Result<Report> {
        let (stream, steps) = (&self.work.stream, self.steps);
        // A loop on the device counts for itself.
        let t = self.work.optimizer.status(&self.work.borrowed)?.t;
        if t != steps {
            return Err(format!("the device made {t} steps, but was to make {steps}").into());
        }
        let epochs = steps.div_ceil(self.steps_per_epoch) as usize;
        let loss = stream.clone_dtoh(&self.memory.loss.slice(..steps as usize))?;
        let lr = stream.clone_dtoh(&self.memory.lr.slice(..steps as usize))?;
        let validation_loss = stream.clone_dtoh(&self.memory.validation_loss.slice(..epochs))?;
        let correct = stream.clone_dtoh(&self.memory.correct.slice(..epochs))?;
        stream.synchronize()?;
        let validated_after = (1..).map(|epoch| steps.min(epoch * self.steps_per_epoch) as usize);
        let validations = validated_after.zip(validation_loss).zip(correct);
        let validations = validations.map(|((steps, loss), correct)| Validation { steps, loss, correct });
        Ok(Report { loss, lr, validations: validations.collect() })
    }
}

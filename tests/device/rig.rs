//! Where the tests of this binary run, and memory there. The same tests run on a GPU and on the stand-in, a libcuda and a
//! libnvrtc that run CUDA text on the CPU; `INSTEP_TEST_DEVICE` is `gpu` or `standin`, by default the GPU if there is one.

use std::io::Write;
use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use cuda_on_cpu::Standin;
use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr};
use instep::{Device, Stream, Tensor};

/// A CUDA device with an engine's stream on it.
pub struct Rig {
    pub device: Device,
    pub stream: Stream,
    pub context: Arc<CudaContext>,
    pub engine: Arc<CudaStream>,
    /// None on a GPU.
    pub standin: Option<&'static Standin>,
    // One test at a time: counters, seeds and GLOBAL-mode captures belong to the process.
    _turn: MutexGuard<'static, ()>,
}

impl Rig {
    /// The rig, or None where there is no CUDA at all, after saying so. `INSTEP_REQUIRE` turns that into a failure.
    pub fn new() -> Option<Rig> {
        static TURN: Mutex<()> = Mutex::new(());
        static PLACE: OnceLock<Result<Option<&'static Standin>, String>> = OnceLock::new();
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let standin = match PLACE.get_or_init(place) {
            Ok(standin) => *standin,
            Err(_) => return None,
        };
        if let Some(standin) = standin {
            standin.reset();
        }
        let context = CudaContext::new(0).expect("place() made sure of a device");
        // A context takes a third of a second to make, so one lives as long as a process with many tests.
        static KEPT: OnceLock<Arc<CudaContext>> = OnceLock::new();
        if standin.is_none() {
            KEPT.get_or_init(|| context.clone());
        }
        // SAFETY: all slices of these tests are used on one stream, and tests wait before they read.
        unsafe { context.disable_event_tracking() };
        let engine = context.new_stream().unwrap();
        let device = Device::from_cudarc(&context).unwrap();
        let stream = device.stream(&engine).unwrap();
        Some(Rig { device, stream, context, engine, standin, _turn: turn })
    }

    /// `values` in device memory, preceded by `skew` unused elements: element 0 then lies `4 * skew` bytes past a
    /// 16-byte boundary.
    pub fn array(&self, values: &[f32], skew: usize) -> Array {
        let mut padded = vec![f32::NAN; skew];
        padded.extend_from_slice(values);
        padded.push(f32::NAN); // never empty, and something to overrun
        Array { slice: self.engine.clone_htod(&padded).unwrap(), skew, len: values.len() }
    }

    /// Waits for all work, and reports what the stand-in found wrong.
    pub fn finish(&self) {
        let waited = self.stream.synchronize();
        if let Some(report) = self.standin.and_then(Standin::take_report) {
            panic!("the stand-in reports: {report}");
        }
        waited.unwrap();
    }

    /// `len` bytes at a device address.
    pub fn read_bytes(&self, address: u64, len: usize) -> Vec<u8> {
        self.finish();
        let mut bytes = vec![0u8; len];
        if len > 0 {
            self.context.bind_to_thread().unwrap();
            // SAFETY: callers give addresses of live memory of that length.
            unsafe { cudarc::driver::result::memcpy_dtoh_sync(&mut bytes, address) }.unwrap();
        }
        bytes
    }

    /// `len` f32 values at a device address.
    pub fn read(&self, address: u64, len: usize) -> Vec<f32> {
        self.finish();
        let mut values = vec![0.0f32; len];
        if len > 0 {
            self.context.bind_to_thread().unwrap();
            // SAFETY: callers give addresses of live memory of that length.
            unsafe { cudarc::driver::result::memcpy_dtoh_sync(&mut values, address) }.unwrap();
        }
        values
    }
}

fn place() -> Result<Option<&'static Standin>, String> {
    let wish = std::env::var("INSTEP_TEST_DEVICE").unwrap_or_default();
    let gpu = if wish == "standin" { Err("not asked for".to_owned()) } else { gpu() };
    if std::env::var_os("INSTEP_TEST_FIRST_FAILURE").is_some() {
        std::panic::set_hook(Box::new(end_at_first_failure));
    }
    let place = match (gpu, wish.as_str()) {
        (Ok(()), _) => Ok(None),
        (Err(why), "gpu") => Err(format!("no GPU: {why}")),
        (Err(_), _) => cuda_on_cpu::load().map(Some).map_err(|why| format!("no stand-in for CUDA: {why}")),
    };
    // Past the capture of the test harness: a skipped tier says so in any output.
    let mut out = std::io::stderr();
    let _ = match &place {
        Ok(Some(_)) => writeln!(out, "device tests: on the stand-in, CUDA on the CPU"),
        Ok(None) => writeln!(out, "device tests: on the GPU"),
        Err(why) => {
            let required = std::env::var("INSTEP_REQUIRE").unwrap_or_default();
            assert!(required.is_empty(), "INSTEP_REQUIRE={required}, but {why}");
            writeln!(out, "device tests: skipped: {why}")
        }
    };
    place
}

/// For `cargo xtask mutants`, which asks which test notices something first, and whether any does.
fn end_at_first_failure(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let _ = writeln!(std::io::stderr(), "\n{info}\nfirst failure: {}", thread.name().unwrap_or("?"));
    std::process::exit(101);
}

/// Whether a driver with a device is here. Asked in a process of its own: a driver library that was opened once stays, and
/// the stand-in could not take its place.
fn gpu() -> Result<(), String> {
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let output = std::process::Command::new(me)
        .args(["--exact", "rig::probe", "--ignored", "--nocapture"])
        .output()
        .map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().find_map(|line| line.split_once("probe: ")) {
        Some((_, "found")) => Ok(()),
        Some((_, why)) => Err(why.to_owned()),
        None => Err("the probe said nothing".to_owned()),
    }
}

#[test]
#[ignore = "a process of its own, for `gpu`"]
fn probe() {
    match Device::cuda(0) {
        Ok(_) => println!("probe: found"),
        Err(why) => println!("probe: {why}"),
    }
}

/// f32 values in device memory.
pub struct Array {
    slice: CudaSlice<f32>,
    skew: usize,
    pub len: usize,
}

impl Array {
    pub fn address(&self) -> u64 {
        self.slice.device_ptr(self.slice.stream()).0 + 4 * self.skew as u64
    }

    /// Overwrites the values, ordered on the engine's stream.
    pub fn write(&mut self, rig: &Rig, values: &[f32]) {
        let mut view = self.slice.slice_mut(self.skew..self.skew + self.len);
        rig.engine.memcpy_htod(values, &mut view).unwrap();
    }

    pub fn read(&self, rig: &Rig) -> Vec<f32> {
        rig.read(self.address(), self.len)
    }
}

/// A parameter and its gradient on the device, and the same on the host.
pub struct Pair {
    pub param: Array,
    pub grad: Array,
    pub host_param: Box<[f32]>,
    pub host_grad: Box<[f32]>,
}

impl Pair {
    pub fn new(rig: &Rig, param: Vec<f32>, grad: Vec<f32>, (param_skew, grad_skew): (usize, usize)) -> Pair {
        Pair {
            param: rig.array(&param, param_skew),
            grad: rig.array(&grad, grad_skew),
            host_param: param.into(),
            host_grad: grad.into(),
        }
    }

    pub fn device_tensor(&self) -> Tensor {
        // SAFETY: tests keep pairs alive longer than optimizers, and order everything on one stream.
        unsafe { Tensor::f32(self.param.address(), self.grad.address(), self.param.len as u64) }
    }

    pub fn host_tensor(&mut self) -> Tensor {
        let (param, grad) = (self.host_param.as_mut_ptr() as u64, self.host_grad.as_ptr() as u64);
        // SAFETY: as above; boxed slices do not move.
        unsafe { Tensor::f32(param, grad, self.host_param.len() as u64) }
    }

    /// A new gradient on both sides.
    pub fn set_grad(&mut self, rig: &Rig, grad: &[f32]) {
        self.host_grad.copy_from_slice(grad);
        self.grad.write(rig, grad);
    }
}

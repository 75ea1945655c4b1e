//! Places in cudarc's memory, without addresses.

use super::RateOutput;
use crate::device::{self, DevicePtr};
use crate::plan::Dtype;

/// What a value may be written as: `f32` or `f64`.
pub trait RateElement: sealed::Sealed {
    #[doc(hidden)]
    const DTYPE: Dtype;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

impl RateElement for f32 {
    const DTYPE: Dtype = Dtype::F32;
}

impl RateElement for f64 {
    const DTYPE: Dtype = Dtype::F64;
}

impl RateOutput {
    /// The first element of a `CudaSlice`, or of a view of one: `&slice.slice(3..4)`.
    pub fn from_cudarc<T: RateElement>(slice: &impl DevicePtr<T>) -> RateOutput {
        let (address, len) = device::place(slice);
        // Of an empty slice there is none, and 0 is refused at build.
        RateOutput { address: if len == 0 { 0 } else { address }, dtype: T::DTYPE }
    }
}

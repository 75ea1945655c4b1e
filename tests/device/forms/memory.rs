//! Memory of elements of any type, the same on both sides, with gaps between tensors: what is written past one shows.

use half::{bf16, f16};
use instep::{Buffer, Dtype};

use crate::rig::{Array, Rig};
use crate::values::assert_same_bits;

/// Bytes between two tensors at least, and what stands there: an ordinary value in every type.
const GAP: usize = 16;
const NOTHING: u8 = 0x41;

/// Bytes of an element.
pub fn bytes_of(dtype: Dtype) -> usize {
    if dtype == Dtype::F32 { 4 } else { 2 }
}

/// `values` as elements of a type, rounded to nearest.
pub fn encoded(dtype: Dtype, values: &[f32]) -> Vec<u8> {
    match dtype {
        Dtype::Bf16 => values.iter().flat_map(|x| bf16::from_f32(*x).to_bits().to_ne_bytes()).collect(),
        Dtype::F16 => values.iter().flat_map(|x| f16::from_f32(*x).to_bits().to_ne_bytes()).collect(),
        _ => values.iter().flat_map(|x| x.to_ne_bytes()).collect(),
    }
}

/// Equal bytes, or in f32 equal bits where a NaN equals any.
#[track_caller]
pub fn assert_same_elements(dtype: Option<Dtype>, device: &[u8], host: &[u8], what: &str) {
    if dtype == Some(Dtype::F32) {
        let floats = |bytes: &[u8]| bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect::<Vec<f32>>();
        return assert_same_bits(&floats(device), &floats(host), what);
    }
    if let Some(first) = device.iter().zip(host).position(|(d, h)| d != h) {
        let count = device.iter().zip(host).filter(|(d, h)| d != h).count();
        let (d, h) = (device[first], host[first]);
        panic!("{what}: {count} of {} bytes differ, first {first}: device {d:#x}, host {h:#x}", host.len());
    }
}

/// A tensor's place: its first byte, its length and type.
#[derive(Clone, Copy)]
pub struct Place {
    pub first: usize,
    pub len: usize,
    pub dtype: Dtype,
}

impl Place {
    fn bytes(self) -> std::ops::Range<usize> {
        self.first..self.first + self.len * bytes_of(self.dtype)
    }

    pub fn buffer(self, base: u64) -> Buffer {
        Buffer { address: base + self.first as u64, len: self.len as u64, dtype: self.dtype }
    }
}

pub struct Memory {
    pub device: Array,
    host: Box<[f32]>,
    pub places: Vec<Place>,
}

impl Memory {
    /// `shapes`: length, type, and by how many elements past a 16-byte boundary each begins.
    pub fn new(
        rig: &Rig,
        shapes: impl Iterator<Item = (usize, Dtype, usize)>,
        mut values: impl FnMut(usize) -> Vec<f32>,
    ) -> Memory {
        let (mut all, mut places) = (Vec::new(), Vec::new());
        for (len, dtype, skew) in shapes {
            all.resize((all.len() + GAP).next_multiple_of(16) + skew * bytes_of(dtype), NOTHING);
            places.push(Place { first: all.len(), len, dtype });
            all.extend(encoded(dtype, &values(len)));
        }
        all.resize((all.len() + GAP).next_multiple_of(4), NOTHING);
        let host: Vec<f32> = all.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect();
        Memory { device: rig.array(&host, 0), host: host.into(), places }
    }

    pub fn host_address(&mut self) -> u64 {
        self.host.as_mut_ptr() as u64
    }

    /// Overwrites the elements of all tensors on both sides.
    pub fn write(&mut self, rig: &Rig, mut values: impl FnMut(usize) -> Vec<f32>) {
        for place in &self.places {
            let bytes = encoded(place.dtype, &values(place.len));
            bytemuck::cast_slice_mut::<f32, u8>(&mut self.host)[place.bytes()].copy_from_slice(&bytes);
        }
        self.device.write(rig, &self.host);
    }

    /// Takes what lies in another memory of the same shapes.
    pub fn copy(&mut self, rig: &Rig, other: &Memory) {
        self.host.copy_from_slice(&other.host);
        self.device.write(rig, &self.host);
    }

    /// All of it.
    pub fn bytes(&self) -> Vec<u8> {
        bytemuck::cast_slice(&self.host).to_vec()
    }

    /// Compares all tensors, and the gaps between them.
    pub fn assert_equal(&self, rig: &Rig, what: &str) {
        let device = self.device.read(rig);
        let (device, host): (&[u8], &[u8]) = (bytemuck::cast_slice(&device), bytemuck::cast_slice(&self.host));
        let mut end = 0;
        for (i, place) in self.places.iter().enumerate() {
            let (range, what) = (place.bytes(), format!("{what}, tensor {i} of {} elements", place.len));
            assert_same_elements(
                None,
                &device[end..range.start],
                &host[end..range.start],
                &format!("{what}: before it"),
            );
            assert_same_elements(Some(place.dtype), &device[range.clone()], &host[range.clone()], &what);
            end = range.end;
        }
        assert_same_elements(None, &device[end..], &host[end..], &format!("{what}, behind all"));
    }
}

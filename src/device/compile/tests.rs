//! The way from text to image with a real NVRTC, which needs no GPU. Skipped, with a line that says so, where there is none.

use std::path::PathBuf;
use std::time::Instant;

use super::super::scratch::{Scratch, in_own_process};
use super::*;
use crate::error::Error;

const AXPY: Source<'static> = Source {
    name: "axpy.cu",
    text: "#include \"scale.cuh\"\nextern \"C\" __global__ void axpy(float* y, float a) { *y = scale(a) + *y; }",
    headers: &[("scale.cuh", "__device__ inline float scale(float a) { return 3.f * a; }")],
};

const BROKEN: Source<'static> =
    Source { headers: &[("scale.cuh", "__device__ inline float scale(float a) { return SCALE * a; }\n")], ..AXPY };

/// Whether NVRTC is there. Where `INSTEP_REQUIRE` lists it, its absence fails the test.
fn has_nvrtc() -> bool {
    match Nvrtc::of_process() {
        Ok(_) => true,
        Err(error) => {
            let required = std::env::var("INSTEP_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|tier| tier.trim() == "nvrtc"), "{error}");
            eprintln!("skipped: {error}");
            false
        }
    }
}

fn fresh(source: &Source<'_>, device: (u32, u32)) -> Result<Arc<[u8]>> {
    image(&Cache::in_memory(), source, device)
}

#[test]
fn a_known_device_gets_machine_code() {
    if !in_own_process("device::compile::tests::a_known_device_gets_machine_code", &[]) || !has_nvrtc() {
        return;
    }
    let image = fresh(&AXPY, (9, 0)).unwrap();
    assert!(image.starts_with(b"\x7fELF"), "{:?}", &image[..16]);
}

#[test]
fn an_unknown_device_gets_ptx_without_contraction() {
    if !in_own_process("device::compile::tests::an_unknown_device_gets_ptx_without_contraction", &[]) || !has_nvrtc() {
        return;
    }
    let image = fresh(&AXPY, (9, 9)).unwrap();
    let ptx = std::str::from_utf8(&image).unwrap().strip_suffix('\0').expect("the driver wants a closing zero");
    assert!(ptx.contains(".target sm_90"), "{ptx}");
    assert!(ptx.contains("mul.") && ptx.contains("add.") && !ptx.contains("fma"), "3 * a + y was contracted:\n{ptx}");
    assert!(!ptx.contains(".ftz"), "{ptx}");
}

#[test]
fn a_device_that_nvrtc_has_dropped_is_told_so() {
    if !in_own_process("device::compile::tests::a_device_that_nvrtc_has_dropped_is_told_so", &[]) || !has_nvrtc() {
        return;
    }
    let error = fresh(&AXPY, (2, 0)).unwrap_err();
    assert!(matches!(error, Error::NoNvrtc { .. }), "{error:?}");
    assert!(error.to_string().contains("and later, but the device has 2.0"), "{error}");
}

#[test]
fn an_error_in_the_text_comes_with_nvrtcs_log_as_it_is() {
    if !in_own_process("device::compile::tests::an_error_in_the_text_comes_with_nvrtcs_log_as_it_is", &[])
        || !has_nvrtc()
    {
        return;
    }
    let error = fresh(&BROKEN, (9, 0)).unwrap_err();
    let Error::Compile { name, detail, log } = &error else { panic!("{error:?}") };
    assert_eq!((name.as_str(), detail.as_str()), ("axpy.cu", "NVRTC_ERROR_COMPILATION"));
    assert!(log.contains("scale.cuh(1): error: identifier \"SCALE\" is undefined\n"), "{log}");
    assert!(error.to_string().ends_with(log), "the log is printed unchanged");
    let zero = fresh(&Source { text: "int a;\0int b;", ..AXPY }, (9, 0)).unwrap_err();
    assert!(matches!(&zero, Error::Argument { argument, .. } if argument == "source.text"), "{zero:?}");
}

#[test]
fn every_part_of_the_source_and_the_device_make_another_key() {
    let base = key(&AXPY, (9, 0));
    assert_eq!(base, key(&AXPY, (9, 0)));
    let others = [
        key(&AXPY, (9, 1)),
        key(&AXPY, (10, 0)),
        key(&BROKEN, (9, 0)),
        key(&Source { name: "other.cu", ..AXPY }, (9, 0)),
        key(&Source { text: "", ..AXPY }, (9, 0)),
        key(&Source { headers: &[], ..AXPY }, (9, 0)),
    ];
    for (index, other) in others.iter().enumerate() {
        assert_ne!(base, *other, "case {index}");
    }
}

#[test]
fn a_warm_cache_needs_no_nvrtc() {
    const NAME: &str = "device::compile::tests::a_warm_cache_needs_no_nvrtc";
    const WARM: &str = "INSTEP_TEST_WARM";
    let scratch = Scratch::new("compile-warm");
    let folder = scratch.join("cache");
    if !in_own_process(NAME, &[("INSTEP_CACHE_DIR", &folder)]) {
        if folder.exists() {
            assert!(!in_own_process(NAME, &[("INSTEP_CACHE_DIR", &folder), (WARM, &folder)]));
        }
        return;
    }
    let begin = Instant::now();
    let warm = std::env::var_os(WARM).is_some();
    if !warm && !has_nvrtc() {
        return;
    }
    image(Cache::of_process(), &AXPY, (9, 0)).unwrap();
    eprintln!("{} cache: {:.2} ms", if warm { "warm" } else { "cold" }, begin.elapsed().as_secs_f64() * 1e3);
    #[cfg(target_os = "linux")]
    {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        assert_eq!(maps.contains("libnvrtc"), !warm, "whether NVRTC is loaded");
    }
    let entries = std::fs::read_dir(PathBuf::from(std::env::var_os("INSTEP_CACHE_DIR").unwrap())).unwrap();
    assert_eq!(entries.count(), 1);
}

//! Rates on the host: what follows from what, and every refusal with its text.

use instep::{Device, LoadOptions, NonFinite, RateGroup, RateOutput, Rates, Schedule, Stream};

/// The error of one group's build.
fn refused(group: RateGroup) -> String {
    Rates::builder(&Device::host()).group(group).build().unwrap_err().to_string()
}

/// Writes `name` to an f64 that nobody reads.
fn written(group: RateGroup, names: &[&str]) -> RateGroup {
    let places = Box::leak(vec![0.0f64; names.len().max(1)].into_boxed_slice());
    names.iter().enumerate().fold(group, |group, (i, name)| {
        // SAFETY: it lives for ever.
        unsafe { group.write(*name, RateOutput::f64(&raw mut places[i] as u64)) }
    })
}

#[test]
fn values_follow_from_schedules_and_from_values_before_them() {
    let mut out = Box::new([0.0f64; 6]);
    let group = RateGroup::new(Schedule::linear(1.0, 3.0).over(4))
        .schedule("beta1", 0.5)
        .value("twice", |s| 2.0 * s.get("lr"))
        .value("mixed", |s| -(s.get("twice") - 1.0) / s.number(4.0) + s.get("lr").pow(2.0))
        .value("bounded", |s| s.get("mixed").abs().min(2.5).max(s.get("lr").sqrt()))
        .value("correction", |s| s.get("beta1").bias_correction())
        .value("count", |s| s.updates())
        .value("log", |s| s.get("lr").ln().exp());
    let names = ["twice", "mixed", "bounded", "correction", "count", "log"];
    let group = names.into_iter().enumerate().fold(group, |group, (i, name)| {
        // SAFETY: the box outlives the rates.
        unsafe { group.write(name, RateOutput::f64(&raw mut out[i] as u64)) }
    });
    let mut rates = Rates::builder(&Device::host()).group(group).build().unwrap();
    for t in 0..6i32 {
        rates.step(&Stream::host()).unwrap();
        let lr = if t < 4 { 1.0 + 0.5 * f64::from(t) } else { 3.0 };
        let mixed = -(2.0 * lr - 1.0) / 4.0 + lr * lr;
        assert_eq!(out[..2], [2.0 * lr, mixed], "step {t}");
        assert_eq!(out[2], mixed.abs().min(2.5).max(lr.sqrt()), "step {t}");
        approx::assert_relative_eq!(out[3], 1.0 - 0.5f64.powi(t + 1), max_relative = 1e-14);
        assert_eq!(out[4], f64::from(t));
        approx::assert_relative_eq!(out[5], lr, max_relative = 1e-14);
    }
}

#[test]
fn what_is_wrong_with_a_group_is_told_by_name() {
    let lr = || RateGroup::new(0.1);
    let cases = [
        (lr(), "groups[0].write is missing, but must be called: nothing would be written"),
        (written(lr(), &["rate"]), "groups[0].write is \"rate\", but is no schedule and no value: there are lr"),
        (
            written(lr().value("keep", |s| 1.0 - s.get("wd")), &["keep"]),
            "groups[0].value.keep is \"wd\", but names no schedule and no value before it: there are lr",
        ),
        (
            written(lr().schedule("lr", 1.0), &["lr"]),
            "groups[0].name is \"lr\", but must not be that of another schedule or value",
        ),
        (
            written(lr().schedule("Beta", 1.0), &["lr"]),
            "groups[0].name is \"Beta\", but must be at most 39 small letters, digits and single underscores, begin with a letter, \
             and be no word of C++, of a tape or of a configuration",
        ),
        (
            written(lr().schedule("beta", 1.0).value("c", |s| s.get("beta").bias_correction()), &["c"]),
            "groups[0].beta is 1, but must lie in [0, 1) at every step",
        ),
    ];
    for (group, expected) in cases {
        assert_eq!(refused(group), expected);
    }
    let at = |outputs: &[RateOutput]| {
        // SAFETY: refused before anything is written.
        let write = |group: RateGroup, output: &RateOutput| unsafe { group.write("lr", *output) };
        refused(outputs.iter().fold(lr(), write))
    };
    let (f32, f64) = (RateOutput::f32, RateOutput::f64);
    let cases = [
        (&[f32(0)][..], "write[0].address is 0x0, but must be the 4-byte aligned address of an f32"),
        (&[f64(20)], "write[0].address is 0x14, but must be the 8-byte aligned address of an f64"),
        (
            &[f32(0x1004), f64(0x1000)],
            "write[1].address is 0x1000, but must not overlap write[0]: two scalars would go there",
        ),
    ];
    for (outputs, expected) in cases {
        assert_eq!(at(outputs), expected);
    }
    let metric = lr().schedule("metric", 1.0);
    assert!(refused(written(metric, &["lr"])).starts_with("groups[0].name is \"metric\", but must be at most 39"));
    let many = (0..24).fold(lr(), |group, i| group.schedule(format!("s_{i}"), 1.0));
    assert_eq!(
        refused(written(many, &["lr"])),
        "groups[0].schedule is 25, but must be at most 24 with lr: add another group for the rest"
    );
    let many = (0..17).fold(lr(), |group, i| group.schedule(format!("s_{i}"), 1.0));
    let names: Vec<String> = (0..17).map(|i| format!("s_{i}")).collect();
    let many = written(many, &names.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(
        refused(many),
        "groups[0].write is 17, but must be at most 16 different values: add another group for the rest"
    );
}

#[test]
fn rates_without_a_group_or_a_flag_are_refused() {
    let builder = || Rates::builder(&Device::host());
    assert_eq!(builder().build().unwrap_err().to_string(), "groups is empty, but rates need at least one group");
    let policy = builder().group(written(RateGroup::new(0.1), &["lr"])).non_finite(NonFinite::SkipAndRaise(3));
    assert_eq!(
        policy.build().unwrap_err().to_string(),
        "non_finite is set, but must not be set without found_inf(..): rates see no gradient"
    );
}

#[test]
fn names_of_groups_differ_and_flags_are_not_written() {
    let builder = || Rates::builder(&Device::host());
    let group = || written(RateGroup::new(0.1).name("all"), &["lr"]);
    assert_eq!(
        builder().group(group()).group(group()).build().unwrap_err().to_string(),
        "groups[1].name is \"all\", but must not be that of another group"
    );
    let mut places = Box::new([0.0f32; 2]);
    let address = places.as_mut_ptr() as u64;
    // SAFETY: refused before anything is written.
    let overlaps = unsafe { RateGroup::new(0.1).write("lr", RateOutput::f32(address)) };
    // SAFETY: the box outlives the rates.
    let builder = unsafe { builder().group(overlaps).found_inf(address) };
    assert_eq!(
        builder.build().unwrap_err().to_string(),
        format!("found_inf is {address:#x}, but the launch writes there: it overlaps write[0]")
    );
}

#[test]
fn a_state_goes_on_with_other_values_of_the_same_schedules() {
    let stream = Stream::host();
    let mut out = Box::new([0.0f64; 2]);
    let group = || RateGroup::new(Schedule::linear(0.0, 1.0).over(8)).name("all");
    let keep = written(group().value("keep", |s| 1.0 - s.get("lr")), &["lr", "keep"]);
    let mut rates = Rates::builder(&Device::host()).group(keep).build().unwrap();
    (0..5).for_each(|_| rates.step(&stream).unwrap());
    let block = rates.state(&stream).unwrap();

    // Another formula, one value less, in another order.
    let group = group().value("keep", |s| 2.0 - s.get("lr"));
    // SAFETY: the box outlives the rates.
    let group = unsafe { group.write("keep", RateOutput::f64(&raw mut out[0] as u64)) };
    let mut resumed = Rates::builder(&Device::host()).group(group).build().unwrap();
    resumed.load_state(&block, &stream).unwrap();
    resumed.step(&stream).unwrap();
    assert_eq!((out[0], resumed.status(&stream).unwrap().t), (2.0 - 5.0 / 8.0, 6));

    let other = written(RateGroup::new(Schedule::linear(0.0, 2.0).over(8)).name("all"), &["lr"]);
    let mut other = Rates::builder(&Device::host()).group(other).build().unwrap();
    let error = other.load_state(&block, &stream).unwrap_err().to_string();
    assert!(error.contains("lr"), "another schedule takes a word: {error}");
    other.load_state_with(&block, LoadOptions::new().schedules(), &stream).unwrap();
    assert_eq!(other.status(&stream).unwrap().t, 5);
}

#[test]
fn a_group_shows_names_and_no_address() {
    let group = written(RateGroup::new(0.1).name("all").value("keep", |s| 1.0 - s.get("lr")), &["keep", "lr"]);
    let shown = format!("{group:?}");
    assert!(shown.contains("\"all\"") && shown.contains("[\"keep\"]") && shown.contains("addresses: 2"), "{shown}");
    assert!(!shown.contains("0x"), "{shown}");
}

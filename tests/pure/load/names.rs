//! What goes by names: another order, other groups, and what rules and metric rules remember.

use instep::{
    AdamW, Device, DoG, LoadOptions, NAdam, NovoGrad, Optimizer, OptimizerBuilder, Plateau, Prodigy, Schedule, Sgd,
    Stream, Tensor, knob,
};

use super::{Model, block, f32_of, lines, load, refused};

const TENSORS: [(&str, usize); 4] = [("a", 5), ("b", 30), ("c", 7), ("d", 12)];
/// All that is allowed.
fn all() -> LoadOptions {
    let all = LoadOptions::new().schedules().constants().metrics().clipping().loss_scale();
    all.accumulation().tensors().precision().masters()
}

fn builder() -> OptimizerBuilder {
    Optimizer::builder(&Device::host())
}

fn observe(opt: &mut Optimizer, value: f64) {
    // SAFETY: a value has no address.
    unsafe { opt.observe(value, &Stream::host()) }.unwrap();
}

/// Rules with states alone, and those that remember of cohorts and of tensors.
const RULES: [fn(OptimizerBuilder, &[Tensor]) -> OptimizerBuilder; 3] = [
    |builder, tensors| {
        let lr = Schedule::cosine(knob("peak", 0.1), 0.0).over(100);
        builder.group(AdamW::new(lr).metric(Plateau::new().patience(2)), tensors)
    },
    |builder, tensors| builder.group(NAdam::new(0.01), tensors),
    |builder, tensors| builder.group(NovoGrad::new(0.01), tensors),
];

#[test]
fn another_order_and_other_groups_need_no_word() {
    for (i, add) in RULES.into_iter().enumerate() {
        let mut model = Model::new(&TENSORS);
        let groups = |model: &Model, groups: &[&[&str]]| {
            groups.iter().fold(builder(), |builder, names| add(builder, &model.tensors(names))).build().unwrap()
        };
        let mut opt = groups(&model, &[&["a", "b", "c", "d"]]);
        for call in 0..20 {
            if i == 0 {
                observe(&mut opt, 1.0);
            }
            model.steps(&mut opt, call..call + 1);
        }
        let state = block(&opt);
        let mut resumed = Model::new(&TENSORS).with_params_of(&model);
        let mut second = groups(&resumed, &[&["d", "b"], &["c", "a"]]);
        second.load_state(&state, &Stream::host()).unwrap_or_else(|error| panic!("rule {i}: {error}"));
        // And back into one, in another order again.
        let mut again = Model::new(&TENSORS).with_params_of(&model);
        let mut third = groups(&again, &[&["b", "a", "d", "c"]]);
        third.load_state(&block(&second), &Stream::host()).unwrap_or_else(|error| panic!("rule {i}: {error}"));
        let [one, two, three] = [&opt, &second, &third].map(|opt| opt.status(&Stream::host()).unwrap());
        assert_eq!(one.metric(0), two.metric(1), "rule {i}: each has what the one had come to");
        assert_eq!((one.metric(0), one.scalars(0)), (three.metric(0), two.scalars(1)), "rule {i}");
        model.steps(&mut opt, 20..30);
        resumed.steps(&mut second, 20..30);
        again.steps(&mut third, 20..30);
        for (name, _) in TENSORS {
            assert_eq!(model.param(name), resumed.param(name), "rule {i}, {name}, split");
            assert_eq!(model.param(name), again.param(name), "rule {i}, {name}, joined");
        }
    }
}

#[test]
fn groups_that_remember_different_values_do_not_become_one() {
    let mut model = Model::new(&TENSORS);
    let two = |model: &Model| {
        let builder = builder().group(DoG::new(1.0), &model.tensors(&["a", "b"]));
        builder.group(DoG::new(1.0), &model.tensors(&["c", "d"])).build().unwrap()
    };
    let mut opt = two(&model);
    model.steps(&mut opt, 0..10);
    let mut one = builder().group(DoG::new(1.0), &model.tensors(&["a", "b", "c", "d"])).build().unwrap();
    let found = refused(&mut one, &block(&opt), all());
    let line = "groups[0].tensors: \"a\" and \"c\" in groups whose rules remember different values, here in one group";
    assert_eq!((lines(&found), found[0].word), (vec![line.to_owned()], None));
}

#[test]
fn groups_whose_metric_rules_have_come_to_different_states_do_not_become_one() {
    let mut model = Model::new(&TENSORS);
    let rule = |patience| Sgd::new(0.1).metric(Plateau::new().factor(0.5).patience(patience));
    let builder = |model: &Model, patience| {
        let builder = Optimizer::builder(&Device::host()).group(rule(patience), &model.tensors(&["a", "b"]));
        builder.group(rule(2), &model.tensors(&["c", "d"])).build().unwrap()
    };
    let mut opt = builder(&model, 0);
    for call in 0..2 {
        observe(&mut opt, 1.0);
        model.steps(&mut opt, call..call + 1);
    }
    let state = block(&opt);
    let mut one =
        Optimizer::builder(&Device::host()).group(rule(2), &model.tensors(&["a", "b", "c", "d"])).build().unwrap();
    let found = refused(&mut one, &state, all());
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(lines(&found)[0].starts_with("groups[0].metric: at scales 0.5 and 1, here one rule; "), "{found:#?}");
    // With another patience the state goes on.
    let mut other = builder(&model, 5);
    let loaded = load(&mut other, &state, LoadOptions::new().metrics());
    let line = "groups[0].metric.patience: 0, here 5; its state goes on, with scale 0.5";
    assert_eq!(lines(loaded.changes()), [line]);
    assert_eq!(other.status(&Stream::host()).unwrap().metric(0).unwrap().scale, 0.5);
}

#[test]
fn tensors_of_one_name_must_be_of_one_length_and_rule() {
    let mut model = Model::new(&TENSORS);
    let mut opt = builder().group(AdamW::new(0.1), &model.tensors(&["a", "b", "c"])).build().unwrap();
    model.steps(&mut opt, 0..3);
    let other = Model::new(&[("a", 6), ("b", 30), ("c", 7)]);
    let mut second = builder()
        .group(AdamW::new(0.1), &other.tensors(&["a", "b"]))
        .group(Sgd::new(0.1), &other.tensors(&["c"]))
        .build()
        .unwrap();
    let found = refused(&mut second, &block(&opt), all());
    let expected = [
        "tensor \"a\": 5 elements, here 6 elements",
        "groups[1].rule: adamw, here sgd; states of one rule mean nothing to another",
    ];
    assert_eq!(lines(&found), expected);
}

#[test]
fn new_tensors_start_as_in_a_new_optimizer() {
    let known = [("a", 5), ("b", 30)];
    let mut model = Model::new(&known);
    let mut opt = builder().group(AdamW::new(0.01), &model.tensors(&["a", "b"])).build().unwrap();
    model.steps(&mut opt, 0..90);
    let state = block(&opt);
    let mut resumed = Model::new(&TENSORS).with_params_of(&model);
    let mut second = builder().group(AdamW::new(0.01), &resumed.tensors(&["c", "a", "d", "b"])).build().unwrap();
    let line = "tensors: without \"c\", \"d\", here with them; they start with a fresh state";
    assert_eq!(lines(&refused(&mut second, &state, LoadOptions::new())), [line]);
    let loaded = load(&mut second, &state, LoadOptions::new().tensors());
    assert_eq!(lines(loaded.changes()), [line]);
    assert!(f32_of(&second, "a", "exp_avg_sq") == f32_of(&opt, "a", "exp_avg_sq"));
    let mut fresh_model = Model::new(&TENSORS);
    let mut fresh = builder().group(AdamW::new(0.01), &fresh_model.tensors(&["c", "d"])).build().unwrap();
    model.steps(&mut opt, 90..120);
    resumed.steps(&mut second, 90..120);
    fresh_model.steps(&mut fresh, 90..120);
    for name in ["a", "b"] {
        assert_eq!(model.param(name), resumed.param(name), "{name} goes on");
    }
    for name in ["c", "d"] {
        assert_eq!(fresh_model.param(name), resumed.param(name), "{name} begins");
    }
}

#[test]
fn what_is_remembered_of_all_groups_is_known_to_a_new_one() {
    let mut model = Model::new(&TENSORS);
    let mut opt = builder().group(Prodigy::new(1.0), &model.tensors(&["a", "b"])).build().unwrap();
    model.steps(&mut opt, 0..20);
    let groups = builder().group(Prodigy::new(1.0), &model.tensors(&["c", "d"]));
    let mut second = groups.group(Prodigy::new(1.0), &model.tensors(&["a", "b"])).build().unwrap();
    load(&mut second, &block(&opt), LoadOptions::new().tensors());
    let [one, two] = [&opt, &second].map(|opt| opt.status(&Stream::host()).unwrap());
    let d = one.remembered(0, "d");
    assert!(d.is_some_and(|d| d != 1e-6), "{d:?}");
    assert_eq!([two.remembered(0, "d"), two.remembered(1, "d")], [d, d]);
}

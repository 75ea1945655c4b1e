//! Each word alone, and all together.

use instep::{
    Accumulate, AdamW, Clip, Device, LoadOptions, LossScale, Momentum, NonFinite, Optimizer, OptimizerBuilder, Plateau,
    Precision, Schedule, Sgd, StateForm, Stream, knob, knob_steps, reached,
};

use super::{Model, block, f32_of, lines, load, refused};

const TENSORS: [(&str, usize); 3] = [("a", 5), ("b", 300), ("c", 70)];
const STOP: u64 = 90;

fn cosine(steps: u64) -> Schedule {
    Schedule::cosine(0.1, 0.0).over(steps)
}

fn adam(lr: Schedule) -> AdamW {
    AdamW::new(lr).weight_decay(0.01)
}

fn sgd() -> Sgd {
    Sgd::new(0.05).momentum(Momentum::Heavy, 0.9)
}

fn builder() -> OptimizerBuilder {
    Optimizer::builder(&Device::host())
}

/// The run that is stopped.
fn first(model: &Model) -> Optimizer {
    builder()
        .group(adam(cosine(100)), &model.tensors(&["a", "b"]))
        .group(sgd(), &model.tensors(&["c"]))
        .build()
        .unwrap()
}

struct Case {
    word: fn(LoadOptions) -> LoadOptions,
    build: fn(&Model) -> Optimizer,
    lines: &'static [&'static str],
}

/// A builder that has more, and the groups as they were.
fn with(model: &Model, builder: OptimizerBuilder) -> Optimizer {
    builder.group(adam(cosine(100)), &model.tensors(&["a", "b"])).group(sgd(), &model.tensors(&["c"])).build().unwrap()
}

/// Another rule for the first group.
fn with_rule(model: &Model, rule: AdamW) -> Optimizer {
    builder().group(rule, &model.tensors(&["a", "b"])).group(sgd(), &model.tensors(&["c"])).build().unwrap()
}

const CASES: [Case; 14] = [
    Case {
        word: LoadOptions::schedules,
        build: |model| with_rule(model, adam(cosine(190))),
        lines: &[
            "groups[0].lr: half a cosine from 0.1 to 0 over 100 steps, here half a cosine from 0.1 to 0 over 190 steps",
        ],
    },
    Case {
        word: LoadOptions::schedules,
        build: |model| with_rule(model, adam(Schedule::cosine(0.2, 0.0).over(100))),
        lines: &[
            "groups[0].lr: half a cosine from 0.1 to 0 over 100 steps, here half a cosine from 0.2 to 0 over 100 steps",
        ],
    },
    Case {
        word: LoadOptions::schedules,
        build: |model| with_rule(model, adam(Schedule::cosine(0.100000001, 0.0).over(100))),
        lines: &[
            "groups[0].lr: half a cosine from 0.1 to 0 over 100 steps, with cosine.from = 0.1, here with cosine.from = 0.100000001",
        ],
    },
    Case {
        word: LoadOptions::schedules,
        build: |model| with_rule(model, adam(cosine(100)).weight_decay(knob("decay", 0.1))),
        lines: &["knob \"decay\": none, here 0.1", "groups[0].weight_decay: 0.01, here knob \"decay\""],
    },
    Case {
        word: LoadOptions::constants,
        build: |model| with_rule(model, adam(cosine(100)).beta2(0.99).eps(1e-6)),
        lines: &["groups[0].beta2: 0.999, here 0.99", "groups[0].eps: 1e-8, here 1e-6"],
    },
    Case {
        word: LoadOptions::constants,
        build: |model| with_rule(model, adam(cosine(100)).weight_decay(0.0)),
        lines: &[
            "groups[0].rule: adamw, here adamw with weight_decay = 0; its states go on",
            "groups[0].weight_decay: 0.01, here 0",
        ],
    },
    Case {
        word: LoadOptions::metrics,
        build: |model| with(model, builder().metric(Plateau::new())),
        lines: &["groups[0].metric: none, here plateau", "groups[1].metric: none, here plateau"],
    },
    Case {
        word: LoadOptions::clipping,
        build: |model| with(model, builder().clip(Clip::torch_norm(0.1))),
        lines: &["clip: none, here torch's by the 2-norm above 0.1"],
    },
    Case {
        word: LoadOptions::clipping,
        build: |model| with(model, builder().non_finite(NonFinite::SkipAndRaise(3))),
        lines: &["gradients that are not finite: applied, here skipped, with a flag after 3 in a row"],
    },
    Case {
        word: LoadOptions::loss_scale,
        build: |model| with(model, builder().loss_scale(LossScale::dynamic().init(4.0))),
        lines: &["loss_scale: always 1, here dynamic; it is 4 from now on, and was 1"],
    },
    Case {
        word: LoadOptions::accumulation,
        build: |model| with(model, builder().accumulate(Accumulate::mean(2))),
        lines: &["accumulate: none, here the mean of calls"],
    },
    Case {
        word: LoadOptions::accumulation,
        build: |model| with(model, builder().zero_gradients()),
        lines: &["gradients zeroed: not, here after use"],
    },
    Case {
        word: LoadOptions::tensors,
        build: |model| {
            builder()
                .group(adam(cosine(100)), &model.tensors(&["a"]))
                .group(sgd(), &model.tensors(&["c"]))
                .build()
                .unwrap()
        },
        lines: &["tensors: with \"b\", here without them; their state is dropped"],
    },
    Case {
        word: LoadOptions::precision,
        build: |model| {
            with(model, builder().precision(Precision::new().state("exp_avg", StateForm::EightBit).quantize_from(64)))
        },
        lines: &["groups[0].exp_avg of \"b\": f32, here 8-bit"],
    },
];

/// All words but the one of a case.
fn others(case: &Case) -> LoadOptions {
    let words: [fn(LoadOptions) -> LoadOptions; 9] = [
        LoadOptions::schedules,
        LoadOptions::constants,
        LoadOptions::metrics,
        LoadOptions::clipping,
        LoadOptions::loss_scale,
        LoadOptions::accumulation,
        LoadOptions::tensors,
        LoadOptions::precision,
        LoadOptions::masters,
    ];
    let own = (case.word)(LoadOptions::new());
    words.iter().filter(|word| word(LoadOptions::new()) != own).fold(LoadOptions::new(), |all, word| word(all))
}

#[test]
fn each_word_allows_its_own_alone_and_keeps_clock_and_moments() {
    for case in &CASES {
        let mut model = Model::new(&TENSORS);
        let mut opt = first(&model);
        model.steps(&mut opt, 0..STOP);
        let state = block(&opt);

        let resumed = Model::new(&TENSORS).with_params_of(&model);
        let mut second = (case.build)(&resumed);
        let found = refused(&mut second, &state, LoadOptions::new());
        assert_eq!(lines(&found), case.lines);
        assert_eq!(refused(&mut second, &state, others(case)), found, "no other word allows it");

        let loaded = load(&mut second, &state, (case.word)(LoadOptions::new()));
        assert_eq!(loaded.changes(), found, "what was allowed is told");
        assert!(loaded.kept().is_empty(), "{loaded}");
        assert_eq!((loaded.t(), second.status(&Stream::host()).unwrap().t), (STOP, STOP));
        for (tensor, moment) in [("a", "exp_avg"), ("a", "exp_avg_sq"), ("b", "exp_avg_sq"), ("c", "momentum_buffer")] {
            if second.tensors().any(|view| view.name == tensor) {
                assert!(f32_of(&second, tensor, moment) == f32_of(&opt, tensor, moment), "{tensor}.{moment}, {loaded}");
            }
        }
        let mut resumed = resumed;
        resumed.steps(&mut second, STOP..STOP + 4);
        assert!(["a", "c"].iter().all(|name| resumed.param(name).iter().all(|x| x.is_finite())), "{loaded}");
        // What it wrote is its own state: it loads without a word.
        let mut third = (case.build)(&resumed);
        third.load_state(&block(&second), &Stream::host()).unwrap();
        assert!(block(&third) == block(&second));
    }
}

#[test]
fn all_words_together_allow_all_and_one_error_says_all_of_it() {
    let mut model = Model::new(&TENSORS);
    let mut opt = first(&model);
    model.steps(&mut opt, 0..STOP);
    let state = block(&opt);
    let resumed = Model::new(&TENSORS).with_params_of(&model);
    let precision = Precision::new().state("exp_avg", StateForm::EightBit).quantize_from(64);
    let rule = adam(Schedule::cosine(0.2, 0.0).over(190)).beta2(0.99);
    let all = builder().precision(precision).clip(Clip::torch_norm(0.5)).loss_scale(LossScale::dynamic().init(4.0));
    let all = all.metric(Plateau::new()).accumulate(Accumulate::mean(1));
    let mut second = all.group(rule, &resumed.tensors(&["b"])).group(sgd(), &resumed.tensors(&["c"])).build().unwrap();
    let found = refused(&mut second, &state, LoadOptions::new());
    let words: Vec<&str> = found.iter().filter_map(|difference| difference.word).collect();
    let expected = [
        "tensors",
        "schedules",
        "constants",
        "clipping",
        "loss_scale",
        "accumulation",
        "metrics",
        "metrics",
        "precision",
    ];
    assert_eq!(words, expected, "{found:#?}");
    let text = second.load_state(&state, &Stream::host()).unwrap_err().to_string();
    assert!(text.starts_with("the state is of another optimizer:\ntensors: with \"a\", here without them; "), "{text}");
    assert!(text.contains("here torch's by the 2-norm above 0.5 [allowed by LoadOptions::clipping()]\n"), "{text}");
    let options = LoadOptions::new().schedules().constants().metrics().clipping().loss_scale();
    let loaded = load(&mut second, &state, options.accumulation().tensors().precision());
    assert_eq!(loaded.changes(), found);
    assert!(loaded.to_string().starts_with("goes on at update 90\ntensors: with \"a\""), "{loaded}");
    let status = second.status(&Stream::host()).unwrap();
    assert_eq!((status.t, status.loss_scale), (STOP, 4.0));
    let lr = Schedule::cosine(0.2, 0.0).over(190).at(STOP).unwrap() as f32;
    assert_eq!(status.scalar(0, "lr"), Some(lr));
}

#[test]
fn a_longer_schedule_and_another_peak_go_on_as_if_they_were_edited() {
    let mut model = Model::new(&TENSORS);
    let edited = Schedule::cosine(knob("peak", 0.1), 0.0).over(knob_steps("total", 100));
    let mut opt = with_rule(&model, adam(edited));
    model.steps(&mut opt, 0..STOP);
    let state = block(&opt);
    let mut resumed = Model::new(&TENSORS).with_params_of(&model);
    let mut second = with_rule(&resumed, adam(Schedule::cosine(0.05, 0.0).over(190)));
    let loaded = load(&mut second, &state, LoadOptions::new().schedules());
    let changes = [
        "knob \"peak\": 0.1, here none",
        "knob \"total\": 100 steps, here none",
        "groups[0].lr: half a cosine from peak to 0 over total steps, here half a cosine from 0.05 to 0 over 190 steps",
    ];
    assert_eq!(lines(loaded.changes()), changes);
    opt.edit().set("peak", 0.05).set_steps("total", 190).apply(&Stream::host()).unwrap();
    model.steps(&mut opt, STOP..191);
    resumed.steps(&mut second, STOP..191);
    for (name, _) in TENSORS {
        assert_eq!(model.param(name), resumed.param(name), "{name}");
    }
}

#[test]
fn a_knob_keeps_the_states_value_and_it_is_told() {
    let peak =
        |default| Schedule::constant(knob("peak", default)).over(10).then(Schedule::cosine(reached(), 0.0).over(180));
    let mut model = Model::new(&TENSORS);
    let mut opt = with_rule(&model, adam(peak(0.1)));
    model.steps(&mut opt, 0..5);
    opt.edit().set("peak", 0.3).progress_increment(7).apply(&Stream::host()).unwrap();
    let state = block(&opt);
    let mut second = with_rule(&model, adam(peak(0.1)));
    let loaded = load(&mut second, &state, LoadOptions::new());
    let kept = [
        "knob \"peak\": 0.3, here 0.1; the state's is in force",
        "progress_increment: 7, here 1; the state's is in force",
    ];
    assert_eq!((lines(loaded.kept()), loaded.changes()), (kept.map(str::to_owned).to_vec(), &[][..]));
    // With another schedule too.
    let other = Schedule::linear(0.0, knob("peak", 0.2)).over(100);
    let mut third = with_rule(&model, adam(other));
    let loaded = load(&mut third, &state, LoadOptions::new().schedules());
    assert_eq!(lines(loaded.kept())[0], "knob \"peak\": 0.3, here 0.2; the state's is in force");
    let lr = third.status(&Stream::host()).unwrap().scalar(0, "lr").unwrap();
    assert_eq!(lr, Schedule::linear(0.0, 0.3).over(100).at(5).unwrap() as f32);
}

#[test]
fn what_now_resolved_stays_where_the_schedule_is_the_same_and_is_told_elsewhere() {
    let wsd = |end| {
        let stable = Schedule::constant(0.1).over(knob_steps("stable", 1_000));
        stable.then(Schedule::linear(reached(), end).over(10))
    };
    let mut model = Model::new(&TENSORS);
    let build = |model: &Model, end: f64| {
        let groups = builder().group(adam(wsd(0.0)), &model.tensors(&["a", "b"]));
        groups.group(Sgd::new(wsd(end)).momentum(Momentum::Heavy, 0.9), &model.tensors(&["c"])).build().unwrap()
    };
    let mut opt = build(&model, 0.01);
    model.steps(&mut opt, 0..20);
    opt.edit().now("stable").apply(&Stream::host()).unwrap();
    model.steps(&mut opt, 20..25);
    let state = block(&opt);
    let mut second = build(&model, 0.02);
    let loaded = load(&mut second, &state, LoadOptions::new().schedules());
    let line = "groups[1].lr: constant 0.1 over stable steps, then linear from the value reached to 0.01 over 10 steps, here \
                constant 0.1 over stable steps, then linear from the value reached to 0.02 over 10 steps; what now(\"stable\") \
                resolved is forgotten";
    assert_eq!(lines(loaded.changes()), [line]);
    let status = second.status(&Stream::host()).unwrap();
    assert_eq!((status.scalar(0, "lr"), status.scalar(1, "lr")), (Some(0.05), Some(0.1)), "one goes on falling");
    assert!(opt.status(&Stream::host()).unwrap().scalar(0, "lr") == Some(0.05));
    assert_eq!(second.knobs().count(), 1);
    // Two groups with one schedule here, of which one had it: they go on as one.
    let mut third = build(&model, 0.0);
    let loaded = load(&mut third, &state, LoadOptions::new().schedules());
    let said = lines(loaded.changes());
    assert!(
        said[0].starts_with("groups[1].lr: ") && said[0].ends_with("what now(\"stable\") resolved is forgotten"),
        "{said:#?}"
    );
    let line = "groups[0].lr: now(\"stable\"), not in all of the groups that share the schedule here, here as if it had not been";
    assert_eq!(said[1..], [line.to_owned()]);
    let status = third.status(&Stream::host()).unwrap();
    assert_eq!((status.scalar(0, "lr"), status.scalar(1, "lr")), (Some(0.1), Some(0.1)));
}

#[test]
fn a_dynamic_loss_scale_stays_where_it_is_dynamic_in_both() {
    let of = |model: &Model, scale: LossScale| with(model, builder().loss_scale(scale));
    let mut model = Model::new(&TENSORS);
    let mut opt = of(&model, LossScale::dynamic().init(16.0).interval(4));
    model.steps(&mut opt, 0..6);
    let state = block(&opt);
    let seen = |opt: &Optimizer| {
        let status = opt.status(&Stream::host()).unwrap();
        (status.loss_scale, status.growth_tracker)
    };
    assert_eq!(seen(&opt), (32.0, 2));
    let mut second = of(&model, LossScale::dynamic().init(8.0).interval(3));
    let loaded = load(&mut second, &state, LoadOptions::new().loss_scale());
    let changes = [
        "loss_scale.init: 16, here 8; it stays 32, as the run has it",
        "loss_scale.interval: 4, here 3; it stays 32, as the run has it",
    ];
    assert_eq!(lines(loaded.changes()), changes);
    assert_eq!(seen(&second), (32.0, 2));
    model.steps(&mut second, 6..7);
    assert_eq!(seen(&second), (64.0, 0), "the third update without an overflow");
    let mut third = of(&model, LossScale::fixed(8.0));
    let loaded = load(&mut third, &state, LoadOptions::new().loss_scale());
    assert_eq!(lines(loaded.changes()), ["loss_scale: dynamic, here always 8; it is 8 from now on, and was 32"]);
    assert_eq!(seen(&third), (8.0, 0));
}

#[test]
fn accumulation_that_goes_leaves_its_calls_to_the_next_update() {
    let mut model = Model::new(&TENSORS);
    let mut opt = with(&model, builder().accumulate(Accumulate::sum(4)));
    model.steps(&mut opt, 0..6);
    let mut second = with(&model, builder());
    let loaded = load(&mut second, &block(&opt), LoadOptions::new().accumulation());
    let line = "accumulate: the sum of calls, here none; the next call updates with what 2 before it have accumulated";
    assert_eq!(lines(loaded.changes()), [line]);
    model.steps(&mut second, 6..7);
    let status = second.status(&Stream::host()).unwrap();
    assert_eq!((status.t, status.micro_step), (2, 0));
}

#[test]
fn a_scale_that_is_new_is_taken_out_of_the_next_gradients() {
    let mut model = Model::new(&TENSORS);
    let mut opt = first(&model);
    model.steps(&mut opt, 0..5);
    for scale in [LossScale::fixed(8.0), LossScale::dynamic().init(8.0)] {
        let (mut plain, mut scaled) =
            (Model::new(&TENSORS).with_params_of(&model), Model::new(&TENSORS).with_params_of(&model));
        scaled.scale = 8.0;
        let (mut one, mut two) = (first(&plain), with(&scaled, builder().loss_scale(scale)));
        one.load_state(&block(&opt), &Stream::host()).unwrap();
        load(&mut two, &block(&opt), LoadOptions::new().loss_scale());
        plain.steps(&mut one, 5..9);
        scaled.steps(&mut two, 5..9);
        assert!(TENSORS.iter().all(|(name, _)| plain.param(name) == scaled.param(name)), "{scale:?}");
    }
}

#[test]
fn what_clipping_did_last_is_not_told_where_there_is_none() {
    let mut model = Model::new(&TENSORS);
    let mut opt = with(&model, builder().clip(Clip::torch_norm(0.1)));
    model.steps(&mut opt, 0..3);
    assert!(opt.status(&Stream::host()).unwrap().clip_factor < 1.0);
    let mut second = with(&model, builder());
    load(&mut second, &block(&opt), LoadOptions::new().clipping());
    let status = second.status(&Stream::host()).unwrap();
    assert_eq!((status.clip_factor, status.norm), (1.0, 0.0));
}

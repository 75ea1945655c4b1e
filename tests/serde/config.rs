//! Rules and options as data: every key, what it means to a builder, and what is refused at it.

use instep::rule::Tape;
use instep::{
    Accumulate, AdamW, Clip, Config, Device, Ema, Error, GroupConfig, GroupRule, Lookahead, LossScale, Momentum,
    NonFinite, Norm, Optimizer, OptimizerBuilder, ParamForm, Precision, RuleConfig, Schedule, Sgd, StateForm,
    Telemetry, Tensor,
};

fn read(options: &str, group: &str) -> Result<Config, Error> {
    let group = if group.is_empty() { "" } else { &format!(", {group}") };
    Config::from_json(&format!(r#"{{"version": 1, {options} "groups": [{{"lr": 0.1}}, {{"lr": 0.1 {group}}}]}}"#))
}

#[track_caller]
fn refused(options: &str, group: &str, expected: &str) {
    let error = read(options, group).unwrap_err().to_string();
    assert!(error.starts_with(expected), "{options} {group}: {error}\nexpected {expected}");
}

fn builder() -> OptimizerBuilder {
    Optimizer::builder(&Device::host())
}

/// A configuration with `text` before its one group of plain SGD says what `expected` was told.
#[track_caller]
fn says(text: &str, expected: OptimizerBuilder) {
    let file = format!("version = 1\n{text}\n[[groups]]\nrule = \"sgd\"\nlr = 0.1\nweight_decay = 0\n");
    let config = Config::from_toml(&file).unwrap_or_else(|e| panic!("{text}: {e}"));
    let expected = expected.group(Sgd::new(0.1), &[]).config().unwrap();
    assert_eq!(config, expected, "{text}");
}

#[test]
fn every_option_has_its_key() {
    says("clip.torch_norm = 1", builder().clip(Clip::torch_norm(1.0)));
    says("clip = { optax_norm = 0.5, by = \"max\" }", builder().clip(Clip::optax_norm(0.5).by(Norm::Max)));
    says("clip.value = 2.0", builder().clip(Clip::value(2.0)));
    says("norm = \"one\"", builder().norm(Norm::One));
    says("loss_scale = 128", builder().loss_scale(LossScale::fixed(128.0)));
    says("loss_scale = {}", builder().loss_scale(LossScale::dynamic()));
    let scale = LossScale::dynamic().init(8.0).growth(4.0).backoff(0.25).interval(7).limits(0.5, 64.0).hysteresis(3);
    let text = "init = 8, growth = 4, backoff = 0.25, interval = 7, min = 0.5, max = 64, hysteresis = 3";
    says(&format!("loss_scale = {{ {text} }}"), builder().loss_scale(scale));
    let scale = scale.consecutive_hysteresis().stop_at_min();
    let text = format!("loss_scale = {{ {text}, consecutive_hysteresis = true, stop_at_min = true }}");
    says(&text, builder().loss_scale(scale));
    says("non_finite = \"propagate\"", builder().non_finite(NonFinite::Propagate));
    says("non_finite = \"skip\"", builder().non_finite(NonFinite::Skip));
    says("non_finite.skip_and_raise = 3", builder().non_finite(NonFinite::SkipAndRaise(3)));
    says("accumulate.sum = 4", builder().accumulate(Accumulate::sum(4)));
    says("accumulate.mean = 4", builder().accumulate(Accumulate::mean(4)));
    says("zero_gradients = true", builder().zero_gradients());
    says("stop_at = 9", builder().stop_at(9));
    says("stop_below = 1e-3", builder().stop_below(1e-3));
    says("telemetry.ring = 9", builder().telemetry(Telemetry::ring(9)));
    let telemetry = Telemetry::ring(9).groups([0]).mapped();
    says("telemetry = { ring = 9, groups = [0], mapped = true }", builder().telemetry(telemetry));
    says("progress_increment = 256", builder().progress_increment(256));
    says("check_order = true", builder().check_order());
    says("seed = 7", builder().seed(7));
    says("precision.param = \"remainder\"", builder().precision(Precision::new().param(ParamForm::Remainder)));
    let forms = [
        ("f32", StateForm::F32),
        ("bf16", StateForm::Bf16),
        ("bf16_nearest", StateForm::Bf16Nearest),
        ("f16", StateForm::F16),
        ("f16_nearest", StateForm::F16Nearest),
        ("8bit", StateForm::EightBit),
    ];
    for (word, form) in forms {
        let precision = Precision::new().param(ParamForm::Stochastic).states(form).quantize_from(0);
        let text = format!("precision = {{ param = \"stochastic\", states = \"{word}\", quantize_from = 0 }}");
        says(&text, builder().precision(precision));
        assert_eq!(form.to_string(), format!("{word:?}"));
    }
}

#[test]
fn every_rule_has_its_name_and_its_options() {
    let same = |rule: &str, expected: OptimizerBuilder| {
        let text = format!(r#"{{"version": 1, "groups": [{{"lr": 0.1, "rule": {rule}}}]}}"#);
        let config = Config::from_json(&text).unwrap();
        let emitted = config.builder(&Device::host(), &[&[]]).unwrap().emit().unwrap();
        assert_eq!(emitted, expected.emit().unwrap(), "{rule}");
    };
    same(r#""adamw""#, builder().group(AdamW::new(0.1), &[]));
    same(r#"{"adamw": {"maximize": true}}"#, builder().group(AdamW::new(0.1).maximize(), &[]));
    same(r#""adam""#, builder().group(instep::Adam::new(0.1), &[]));
    same(r#""sgd""#, builder().group(Sgd::new(0.1), &[]));
    let heavy = Sgd::new(0.1).momentum(Momentum::Heavy, 0.9);
    same(r#""sgd", "momentum": 0.9"#, builder().group(heavy, &[]));
    let nesterov = Sgd::new(0.1).momentum(Momentum::Nesterov, 0.9).maximize();
    same(r#"{"sgd": {"momentum": "nesterov", "maximize": true}}, "momentum": 0.9"#, builder().group(nesterov, &[]));
    same(r#"{"sgd": {"momentum": "none"}}, "momentum": 0"#, builder().group(Sgd::new(0.1), &[]));
    let averaged = AdamW::new(0.1).then(Lookahead::new(5.0, 0.5)).then(Ema::new(0.9).eval());
    let rules = r#"["adamw", "lookahead", {"ema": {"eval": true}}], "ema_decay": 0.9, "lookahead_every": 5"#;
    same(rules, builder().group(averaged, &[]));
    // What is left out is the rule's default.
    same(r#"["sgd", "lookahead"]"#, builder().group(Sgd::new(0.1).then(Lookahead::new(6.0, 0.5)), &[]));
    let text = r#"{"version": 1, "groups": [{"lr": 0.1, "rule": ["sgd", "lookahead"]}]}"#;
    let config = Config::from_json(text).unwrap().builder(&Device::host(), &[&[]]).unwrap().config().unwrap();
    let given = ["lookahead_every", "lookahead_alpha"].map(|name| config.groups[0].get(name).unwrap().at(0).unwrap());
    assert_eq!(given, [6.0, 0.5]);
    // Long names of several are no obstacle.
    let four = r#"{"version": 1, "groups": [{"lr": 0.1, "rule": ["adamw", "lookahead", "clamp", "ema"],
        "clamp_min": -1, "clamp_max": 1, "ema_decay": 0.5}]}"#;
    Config::from_json(four).unwrap().builder(&Device::host(), &[&[]]).unwrap().emit().unwrap();
}

/// Every rule and option of the crate is its own when it is written and read.
#[test]
fn every_rule_survives_the_builder_and_the_file() {
    let config = Config::from_toml(include_str!("../every_rule.toml")).unwrap();
    for group in &config.groups {
        let built = builder().group(group.clone(), &[]).config().unwrap();
        let read = Config::from_toml(&built.to_toml().unwrap()).unwrap();
        assert_eq!(read, built, "{:?}", group.name);
        assert_eq!(read.groups[0].rule, group.rule, "{:?}", group.name);
        for (name, schedule) in group.hyperparameters() {
            assert_eq!(read.groups[0].get(name), Some(schedule), "{:?}: {name}", group.name);
        }
    }
}

#[test]
fn what_a_rule_does_not_take_is_refused_at_its_place() {
    let cases = [
        (r#""rule": "lyon""#, "groups[1].rule: lyon is not an update rule; the nearest is lion; docs/rules.md has all"),
        (
            r#""rule": {"lyon": {}}"#,
            "groups[1].rule: lyon is not an update rule; the nearest is lion; docs/rules.md has all",
        ),
        (r#""rule": {}"#, "groups[1].rule: an object is not an update rule"),
        (r#""rule": 3"#, "groups[1].rule: 3 is not an update rule"),
        (r#""rule": {"sgd": {}, "adam": {}}"#, "groups[1].rule: a rule has one key, but this one has `sgd` and `adam`"),
        (
            r#""rule": {"sgd": {"nesterov": true}}"#,
            "groups[1].rule.sgd.nesterov is true, but is not an option of sgd; there are momentum, maximize, parity",
        ),
        (r#""rule": {"adamw": {"maximize": 1}}"#, "groups[1].rule.adamw.maximize is 1, but must be true or false"),
        (
            r#""rule": {"adamw": {"clip_update": true}}"#,
            "groups[1].rule.adamw.clip_update is true, but must be a number",
        ),
        (
            r#""rule": {"adamw": {"clip_update": 0}}"#,
            "groups[1].rule.adamw.clip_update is 0, but must be above 0 and finite",
        ),
        (r#""rule": {"adamw": {"caution": []}}"#, "groups[1].rule.adamw.caution: a list is not"),
        (r#""rule": []"#, "groups[1].rule: a list of 0 is not an update rule"),
        (
            r#""rule": ["adamw", "ema"]"#,
            "groups[1].ema_decay is missing, but must be given: the rule ema has no default for it",
        ),
        (
            r#""rule": ["adamw", "ema", "ema"], "ema_decay": 0.5"#,
            "groups[1].rule.hyperparameters is \"ema_decay\", but another of hyperparameters has that name",
        ),
        (
            r#""rule": ["adamw", "lamb"]"#,
            "groups[1].rule is `lamb` after another, but must come first: it sums params over elements",
        ),
        (
            r#""rule": ["schedule_free_sgd", "clamp"], "clamp_min": 0, "clamp_max": 1"#,
            "groups[1].rule is `clamp` after another, but must not come after `schedule_free_sgd`, whose parameters for evaluation",
        ),
        (
            r#""rule": ["sgd", "clamp"], "clamp_min": 1, "clamp_max": 0"#,
            "groups[1].clamp_min is 1, but must not be above clamp_max, 0",
        ),
        (
            r#""rule": "schedule_free_sgd", "momentum": {"linear": {"from": 0.9, "to": 0.5, "over": 9}}"#,
            "groups[1].momentum is a schedule or a knob, but must be a number: the average follows from it",
        ),
        (
            r#""rule": "schedule_free_sgd", "weight_lr": 1"#,
            "groups[1].weight_lr is set, but must not be set without own_weight_lr",
        ),
        (
            r#""rule": {"schedule_free_adamw": {"own_weight_lr": true}}"#,
            "groups[1].weight_lr is 0, but must be given with own_weight_lr",
        ),
        (
            r#""rule": "prodigy", "d0": {"linear": {"from": 1, "to": 2, "over": 9}}"#,
            "groups[1].d0 is a schedule, but must be a constant: an estimate starts once",
        ),
        (r#""rule": "ema""#, "groups[1].lr is set, but is not a hyperparameter of ema; there are ema_decay"),
        (
            r#""rule": ["adamw", "ema"], "ema_decay": 2"#,
            "groups[1].ema_decay is 2, but must lie in [0, 1] at every step",
        ),
        (
            r#""rule": ["sgd", "clamp"], "clamp_min": 0, "clamp_max": 1, "beta1": 0.9"#,
            "groups[1].beta1 is set, but is not a hyperparameter of sgd; there are lr, weight_decay, momentum, dampening",
        ),
        (
            r#""rule": {"sgd": {"momentum": "heavier"}}"#,
            "groups[1].rule.sgd.momentum is \"heavier\", but must be one of none, heavy, nesterov; the nearest is heavy",
        ),
        (
            r#""rule": {"sgd": {"momentum": "nesterov"}}"#,
            "groups[1].rule.sgd.momentum is \"nesterov\", but must have the hyperparameter momentum beside it",
        ),
        (
            r#""rule": {"sgd": {"momentum": "nesterov"}}, "momentum": 0.9, "dampening": 0.1"#,
            "groups[1].rule.sgd.momentum is \"nesterov\", but must not be set beside dampening, which that form does not have",
        ),
        (
            r#""rule": {"sgd": {"momentum": "none"}}, "momentum": 0.9"#,
            "groups[1].rule.sgd.momentum is \"none\", but must not be set beside momentum, which that form does not have",
        ),
        (
            r#""rule": "sgd", "dampening": 0.9"#,
            "groups[1].dampening is set, but must not be set without momentum, which is what it dampens",
        ),
        (
            r#""rule": "sgd", "beta1": 0.9"#,
            "groups[1].beta1 is set, but is not a hyperparameter of sgd; there are lr, weight_decay, momentum, dampening",
        ),
        (
            r#""rule": "adam", "momentum": 0.9"#,
            "groups[1].momentum is set, but is not a hyperparameter of adam; there are lr, weight_decay, beta1, beta2, eps",
        ),
        (r#""rule": "adam", "beta1": 1"#, "groups[1].beta1 is 1, but must lie in [0, 1) at every step"),
    ];
    for (group, expected) in cases {
        refused("", group, expected);
    }
}

#[test]
fn what_an_option_does_not_take_is_refused_at_its_place() {
    let cases = [
        (r#""clip": {},"#, "clip: it has 0 of `torch_norm`, `optax_norm` and `value`, but must have one"),
        (r#""clip": {"value": 1, "torch_norm": 1},"#, "clip: it has 2 of"),
        (
            r#""clip": {"norm": 1},"#,
            "clip.norm: norm is not a key here; the nearest is torch_norm; there are torch_norm, optax_norm, value, by",
        ),
        (r#""clip": {"torch_norm": 0},"#, "clip.torch_norm is 0, but must be above 0"),
        (r#""clip": {"optax_norm": -1},"#, "clip.optax_norm is -1, but must be above 0"),
        (
            r#""clip": {"value": 1, "by": "max"},"#,
            "clip.by is max, but must not be set: clipping by value takes no norm",
        ),
        (r#""clip": {"torch_norm": 1, "by": "inf"},"#, "clip.by: inf is not known; there are two, one, max"),
        (r#""norm": "three","#, "norm: three is not known; there are two, one, max"),
        (r#""norm": "one", "clip": {"torch_norm": 1},"#, "norm is one, but must be two"),
        (r#""loss_scale": "dynamic","#, "loss_scale: \"dynamic\" is not a fixed loss scale"),
        (r#""loss_scale": 0,"#, "loss_scale is 0, but must be above 0 and finite in f32"),
        (r#""loss_scale": {"init": 0},"#, "loss_scale.init is 0, but must be above 0 and finite in f32"),
        (r#""loss_scale": {"growth": 1},"#, "loss_scale.growth is 1, but must be above 1"),
        (r#""loss_scale": {"interval": -1},"#, "loss_scale.interval: -1 is not a whole number from 0 to 2^32 - 1"),
        (r#""loss_scale": {"grow": 1},"#, "loss_scale.grow: grow is not a key here; the nearest is growth"),
        (
            r#""loss_scale": {}, "non_finite": "propagate","#,
            "non_finite is propagate, but must not be set beside a dynamic loss scale",
        ),
        (r#""non_finite": "ignore","#, "non_finite: ignore is not known"),
        (r#""non_finite": {"skip_and_raise": 0},"#, "non_finite.skip_and_raise is 0, but must be at least 1"),
        (r#""accumulate": 4,"#, "accumulate: "),
        (r#""accumulate": {"sum": 0},"#, "accumulate.sum is 0, but must be at least 1"),
        (r#""accumulate": {"mean": 0},"#, "accumulate.mean is 0, but must be at least 1"),
        (r#""zero_gradients": 1,"#, "zero_gradients: 1 is not true or false"),
        (r#""stop_at": 0,"#, "stop_at is 0, but must be at least 1"),
        (r#""stop_below": 0,"#, "stop_below is 0, but must be above 0"),
        (r#""stop_on_plateau": true,"#, "stop_on_plateau is true, but must not be set where no group has a plateau"),
        (r#""observe_every": 0,"#, "observe_every is 0, but must be at least 1"),
        (r#""observe_every": 5,"#, "observe_every is 5, but must not be set where no group has a metric rule"),
        (r#""telemetry": {},"#, "telemetry: ring is missing"),
        (r#""telemetry": {"ring": 0},"#, "telemetry.ring is 0, but must be from 1"),
        (
            r#""telemetry": {"ring": 1, "groups": [2]},"#,
            "telemetry.groups[0] is 2, but must be less than 2, the number of groups",
        ),
        (r#""telemetry": {"ring": 1, "groups": [0, 0]},"#, "telemetry.groups[1] is 0, but must not be there twice"),
        (r#""progress_increment": -1,"#, "progress_increment: -1 is not a whole number"),
        (r#""check_order": "yes","#, "check_order: \"yes\" is not true or false"),
        (r#""found_inf": 1,"#, "found_inf: found_inf is not a key here; the documentation of instep::Config has all"),
        (r#""precision": {"param": "split"},"#, "precision.param: split is not known; there are master"),
        (r#""precision": {"states": "int8"},"#, "precision.states: int8 is not known; there are f32, bf16"),
        (r#""precision": {"exp_avg": "bf16"},"#, "precision.exp_avg: exp_avg is not a key here; there are"),
        (r#""seed": -1,"#, "seed: -1 is not a whole number from 0 to 2^64 - 1"),
    ];
    for (options, expected) in cases {
        refused(options, "", expected);
    }
    let (of_all, of_one) = (r#""precision": {"state": {"v": "bf16"}},"#, r#""precision": {"state": {"v": "bf16"}}"#);
    let every =
        |group: &str| Config::from_json(&format!(r#"{{"version": 1, {of_all} "groups": [{{"lr": 0.1, {group}}}]}}"#));
    let error = every(r#""rule": "adamw""#).unwrap_err().to_string();
    let expected = "precision.state.v is \"bf16\", but is not a state of any rule of this optimizer, which keeps exp_avg, exp_avg_sq";
    assert_eq!(error, expected);
    let rule = "groups[1].precision.state.v is \"bf16\", but is not a state of the rule adamw, which keeps exp_avg, exp_avg_sq";
    refused("", &format!(r#""rule": "adamw", {of_one}"#), rule);
}

#[test]
fn what_is_not_finite_is_refused_when_it_is_written_as_json() {
    let mut config = Config::new([GroupConfig::new(0.1)]);
    config.stop_below = Some(f64::NAN);
    assert!(config.to_json().is_err());
    config.stop_below = None;
    config.clip = Some(Clip::value(f64::INFINITY));
    assert!(config.to_json().is_err());
    config.clip = None;
    config.loss_scale = Some(LossScale::dynamic().limits(1.0, f64::INFINITY));
    assert!(config.to_json().is_err());
    config.loss_scale = None;
    assert!(config.to_json().is_ok());
}

#[test]
fn a_builder_wants_a_rule_and_tensors_for_every_group() {
    let lr = Schedule::constant(0.1);
    let without = Config::new([GroupConfig::new(lr.clone())]);
    let error = without.builder(&Device::host(), &[&[]]).unwrap_err().to_string();
    assert!(
        error.starts_with("groups[0].rule is missing, but must be given to build, one of adamw, adam, sgd"),
        "{error}"
    );
    let config = Config::new([GroupConfig::new(lr).rule(RuleConfig::named("adam").unwrap())]);
    let error = config.builder(&Device::host(), &[&[], &[]]).unwrap_err().to_string();
    assert_eq!(error, "tensors is a list of 2, but must be one for each of the groups, 1");
}

#[test]
fn a_metric_that_the_step_observes_needs_its_address_to_be_built() {
    let text =
        r#"{"version": 1, "observe_every": 5, "metric": {"plateau": {}}, "groups": [{"rule": "sgd", "lr": 0.1}]}"#;
    let (mut param, grad, loss) = ([1.0f32], [1.0f32], 1.0f32);
    // SAFETY: the arrays outlive the optimizers, and nothing else touches them.
    let tensor = unsafe { Tensor::f32(param.as_mut_ptr() as u64, grad.as_ptr() as u64, 1) };
    let builder =
        || Config::from_json(text).unwrap().builder(&Device::host(), &[std::slice::from_ref(&tensor)]).unwrap();
    let error = builder().build().unwrap_err().to_string();
    let expected =
        "observe_every.updates is 5, but its address is missing: say it with observe_every(..) on the builder";
    assert_eq!(error, expected);
    let metric = instep::Observed::f32(&raw const loss as u64);
    // SAFETY: as above.
    assert!(unsafe { builder().observe_every(5, metric) }.build().is_ok());
}

#[test]
fn a_rule_of_ones_own_is_its_tape_and_has_no_options() {
    let text = "tape 1\nrule plain\nhyperparameter lr not_negative\nresolve\n  x0 = round lr\n  scalar lr x0\napply\n  x0 = neg lr\n  \
                x1 = fma x0 grad param\n  store param x1\n";
    let rule = RuleConfig::tape(Tape::parse(text).unwrap());
    let config = Config::new([GroupConfig::new(0.5).rule(rule.clone())]);
    config.check().unwrap();
    for read in [Config::from_json(&config.to_json().unwrap()), Config::from_toml(&config.to_toml().unwrap())] {
        assert_eq!(read.unwrap(), config);
    }
    let refused = |group: GroupConfig| Config::new([group]).check().unwrap_err().to_string();
    let with_option = refused(GroupConfig::new(0.5).rule(rule.clone().with("maximize", true)));
    assert_eq!(
        with_option,
        "groups[0].rule.plain.maximize is true, but is not an option: a rule of one's own has none"
    );
    let with_beta = refused(GroupConfig::new(0.5).rule(rule).with("beta1", 0.9));
    assert_eq!(with_beta, "groups[0].beta1 is set, but is not a hyperparameter of `plain`; there are lr");
    let wrong = config.to_json().unwrap().replace("fma x0 grad param", "fma x0 grad");
    let wrong = Config::from_json(&wrong).unwrap_err().to_string();
    assert!(wrong.starts_with("groups[0].rule: line 9 of the tape: "), "{wrong}");
}

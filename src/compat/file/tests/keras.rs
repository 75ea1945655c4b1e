//! Rates are those of Keras 3.15.1 in float64: its schedules' formulas typed out in Python, which agree with what it computes in float32.

use serde_json::{Value, json};

use super::super::tests::{close, published};
use super::super::{Facts, Reading, read};
use crate::schedule::Metric;

fn config(reading: &Reading) -> Value {
    serde_json::from_str(&reading.config.to_json().unwrap()).unwrap()
}

fn of(file: &Value) -> Result<Reading, String> {
    read(&file.to_string(), &Facts::default()).map_err(|error| error.to_string())
}

fn sample(name: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/configurations/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn an_optimizer_has_its_schedule_clipping_and_average() {
    let reading = read(&published("keras_adam_cosine.json"), &Facts::default()).unwrap();
    assert_eq!(reading.format, "an object that Keras serialized");
    let rates = [1e-4, 5.5e-4, 1e-3, 9.999972584460056e-4, 5.5e-4, 1.0000274155399433e-4, 1e-4, 1e-4];
    close(reading.config.groups[0].lr(), [0, 50, 100, 101, 550, 999, 1000, 2000], rates);
    let config = config(&reading);
    assert_eq!(config["clip"], json!({"optax_norm": 1.0}));
    let group = &config["groups"][0];
    assert_eq!(group["rule"], json!(["adamw", "ema"]));
    assert_eq!([&group["beta1"], &group["beta2"], &group["weight_decay"]], [&json!(0.9), &json!(0.999), &json!(0.0)]);
    // eps over the root of 1 - beta2^t, which is what Keras' place of it comes to; the average starts from the first update.
    let group = &reading.config.groups[0];
    close(group.get("eps").unwrap(), [0, 9], [1e-7 / 0.001f64.sqrt(), 1e-7 / (1.0 - 0.999f64.powi(10)).sqrt()]);
    close(group.get("ema_decay").unwrap(), [0, 1, 7], [0.0, 0.999, 0.999]);
}

#[test]
fn a_saved_model_has_its_optimizer_with_a_loss_scale() {
    let reading = read(&published("keras_model_config.json"), &Facts::default()).unwrap();
    close(reading.config.groups[0].lr(), [0, 1000, 1001, 2000, 2001], [0.1, 0.1, 0.01, 0.01, 0.001]);
    let config = config(&reading);
    assert_eq!([&config["loss_scale"]["init"], &config["loss_scale"]["interval"]], [&json!(32768.0), &json!(1000)]);
    assert_eq!(config["groups"][0]["rule"], json!({"sgd": {"decoupled_weight_decay": true}}));
    assert_eq!(config["groups"][0]["weight_decay"], json!(0.0005));
    assert!(reading.left.contains(&"compile_config.metrics: of what is measured".to_owned()), "{:?}", reading.left);
}

#[test]
fn get_config_says_its_class_by_its_name() {
    let reading = read(&published("keras_lion_get_config.json"), &Facts::default()).unwrap();
    let config = config(&reading);
    assert_eq!(config["groups"][0]["rule"], json!("lion"));
    assert_eq!([&config["clip"], &config["accumulate"]], [&json!({"value": 0.5}), &json!({"mean": 4})]);
    let named = published("keras_lion_get_config.json").replace("\"lion\"", "\"my_optimizer\"");
    let error = read(&named, &Facts::default()).unwrap_err().to_string();
    assert_eq!(error, "name is my_optimizer, but does not say which class this is: put it as {class_name, config}");
}

#[test]
fn a_schedule_alone_is_a_rate() {
    let rates = [1e-3, 9.997779521645793e-4, 5.5e-4, 1.0022204783542078e-4, 1e-4, 1e-4];
    for text in [sample("p51_keras_serialized.json"), {
        let file: Value = serde_json::from_str(&sample("p51_keras_serialized.json")).unwrap();
        file["params"].to_string()
    }] {
        let reading = read(&text, &Facts::default()).unwrap();
        close(reading.config.groups[0].lr(), [0, 1, 50, 99, 100, 150], rates);
    }
}

#[test]
fn a_plateau_reduces_when_keras_does() {
    let mut file: Value = serde_json::from_str(&sample("p53_keras_plateau.json")).unwrap();
    file["params"]["cooldown"] = json!(2);
    let reading = of(&file).unwrap();
    let Some(Metric::Plateau(plateau)) = reading.config.groups[0].metric else { panic!("a plateau") };
    // What the callback of 3.15.1 made of these losses: it was run.
    let mut losses = vec![1.0, 0.9, 0.9, 0.9, 0.95];
    losses.extend([0.9; 9]);
    losses.extend([0.89995, 0.9, 0.5]);
    losses.extend([0.6; 17]);
    let runs = [(0.1, 5), (0.02, 5), (0.004, 5), (0.0008, 5), (0.00016, 5), (0.0001, 9)];
    let rates: Vec<f64> = runs.iter().flat_map(|(rate, epochs)| std::iter::repeat_n(*rate, *epochs)).collect();
    let mut state = plateau.start();
    for (epoch, (loss, rate)) in losses.iter().zip(rates).enumerate() {
        state = plateau.observe(state, *loss);
        assert!((0.1 * state.scale - rate).abs() < 1e-12, "epoch {epoch}: {} is not {rate}", 0.1 * state.scale);
    }
    file["params"]["monitor"] = json!("val_dice");
    let rule = "params.monitor is val_dice, but must be a metric whose direction is known, or mode must be min or max";
    assert_eq!(of(&file).unwrap_err(), rule);
    file["params"]["mode"] = json!("max");
    of(&file).unwrap();
}

#[cfg(feature = "yaml")]
#[test]
fn a_callbacks_epochs_are_updates() {
    let text = published("keras_experiment.yaml");
    let error = read(&text, &Facts::default()).unwrap_err().to_string();
    let rule =
        "facts.steps_per_epoch is missing, but must be given for LearningRateScheduler, which acts once an epoch";
    assert_eq!(error, rule);
    let facts = Facts { steps_per_epoch: Some(10), ..Facts::default() };
    let reading = read(&text, &facts).unwrap();
    // The rate moves, and is in Keras' momentum: LARS that scales nothing.
    assert_eq!(config(&reading)["groups"][0]["rule"], json!({"lars": {"lr_in_momentum": true, "nesterov": true}}));
    close(reading.config.groups[0].lr(), [0, 299, 300, 5000], [0.1, 0.1, 0.1 * 0.1, 0.1 * 0.1]);
}

#[test]
fn a_function_of_the_rate_before_is_a_table() {
    let scheduler = json!({
        "library": "keras", "api": "keras.callbacks.LearningRateScheduler", "every": 2, "horizon": 30,
        "params": {"schedule": "lambda epoch, lr: lr if epoch < 10 else lr * math.exp(-0.1)"},
        "optimizer": {"class": "SGD", "args": {"lr": 0.01}, "groups": [{}]},
    });
    let reading = of(&scheduler).unwrap();
    let expected = [0.01, 0.01, 0.01, 0.009048374180359595, 0.009048374180359595, 0.006065306597126332];
    close(reading.config.groups[0].lr(), [0, 1, 19, 20, 21, 28], expected);
    let mut unclocked = scheduler.clone();
    unclocked.as_object_mut().unwrap().remove("every");
    let error = of(&unclocked).unwrap_err();
    assert_eq!(error, "facts.steps_per_epoch is missing, but must be given for keras.callbacks.LearningRateScheduler");
    let mut endless = scheduler.clone();
    endless.as_object_mut().unwrap().remove("horizon");
    let error = of(&endless).unwrap_err();
    assert!(error.contains("asks for the rate before, which takes the number of epochs"), "{error}");
}

#[test]
fn what_keras_has_and_we_have_not_is_refused_by_name() {
    let optimizer = |class: &str, config: Value| json!({"class_name": class, "config": config});
    let cosine = json!({"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.1, "decay_steps": 10}});
    let cases = [
        (optimizer("Adamax", json!({})), "class_name is Adamax, but adds epsilon to the maximum"),
        (optimizer("Muon", json!({})), "class_name is Muon, but has no rule here"),
        (optimizer("Adom", json!({})), "class_name is Adom, but is not an optimizer or a schedule of Keras"),
        (optimizer("adam", json!({"clipnorm": 1.0})), "config.clipnorm is 1, but clips each variable by its own norm"),
        (
            optimizer("Adam", json!({"clipvalue": 1.0, "global_clipnorm": 1.0})),
            "config.clipvalue is 1.0, but must be null beside global_clipnorm: Keras takes one of them",
        ),
        (optimizer("Adam", json!({"beta_1": 1.5})), "config.beta_1 is 1.5, but must lie in [0, 1)"),
        (
            optimizer("Adam", json!({"beta1": 0.5})),
            "config.beta1 is 0.5, but is not an argument of this call; the nearest is beta_1",
        ),
        (
            optimizer("Adagrad", json!({"weight_decay": 0.1})),
            "config.weight_decay is 0.1, but a decay apart from the gradient",
        ),
        (optimizer("Adam", json!({"decay": 1e-4})), "config.decay is 0.0001, but Keras 3 ignores it"),
        (
            optimizer("Adam", json!({"use_ema": true, "ema_overwrite_frequency": 10})),
            "config.ema_overwrite_frequency is 10, but parameters that are overwritten by their average",
        ),
        (
            optimizer("Adam", json!({"gradient_accumulation_steps": 1})),
            "config.gradient_accumulation_steps is 1, but must be at least 2, or null",
        ),
        (
            optimizer("Adam", json!({"learning_rate": cosine, "gradient_accumulation_steps": 4})),
            "config.gradient_accumulation_steps is 4, but beside a schedule",
        ),
        (
            optimizer("Adam", json!({"learning_rate": {"class_name": "CosineDecay", "config": {"decay_steps": 10}}})),
            "config.learning_rate.config.initial_learning_rate is missing, but must be given",
        ),
        (
            optimizer(
                "Adam",
                json!({"learning_rate": {"class_name": "Warmup", "module": "my.schedules", "config": {}}}),
            ),
            "config.learning_rate.module is my.schedules, but must be Keras' own",
        ),
    ];
    for (file, expected) in cases {
        let error = of(&file).unwrap_err();
        assert!(error.starts_with(expected), "{error}\n{expected}");
    }
}

#[test]
fn a_callback_that_sets_the_rate_wants_a_number() {
    let file = json!({
        "optimizer": {"class_name": "Adam", "config": {
            "learning_rate": {"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.1, "decay_steps": 10}}}},
        "callbacks": [{"class_name": "ReduceLROnPlateau", "config": {"monitor": "val_accuracy"}}],
    });
    let rule = "optimizer.config.learning_rate is a schedule, but must be a number beside ReduceLROnPlateau: Keras cannot set a rate that \
                is a schedule";
    assert_eq!(of(&file).unwrap_err(), rule);
    let mut with_rate = file.clone();
    with_rate["optimizer"] = json!("adam");
    let reading = of(&with_rate).unwrap();
    assert!(reading.config.groups[0].metric.is_some());
    with_rate["callbacks"][0]["config"]["factor"] = json!(1.5);
    assert_eq!(of(&with_rate).unwrap_err(), "callbacks[0].config.factor is 1.5, but must be below 1");
}

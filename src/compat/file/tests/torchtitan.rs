//! Rates are those of `linear_warmup_stable_decay` of torchtitan 0.3.0, which 0.2.2 has too, typed out in Python.

use serde_json::{Value, json};

use super::super::tests::{close, published};
use super::super::{Facts, read};

#[test]
fn a_file_of_0_2_is_its_optimizer_schedule_and_clipping() {
    let reading = read(&published("torchtitan_llama3_8b.toml"), &Facts::default()).unwrap();
    assert_eq!(reading.format, "torchtitan's configuration");
    let [group] = &reading.config.groups[..] else { panic!("one group") };
    let steps = [0, 99, 199, 200, 201, 600, 999];
    close(group.lr(), steps, [1.5e-6, 1.5e-4, 3e-4, 3e-4, 2.99625e-4, 1.5e-4, 3.75e-7]);
    let config: Value = serde_json::from_str(&reading.config.to_json().unwrap()).unwrap();
    assert_eq!(config["clip"], json!({"torch_norm": 1.0}));
    assert_eq!(config["accumulate"], Value::Null);
    let group = &config["groups"][0];
    assert_eq!(group["rule"], json!("adamw"));
    // What the file leaves out is torchtitan's default and not torch's.
    assert_eq!([&group["beta1"], &group["beta2"], &group["weight_decay"]], [&json!(0.9), &json!(0.95), &json!(0.1)]);
    assert!(reading.left.iter().any(|left| left == "model: of the model"), "{:?}", reading.left);
}

#[test]
fn what_is_accumulated_follows_from_batches_and_processes() {
    let text = published("torchtitan_wsd_accumulated.toml");
    let reading = read(&text, &Facts::default()).unwrap();
    let [group] = &reading.config.groups[..] else { panic!("one group") };
    let expected = [5e-5, 1e-3, 1e-3, 1e-3, 8.081193552799506e-4, 3.353059487116032e-4, 1.2069242117344499e-4];
    close(group.lr(), [0, 19, 20, 68, 69, 80, 89], expected);
    let config: Value = serde_json::from_str(&reading.config.to_json().unwrap()).unwrap();
    // 256 over 4 of each of 2 · 8 processes; what is clipped at infinity is not clipped.
    assert_eq!([&config["accumulate"], &config["clip"]], [&json!({"mean": 4}), &Value::Null]);
    let leftover = text.replace("data_parallel_shard_degree = 8", "data_parallel_shard_degree = -1");
    let error = read(&leftover, &Facts::default()).unwrap_err().to_string();
    let rule = "training.global_batch_size is 256, but is over local_batch_size and the degree of data parallelism, which is what the \
                number of processes leaves: give that as Facts::value(\"world_size\", …)";
    assert_eq!(error, rule);
    // 64 processes, of which 2 hold one model and 2 are replicas: 16 shards.
    let reading = read(&leftover, &Facts::default().value("world_size", 64)).unwrap();
    let config: Value = serde_json::from_str(&reading.config.to_json().unwrap()).unwrap();
    assert_eq!(config["accumulate"], json!({"mean": 2}));
}

#[test]
fn a_saved_configuration_has_groups_with_classes_of_their_own() {
    let reading = read(&published("torchtitan_saved.json"), &Facts::default()).unwrap();
    let config: Value = serde_json::from_str(&reading.config.to_json().unwrap()).unwrap();
    let of = |name: &str| -> Vec<Value> { (0..3).map(|i| config["groups"][i][name].clone()).collect() };
    assert_eq!(of("rule"), [json!("adamw"), json!("adam"), json!("adamw")]);
    assert_eq!(of("name"), [json!(".*(norm|bias).*"), json!(".*tok_embeddings.*"), json!(".*")]);
    assert_eq!(of("weight_decay"), [json!(0.0), json!(0.0), json!(0.1)]);
    let factors = [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125];
    for (group, lr) in reading.config.groups.iter().zip([8e-4, 2e-4, 8e-4]) {
        close(group.lr(), 0..10, factors.map(|factor| lr * factor));
    }
}

#[test]
fn the_section_alone_is_a_scheduler() {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/configurations/p86_titan_section.json"));
    let reading = read(&text.unwrap(), &Facts::default()).unwrap();
    let expected = [4e-6, 8e-4, 8e-4, 7.999972241773295e-4, 4.4e-4, 8.00027758226706e-5];
    close(reading.config.groups[0].lr(), [0, 199, 200, 201, 600, 999], expected);
}

#[test]
fn errors_stand_where_the_file_has_what_they_are_about() {
    let of = |old: &str, new: &str| {
        let text = published("torchtitan_wsd_accumulated.toml");
        assert!(text.contains(old), "{old}");
        read(&text.replace(old, new), &Facts::default()).unwrap_err().to_string()
    };
    let cases = [
        (
            "name = \"AdamW\"",
            "name = \"adamw\"",
            "optimizer.name is adamw, but is not an optimizer of torchtitan's that has a translation; the nearest is AdamW; there are \
             Adam, AdamW",
        ),
        ("beta2 = 0.98", "beta2 = 1.5", "optimizer.beta2 is 1.5, but must lie in [0, 1)"),
        ("beta2 = 0.98", "beta_2 = 0.98", "optimizer.beta_2 is 0.98, but is not a field; there are beta1, beta2,"),
        (
            "decay_type = \"sqrt\"",
            "decay_type = \"exp\"",
            "lr_scheduler.decay_type is exp, but must be linear, sqrt or cosine",
        ),
        (
            "min_lr_factor = 0.1",
            "lr_min = 0.1",
            "lr_scheduler.lr_min is 0.1, but is not a field since torchtitan 0.2: min_lr_factor is",
        ),
        ("warmup_steps = 20", "warmup = 20", "lr_scheduler.warmup is 20, but is not an argument of this call"),
        (
            "max_norm = inf",
            "max_norms = 1.0",
            "training.max_norms is 1.0, but is not a field that is known; max_norm is",
        ),
        (
            "global_batch_size = 256",
            "global_batch_size = 100",
            "training.global_batch_size is 100, but must be a multiple of local_batch_size, 4, times the degree of data parallelism, 16",
        ),
        (
            "\"foreach\"",
            "\"fused_opt_states_bf16\"",
            "optimizer.implementation is fused_opt_states_bf16, but states in bfloat16 are",
        ),
        (
            "[parallelism]",
            "[fault_tolerance]\nenable = true\nsemi_sync_method = \"diloco\"\n[parallelism]",
            "fault_tolerance.semi_sync_method is diloco, but an outer optimizer, over replicas that seldom meet, is not there",
        ),
    ];
    for (old, new, expected) in cases {
        let error = of(old, new);
        assert!(error.starts_with(expected), "{error}\n{expected}");
    }
}

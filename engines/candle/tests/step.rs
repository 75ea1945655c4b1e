//! The adapter against candle's own AdamW, and what it refuses.

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, Device, Error, InplaceOp1, Layout, Result, Tensor, Var};
use candle_nn::{Optimizer, ParamsAdamW, VarMap};
use instep::{AdamW, Clip, Schedule, Sgd};
use instep_candle::digits::Digits;
use instep_candle::network::{Network, batches};
use instep_candle::step::{Step, decaying};

/// A step by AdamW with this rate and a decay of 0.5 over the variables, in one group.
fn adamw(lr: impl Into<Schedule>, vars: &[(&str, &Var)]) -> Result<Step> {
    let vars: Vec<(String, Var)> = vars.iter().map(|(name, var)| ((*name).to_owned(), (*var).clone())).collect();
    // SAFETY: tests use their variables on one thread.
    let builder = unsafe { Step::builder(&Device::Cpu) }?;
    builder.group(AdamW::new(lr).weight_decay(0.5), &vars)?.build()
}

fn var(values: &[f32]) -> Result<Var> {
    Var::new(values, &Device::Cpu)
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1::<f32>()
}

fn refusal(outcome: Result<()>) -> String {
    outcome.expect_err("it is refused").to_string()
}

/// The largest difference between variables of the same name.
fn largest_difference(ours: &VarMap, candles: &VarMap) -> Result<f32> {
    let (ours, candles) = (ours.data().lock().map_err(Error::msg)?, candles.data().lock().map_err(Error::msg)?);
    let mut largest = 0f32;
    for (name, var) in ours.iter() {
        let difference = (var.as_tensor() - candles[name].as_tensor())?.abs()?.flatten_all()?.max(0)?;
        largest = largest.max(difference.to_scalar::<f32>()?);
    }
    Ok(largest)
}

#[test]
fn forty_steps_are_those_of_candles_adamw() -> Result<()> {
    let digits = Digits::load(&Device::Cpu)?;
    let (ours, candles, first) =
        (Network::new(&Device::Cpu)?, Network::new(&Device::Cpu)?, Network::new(&Device::Cpu)?);
    let params = ParamsAdamW { lr: 1e-3, weight_decay: 0.1, ..ParamsAdamW::default() };
    let mut candle = candle_nn::AdamW::new(candles.vars.all_vars(), params)?;
    let [weights, biases] = decaying(&ours.vars)?;
    // SAFETY: this thread alone uses the network.
    let builder = unsafe { Step::builder(&Device::Cpu) }?;
    let rule = || AdamW::new(1e-3).weight_decay(0.1);
    let mut step = builder.group(rule(), &weights)?.group(rule(), &biases)?.build()?;

    for batch in (0..2).flat_map(|epoch| batches(1_437, epoch)).take(40) {
        let batch = digits.training.pick(&batch)?;
        step.backward_step(&ours.loss(&batch)?)?;
        candle.backward_step(&candles.loss(&batch)?)?;
    }
    let (apart, moved) = (largest_difference(&ours.vars, &candles.vars)?, largest_difference(&ours.vars, &first.vars)?);
    assert!(apart <= 1e-5, "parameters differ by {apart}");
    assert!(moved > 1e-2, "parameters moved by {moved} only: nothing is shown");
    Ok(())
}

#[test]
fn the_schedule_is_followed_without_a_call() -> Result<()> {
    let weight = var(&[1.0])?;
    let rate = Schedule::linear(0.0, 1e-2).over(2).then(Schedule::cosine(1e-2, 0.0).over(2));
    let mut step = adamw(rate, &[("weight", &weight)])?;
    let mut rates = Vec::new();
    for _ in 0..5 {
        rates.push(step.optimizer().status(step.stream()).map_err(Error::wrap)?.scalar(0, "lr"));
        step.backward_step(&weight.sqr()?.sum_all()?)?;
    }
    assert_eq!(rates, [0.0, 5e-3, 1e-2, 5e-3, 0.0].map(Some));
    Ok(())
}

#[test]
fn a_variable_without_a_gradient_rests() -> Result<()> {
    let (used, unused) = (var(&[1.0, 2.0])?, var(&[3.0])?);
    let mut step = adamw(0.1, &[("used", &used), ("unused", &unused)])?;
    step.backward_step(&used.sum_all()?)?;
    assert_eq!(values(&unused)?, [3.0], "it does not decay");
    let before = values(&used)?;
    assert_ne!(before, [1.0, 2.0]);

    // Its first update is the first one of its own count: by the rate and the decay, as for any first gradient.
    step.backward_step(&unused.sum_all()?)?;
    assert_eq!(values(&used)?, before);
    assert!((values(&unused)?[0] - (3.0 * (1.0 - 0.1 * 0.5) - 0.1)).abs() < 1e-6);
    Ok(())
}

#[test]
fn a_gradient_that_is_not_contiguous_is_read_in_the_right_order() -> Result<()> {
    let weights = [Var::zeros((2, 3), DType::F32, &Device::Cpu)?, Var::zeros((2, 3), DType::F32, &Device::Cpu)?];
    let transposed = Tensor::new(&[[1f32, -1.0], [0.0, 2.0], [-3.0, 0.0]], &Device::Cpu)?.t()?;
    for (weight, grad) in weights.iter().zip([transposed.clone(), transposed.contiguous()?]) {
        let mut grads = GradStore::default();
        grads.insert(weight, grad);
        adamw(0.1, &[("weight", weight)])?.step(&grads)?;
    }
    assert_eq!(values(&weights[0])?, values(&weights[1])?);
    let signs: Vec<f32> = values(&weights[0])?.iter().map(|value| -(value * 10.0).round()).collect();
    assert_eq!(signs, [1.0, 0.0, -1.0, -1.0, 1.0, 0.0]);
    Ok(())
}

#[test]
fn a_variable_of_16_bits_is_updated_beside_a_master() -> Result<()> {
    let weight = Var::from_tensor(&Tensor::new(&[1f32, 1.0], &Device::Cpu)?.to_dtype(DType::BF16)?)?;
    let mut step = adamw(1e-3, &[("weight", &weight)])?;
    // Each step takes 1.5e-3 off, under half of bf16's distance below 1, 2^-8: without a master the parameter would stay 1.
    for _ in 0..4 {
        step.backward_step(&weight.sum_all()?)?;
    }
    assert_eq!(values(&weight.to_dtype(DType::F32)?)?, [1.0 - 2.0 / 256.0; 2]);

    weight.set(&Tensor::new(&[8f32, 8.0], &Device::Cpu)?.to_dtype(DType::BF16)?)?;
    step.variables_changed()?;
    step.backward_step(&weight.sum_all()?)?;
    assert_eq!(values(&weight.to_dtype(DType::F32)?)?, [8.0; 2], "it goes on from the value that was set");
    Ok(())
}

#[test]
fn what_would_be_written_or_read_amiss_is_refused_and_changes_nothing() -> Result<()> {
    let (weight, other) = (var(&[1.0, 2.0])?, var(&[3.0, 4.0])?);
    let mut step = adamw(0.1, &[("weight", &weight), ("other", &other)])?;
    let by = |var: &Var, grad: &Tensor| {
        let mut grads = GradStore::default();
        grads.insert(var, grad.clone());
        grads
    };
    let long = Tensor::zeros(3, DType::F32, &Device::Cpu)?;
    assert!(
        refusal(step.step(&by(&weight, &long))).starts_with("the gradient of weight is (F32, [3], Cpu), but must be")
    );
    let half = Tensor::zeros(2, DType::F16, &Device::Cpu)?;
    assert!(
        refusal(step.step(&by(&weight, &half))).starts_with("the gradient of weight is (F16, [2], Cpu), but must be")
    );
    for aliased in [weight.as_tensor(), other.as_tensor()] {
        let refusal = refusal(step.step(&by(&weight, aliased)));
        assert!(refusal.starts_with("the gradient of weight lies in the memory of a variable"), "{refusal}");
    }

    /// Gives a variable another vector, which candle's operations in place can do.
    struct Replaced;
    impl InplaceOp1 for Replaced {
        fn name(&self) -> &'static str {
            "replaced"
        }
        fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> Result<()> {
            let longer = vec![5f32; 1 << 12];
            *storage = CpuStorage::F32(longer);
            Ok(())
        }
    }
    other.inplace_op1(&Replaced)?;
    let refusal = refusal(step.step(&by(&weight, &Tensor::ones(2, DType::F32, &Device::Cpu)?)));
    assert!(refusal.starts_with("other has another storage than at build"), "{refusal}");
    assert_eq!(values(&weight)?, [1.0, 2.0]);
    assert_eq!(step.optimizer().status(step.stream()).map_err(Error::wrap)?.t, 0);
    Ok(())
}

#[test]
fn a_variable_that_no_step_knows_is_refused_by_name() -> Result<()> {
    let long = Var::from_tensor(&Tensor::new(&[1f64], &Device::Cpu)?)?;
    let refused = adamw(0.1, &[("long", &long)]).map(|_| ());
    assert!(refusal(refused).starts_with("long is F64, but must be f32, bf16 or f16"));
    Ok(())
}

#[test]
fn set_on_a_variable_is_seen_by_the_next_step() -> Result<()> {
    let weight = var(&[1.0])?;
    let mut step = adamw(0.1, &[("weight", &weight)])?;
    step.backward_step(&weight.sum_all()?)?;
    weight.set(&Tensor::new(&[7f32], &Device::Cpu)?)?;
    step.backward_step(&weight.sum_all()?)?;
    assert!((values(&weight)?[0] - (7.0 * (1.0 - 0.1 * 0.5) - 0.1)).abs() < 1e-5);
    Ok(())
}

#[test]
fn a_run_goes_on_from_its_state() -> Result<()> {
    let rate = || Schedule::linear(0.1, 0.0).over(8);
    let weight = var(&[1.0, -2.0])?;
    let mut step = adamw(rate(), &[("weight", &weight)])?;
    (0..3).try_for_each(|_| step.backward_step(&weight.sqr()?.sum_all()?))?;
    let state = step.optimizer().state(step.stream()).map_err(Error::wrap)?;
    let copy = Var::from_tensor(&weight.as_tensor().copy()?)?;
    let mut resumed = adamw(rate(), &[("weight", &copy)])?;
    resumed.load_state(&state)?;
    for (step, weight) in [(&mut step, &weight), (&mut resumed, &copy)] {
        step.backward_step(&weight.sqr()?.sum_all()?)?;
    }
    assert_eq!(values(&weight)?, values(&copy)?);
    Ok(())
}

#[test]
fn a_knob_is_turned_between_steps() -> Result<()> {
    let weight = var(&[0.0])?;
    let mut step = adamw(instep::knob("rate", 0.1), &[("weight", &weight)])?;
    step.edit(|edit| edit.set("rate", 0.25))?;
    step.backward_step(&weight.sum_all()?)?;
    assert!((values(&weight)?[0] + 0.25).abs() < 1e-6);
    Ok(())
}

#[test]
fn a_norm_is_taken_over_all_groups() -> Result<()> {
    let (one, other) = (var(&[0.0])?, var(&[0.0])?);
    let group = |name: &str, var: &Var| [(name.to_owned(), var.clone())];
    // SAFETY: as above; the options only clip.
    let builder = unsafe { Step::builder(&Device::Cpu) }?.options(|builder| builder.clip(Clip::torch_norm(1.0)));
    let builder = builder.group(Sgd::new(1.0), &group("one", &one))?;
    let mut step = builder.group(Sgd::new(1.0), &group("other", &other))?.build()?;
    step.backward_step(&((one.sum_all()? * 3.0)? + (other.sum_all()? * 4.0)?)?)?;
    for (var, expected) in [(&one, -0.6), (&other, -0.8)] {
        assert!((values(var)?[0] - expected).abs() < 1e-5, "{}", values(var)?[0]);
    }
    Ok(())
}

#[test]
fn a_variable_in_two_groups_is_refused() -> Result<()> {
    let weight = var(&[1.0, 2.0])?;
    // SAFETY: as above.
    let builder = unsafe { Step::builder(&Device::Cpu) }?.group(Sgd::new(0.1), &[("a".to_owned(), weight.clone())])?;
    let refused = builder.group(Sgd::new(0.1), &[("b".to_owned(), weight.clone())])?.build().map(|_| ());
    let refusal = refusal(refused);
    assert!(refusal.contains("overlaps the param of tensor \"a\""), "{refusal}");
    Ok(())
}

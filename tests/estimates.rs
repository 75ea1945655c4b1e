//! Rules that find their rates themselves, on the CPU backend: starts at which the peers divide by 0 or stand still, skipped
//! updates, stopped runs, and groups that share an estimate.

use instep::rule::{Over, Rule};
use instep::{
    DAdaptAdam, DAdaptSgd, Device, DoG, DoWG, InitStep, NonFinite, Optimizer, Prodigy, Result, Schedule, Status,
    Stream, Tensor, knob,
};

const START: [f32; 4] = [1.0, -0.5, 0.25, 0.0];
const SLOPE: [f32; 4] = [0.5, -0.25, 1.0, 0.125];

/// What is trained: two tensors of one group, or one each of two groups.
struct Run {
    params: Box<[[f32; 4]; 2]>,
    grads: Box<[[f32; 4]; 2]>,
    opt: Optimizer,
}

impl Run {
    fn new<R: Rule>(groups: &[R]) -> Run {
        let mut params = Box::new([START; 2]);
        let grads = Box::new([SLOPE; 2]);
        let of = |params: &mut [f32; 4], grads: &[f32; 4]| {
            // SAFETY: both live as long as the optimizer, and nothing else touches them while a step runs.
            unsafe { Tensor::f32(params.as_mut_ptr() as u64, grads.as_ptr() as u64, 4) }
        };
        let [one, two] = &mut *params;
        let tensors = [of(one, &grads[0]), of(two, &grads[1])];
        let builder = Optimizer::builder(&Device::host()).non_finite(NonFinite::Skip);
        let builder = match groups {
            [rule] => builder.group(rule.clone(), &tensors),
            [one, two] => builder.group(one.clone(), &tensors[..1]).group(two.clone(), &tensors[1..]),
            _ => panic!("one group or two"),
        };
        Run { params, grads, opt: builder.build().expect("an optimizer") }
    }

    fn step(&mut self, grad: [f32; 4]) {
        *self.grads = [grad; 2];
        self.opt.step(&Stream::host()).expect("a step");
    }

    /// A step with the gradient of half the squared distance to a place, which is `SLOPE` at the start.
    fn step_down(&mut self) {
        for (grads, params) in self.grads.iter_mut().zip(&*self.params) {
            *grads = std::array::from_fn(|i| params[i] - (START[i] - SLOPE[i]));
        }
        self.opt.step(&Stream::host()).expect("a step");
    }

    fn status(&self) -> Status {
        self.opt.status(&Stream::host()).expect("a status")
    }

    /// The estimate of the first group, or of its first tensor.
    fn estimate(&self, name: &str) -> f64 {
        let status = self.status();
        status.remembered(0, name).or(status.tensor_remembered(0, name)).expect("an estimate")
    }
}

/// Does something with every rule: one made for a schedule, the name of its estimate, and what that starts from where it is known.
trait Each {
    fn each<R: Rule>(&self, what: &str, rule: impl Fn(Schedule) -> R, estimate: &str, start: Option<f64>);
}

fn all(each: &impl Each) {
    each.each("prodigy", Prodigy::new, "d", Some(1e-6));
    let corrected = |lr| Prodigy::new(lr).use_bias_correction(true).safeguard_warmup(true).d0(1e-4);
    each.each("prodigy, corrected", corrected, "d", Some(1e-4));
    each.each("prodigy, slowly", |lr| Prodigy::new(lr).growth_rate(1.5).decouple(false), "d", Some(1e-6));
    each.each("dadapt_adam", DAdaptAdam::new, "d", Some(1e-6));
    each.each(
        "dadapt_adam, corrected",
        |lr| DAdaptAdam::new(lr).use_bias_correction(true).decouple(true),
        "d",
        Some(1e-6),
    );
    each.each("dadapt_sgd", |lr| DAdaptSgd::new(lr).momentum(0.9), "d", Some(1e-6));
    for over in [Over::Group, Over::All] {
        let norm = 1.0 + (2.0 * (1.0 + 0.25 + 0.0625f64)).sqrt();
        each.each("dog", |lr| DoG::new(lr).over(over), "rbar", Some(1e-6 * norm));
    }
    let norm = 1.0 + (1.0 + 0.25 + 0.0625f64).sqrt();
    each.each("ldog", |lr| DoG::new(lr).over(Over::Tensor), "rbar", Some(1e-6 * norm));
    each.each("dog, distance", |lr| DoG::new(lr).init(InitStep::Distance).init_step(1e-3), "rbar", Some(1e-3));
    each.each("dog, rate", |lr| DoG::new(lr).init(InitStep::LearningRate).eps(0.0), "rbar", Some(0.0));
    each.each("dowg", |lr| DoWG::new(lr).eps(0.0), "estim_sq_dist", Some(1e-4));
}

/// A step that must not move anything, then others that do.
struct Starts {
    first: [f32; 4],
    lr: fn() -> Schedule,
}

impl Each for Starts {
    fn each<R: Rule>(&self, what: &str, rule: impl Fn(Schedule) -> R, estimate: &str, start: Option<f64>) {
        let mut run = Run::new(&[rule((self.lr)())]);
        run.step(self.first);
        assert_eq!(*run.params, [START; 2], "{what} moves");
        let first = run.estimate(estimate);
        assert!((first - start.unwrap()).abs() <= 1e-12 * first, "{what}: {first}");
        for _ in 0..60 {
            run.step_down();
            assert!(run.params.iter().flatten().all(|param| param.is_finite()), "{what}: {:?}", run.params);
        }
        assert!(run.params[0][0] < START[0] && run.params[1][1] > START[1], "{what} stands still: {:?}", run.params);
        assert!(run.estimate(estimate) > first, "{what}: the estimate stays {first}");
    }
}

#[test]
fn a_warmup_from_zero_moves_nothing_and_then_goes_on() {
    all(&Starts { first: SLOPE, lr: || Schedule::linear(0.0, 1.0).over(4) });
}

#[test]
fn a_first_gradient_of_zeros_moves_nothing_and_then_goes_on() {
    all(&Starts { first: [0.0; 4], lr: || 1.0.into() });
}

#[test]
fn both_at_once_move_nothing() {
    all(&Starts { first: [0.0; 4], lr: || Schedule::linear(0.0, 1.0).over(4) });
}

struct Skips;

impl Each for Skips {
    fn each<R: Rule>(&self, what: &str, rule: impl Fn(Schedule) -> R, _: &str, _: Option<f64>) {
        let [mut run, mut without] = [(), ()].map(|()| Run::new(&[rule(1.0.into())]));
        for step in 0..12 {
            if step % 4 == 0 {
                run.step([1.0, f32::NAN, f32::INFINITY, 0.0]);
            }
            run.step(SLOPE);
            without.step(SLOPE);
            let [ours, theirs] = [&run, &without].map(|run| run.status());
            for name in ["d", "d_max", "d_numerator", "numerator_weighted", "g0_norm", "rbar", "estim_sq_dist"] {
                assert_eq!(ours.remembered(0, name), theirs.remembered(0, name), "{what}: {name}");
                assert_eq!(ours.tensor_remembered(1, name), theirs.tensor_remembered(1, name), "{what}: {name}");
            }
        }
        assert_eq!((&run.params, run.status().skipped), (&without.params, 3), "{what}");
    }
}

#[test]
fn a_skipped_update_leaves_the_estimate_alone() {
    all(&Skips);
}

struct Resumes;

impl Each for Resumes {
    fn each<R: Rule>(&self, what: &str, rule: impl Fn(Schedule) -> R, estimate: &str, _: Option<f64>) {
        let resumed = || -> Result<()> {
            let [mut run, mut again] = [(), ()].map(|()| Run::new(&[rule(1.0.into())]));
            (0..7).for_each(|_| run.step(SLOPE));
            again.opt.load_state(&run.opt.state(&Stream::host())?, &Stream::host())?;
            *again.params = *run.params;
            assert_eq!(again.estimate(estimate), run.estimate(estimate), "{what}");
            for _ in 0..7 {
                run.step(SLOPE);
                again.step(SLOPE);
            }
            assert_eq!(
                (again.estimate(estimate), again.params),
                (run.estimate(estimate), run.params.clone()),
                "{what}"
            );
            Ok(())
        };
        resumed().unwrap_or_else(|e| panic!("{what}: {e}"));
    }
}

#[test]
fn a_run_that_is_taken_up_keeps_its_estimate() {
    all(&Resumes);
}

/// Two groups, whose estimates must be one after every step.
fn shared<R: Rule>(groups: [R; 2], name: &str) -> Run {
    let mut run = Run::new(&groups);
    for _ in 0..20 {
        run.step(SLOPE);
        let [one, two] = [0, 1].map(|group| run.status().remembered(group, name));
        assert!(one.is_some() && one == two, "{name}: {one:?} and {two:?}");
    }
    run
}

#[test]
fn groups_with_and_without_decay_share_an_estimate() {
    shared([Prodigy::default(), Prodigy::default().weight_decay(0.1)], "d");
    shared([DAdaptAdam::default(), DAdaptAdam::default().weight_decay(0.1).layer_scale(0.5)], "d");
    shared([DAdaptSgd::default(), DAdaptSgd::default().weight_decay(0.1).momentum(0.9)], "d");
    shared([DoG::default(), DoG::default().weight_decay(0.1)].map(|rule| rule.over(Over::All)), "rbar");
    shared([DoWG::default(), DoWG::default().weight_decay(0.1)], "estim_sq_dist");
}

#[test]
fn a_group_with_rate_0_stays_and_takes_over_the_estimate() {
    let still = [
        shared([Prodigy::default(), Prodigy::new(0.0)], "d"),
        shared([DAdaptAdam::default(), DAdaptAdam::new(0.0)], "d"),
        shared([DAdaptSgd::default(), DAdaptSgd::new(0.0)], "d"),
    ];
    for run in still {
        assert_eq!(run.params[1], START);
        assert!(run.params[0][0] < START[0]);
    }
}

#[test]
fn a_group_of_its_own_has_a_distance_of_its_own() {
    let mut run = Run::new(&[DoG::default(), DoG::default().init_step(1e-3)]);
    run.step(SLOPE);
    let [one, two] = [0, 1].map(|group| run.status().remembered(group, "rbar").unwrap());
    assert!((two / one - 1e3).abs() < 1e-9, "{one} and {two}");
}

#[test]
fn as_many_bytes_move_as_the_docs_say() {
    fn bytes<R: Rule>(rule: R) -> f64 {
        Run::new(&[rule]).opt.tensors().next().expect("a tensor").bytes_per_param
    }
    assert_eq!(bytes(Prodigy::default()), 52.0);
    assert_eq!([true, false].map(|decouple| bytes(DAdaptAdam::default().decouple(decouple))), [48.0, 52.0]);
    assert_eq!(bytes(DAdaptSgd::default()), 36.0);
    assert_eq!([bytes(DoG::default()), bytes(DoWG::default())], [24.0; 2]);
}

/// A limit that is a knob at 0 is none, and one below 1 counts as 1: no estimate falls.
#[test]
fn a_limit_of_growth_that_is_no_limit_spoils_nothing() {
    let run = |rule: Prodigy| {
        let mut run = Run::new(&[rule.d0(1e-4)]);
        (0..9).for_each(|_| run.step_down());
        run.estimate("d")
    };
    let free = run(Prodigy::default());
    assert!(free > 1e-4);
    assert_eq!(run(Prodigy::default().growth_rate(knob("growth", 0.0))), free);
    assert_eq!(run(Prodigy::default().beta3(knob("beta3", 0.0))), free, "0 stands for the root of beta2");
    let held = run(Prodigy::default().growth_rate(0.5));
    assert!((1e-4..=free).contains(&held), "{held}");
}

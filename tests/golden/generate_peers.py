#!/usr/bin/env python
"""Golden tables of peers that `generate.py` does not cover: Megatron-LM, Keras, Composer, torchtitan and Burn.

Runs each peer's own scheduler and writes what it did into `peers/NAME.json`, in the format of `schedules.json`. Every
number was read out of the named library. Most configurations are those of the peer's own tests, named in `notes`.

    pip install keras torch megatron-core torchtitan
    pip install --no-deps mosaicml        # it pins an older torch than its schedulers need; then what it imports
    python generate_peers.py              # Burn too, if cargo is there; or name the peers to run
"""

import json
import os
import pathlib
import subprocess
import sys
from importlib.metadata import version
from types import SimpleNamespace

os.environ["KERAS_BACKEND"] = "torch"

HERE = pathlib.Path(__file__).resolve().parent
BURN = "0.22.1"


def case(name, library, release, api, params, steps, lr, at=None, notes=None, optimizer=None, base_lr=None, **more):
    made = {"name": name, "source": {"library": library, "version": release, "api": api}, "params": params}
    if optimizer is not None:
        made["optimizer"] = optimizer
    made |= {"base_lr": base_lr, "steps": steps}
    if at is not None:
        made["at"] = at
    if notes is not None:
        made["notes"] = notes
    return made | {"lr": lr} | more


def write(library, versions, cases):
    target = HERE / "peers" / f"{library}.json"
    target.parent.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(made, allow_nan=False) for made in cases)
    target.write_text(f'{{"versions": {json.dumps(versions)}, "cases": [\n{lines}\n]}}\n')
    print(f"{target.relative_to(HERE)}: {len(cases)} cases")


# ---------------------------------------------------------------- Megatron-LM


def megatron():
    from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler

    release = version("megatron-core")
    defaults = dict(init_lr=0.01, max_lr=0.1, min_lr=0.001, lr_warmup_steps=100, lr_decay_steps=1000, lr_decay_style="linear",
                    start_wd=0.0, end_wd=0.1, wd_incr_steps=1000, wd_incr_style="linear",
                    use_checkpoint_opt_param_scheduler=True, override_opt_param_scheduler=False,
                    wsd_decay_steps=None, lr_wsd_decay_style=None)

    def run(name, steps=1100, notes=None, groups=None, raises=None, **changes):
        params = defaults | changes
        own = groups or [{}]
        rates, decays = [[] for _ in own], [[] for _ in own]
        optimizer = SimpleNamespace(param_groups=[dict(group) for group in own])
        made = {}
        try:
            scheduler = OptimizerParamScheduler(optimizer, **params)
        except Exception as error:
            made["raises"] = {"when": "construction", "type": type(error).__name__, "message": str(error)}
            steps = 0
        for step in range(steps):
            for group, lr, wd in zip(optimizer.param_groups, rates, decays):
                lr.append(group["lr"])
                wd.append(group["weight_decay"])
            try:
                scheduler.step(1)
            except Exception as error:
                made["raises"] = {"when": "step", "type": type(error).__name__, "message": str(error), "after_index": step}
                break
        made["weight_decay"] = decays[0]
        if groups:
            made["groups"] = [{"lr": lr, "weight_decay": wd} for lr, wd in zip(rates, decays)]
        return case(f"megatron/{name}", "megatron", release, "megatron.core.optimizer_param_scheduler.OptimizerParamScheduler",
                    params, steps, rates[0], notes=notes, base_lr=0.0,
                    optimizer={"class": "Adam", "args": {}, "groups": own}, **made)

    unit = "tests/unit_tests/test_optimizer_param_scheduler.py: "
    wsd = dict(lr_decay_style="WSD", wsd_decay_steps=200)
    write("megatron", {"megatron-core": release}, [
        run("linear", notes=unit + "test_get_lr_linear, test_get_wd_linear, test_step_function"),
        run("cosine", lr_decay_style="cosine", wd_incr_style="cosine", notes=unit + "test_get_lr_cosine, test_get_wd_cosine"),
        run("constant-wd", start_wd=0.1, wd_incr_style="constant", notes=unit + "test_get_wd_constant"),
        run("groups", groups=[{"min_lr": 0.001, "max_lr": 0.2}, {"wd_mult": 0.0}, {"start_wd": 0.02, "end_wd": 0.3}],
            notes=unit + "test_step_updates_empty_param_groups, and a group with its own weight decay"),
        run("constant", lr_decay_style="constant"),
        run("no-warmup", lr_warmup_steps=0),
        run("inverse-square-root", lr_decay_style="inverse-square-root", notes="drops to min_lr past lr_decay_steps"),
        run("inverse-square-root/no-warmup", lr_decay_style="inverse-square-root", lr_warmup_steps=0),
        run("wsd/linear", lr_wsd_decay_style="linear", **wsd),
        run("wsd/cosine", lr_wsd_decay_style="cosine", **wsd),
        run("wsd/exponential", lr_wsd_decay_style="exponential", **wsd),
        run("wsd/minus_sqrt", lr_wsd_decay_style="minus_sqrt", **wsd),
        run("wsd/longer-than-the-rest", lr_decay_style="WSD", wsd_decay_steps=950, lr_wsd_decay_style="linear",
            notes="the decay has begun when the warm-up ends: the lr jumps"),
        run("wsd/no-decay-steps", lr_decay_style="WSD", wsd_decay_steps=0, lr_wsd_decay_style="linear"),
        run("wsd/no-style", **wsd, notes="an assertion fails when the decay starts"),
        run("wd-no-steps", wd_incr_steps=0),
        run("min-above-max", min_lr=0.2),
        run("warmup-not-below-decay", lr_warmup_steps=1000),
    ])


# ---------------------------------------------------------------- Keras


def keras():
    import keras as library

    library.config.set_floatx("float64")
    release = version("keras")
    schedules = library.optimizers.schedules

    def run(name, cls, steps, notes=None, at=None, **arguments):
        made = {}
        params, lr = arguments, []
        try:
            schedule = getattr(schedules, cls)(**arguments)
            params = schedule.get_config()
            lr = [float(schedule(step)) for step in at or range(steps)]
        except ValueError as error:
            made["raises"] = {"when": "construction", "type": "ValueError", "message": str(error)}
            steps = 0
        return case(f"keras/{name}", "keras", release, f"keras.optimizers.schedules.{cls}", params, steps, lr,
                    at=at, notes=notes, **made)

    def own(test):
        return f"keras/src/optimizers/schedules/learning_rate_schedule_test.py: {test}"

    write("keras", {"keras": release, "torch": version("torch"), "backend": "torch", "floatx": "float64"}, [
        run("exponential", "ExponentialDecay", 60, initial_learning_rate=0.05, decay_steps=10, decay_rate=0.96,
            notes=own("ExponentialDecayTest.test_continuous")),
        run("exponential/staircase", "ExponentialDecay", 60, initial_learning_rate=0.1, decay_steps=3, decay_rate=0.96,
            staircase=True, notes=own("ExponentialDecayTest.test_staircase")),
        run("piecewise", "PiecewiseConstantDecay", 130, boundaries=[100, 110, 120], values=[1.0, 0.1, 0.01, 0.001],
            notes=own("PiecewiseConstantDecayTest.test_piecewise_values")),
        run("polynomial/halfway", "PolynomialDecay", 20, initial_learning_rate=0.05, decay_steps=10, end_learning_rate=0.0,
            notes=own("LinearDecayTest.test_halfway, test_end")),
        run("polynomial/with-end", "PolynomialDecay", 20, initial_learning_rate=0.05, decay_steps=10, end_learning_rate=0.001,
            notes=own("LinearDecayTest.test_halfway_with_end, test_beyond_end")),
        run("polynomial/cycle", "PolynomialDecay", 45, initial_learning_rate=0.05, decay_steps=10, end_learning_rate=0.001,
            cycle=True, notes=own("LinearDecayTest.test_beyond_end_with_cycle")),
        run("polynomial/sqrt", "PolynomialDecay", 20, initial_learning_rate=0.05, decay_steps=10, end_learning_rate=0.001,
            power=0.5, notes=own("SqrtDecayTest.test_halfway_with_end, test_beyond_end")),
        run("polynomial/sqrt-cycle", "PolynomialDecay", 45, initial_learning_rate=0.05, decay_steps=10,
            end_learning_rate=0.001, power=0.5, cycle=True, notes=own("SqrtDecayTest.test_beyond_end_with_cycle")),
        run("inverse-time", "InverseTimeDecay", 40, initial_learning_rate=0.1, decay_steps=10, decay_rate=0.96,
            notes=own("InverseTimeDecayTest.test_decay")),
        run("inverse-time/staircase", "InverseTimeDecay", 40, initial_learning_rate=0.1, decay_steps=10, decay_rate=0.96,
            staircase=True, notes=own("InverseTimeDecayTest.test_staircase")),
        run("cosine", "CosineDecay", 1100, initial_learning_rate=1.0, decay_steps=1000,
            notes=own("CosineDecayTest.test_decay")),
        run("cosine/alpha", "CosineDecay", 1100, initial_learning_rate=1.0, decay_steps=1000, alpha=0.1,
            notes=own("CosineDecayTest.test_alpha")),
        run("cosine/warmup", "CosineDecay", 1600, initial_learning_rate=0.0, decay_steps=1000, warmup_target=1.0,
            warmup_steps=500, notes=own("CosineDecayTest.test_warmup_decay: decay_steps does not count the warm-up")),
        run("cosine/warmup-steps-alone", "CosineDecay", 40, initial_learning_rate=1.0, decay_steps=30, warmup_steps=10,
            notes="without warmup_target there is no warm-up"),
        run("restarts/no-growth", "CosineDecayRestarts", 3000, initial_learning_rate=1.0, first_decay_steps=1000, t_mul=1.0,
            notes=own("CosineDecayRestartsTest.test_decay")),
        run("restarts", "CosineDecayRestarts", 3000, initial_learning_rate=1.0, first_decay_steps=1000,
            notes="t_mul 2.0 by default; steps up to 3000 = 1000 + 2000 are before the first float logarithm at an edge"),
        run("restarts/m_mul", "CosineDecayRestarts", 3000, initial_learning_rate=1.0, first_decay_steps=1000, m_mul=0.9,
            notes=own("CosineDecayRestartsTest.test_mmul")),
        run("restarts/alpha", "CosineDecayRestarts", 3000, initial_learning_rate=1.0, first_decay_steps=1000, alpha=0.1,
            t_mul=1.5, m_mul=0.8),
        run("no-steps", "CosineDecay", 10, initial_learning_rate=1.0, decay_steps=0),
        run("lengths", "PiecewiseConstantDecay", 10, boundaries=[1, 2], values=[1.0, 0.5]),
    ])


# ---------------------------------------------------------------- Composer


def composer():
    from composer.core.time import Time, Timestamp, TimeUnit
    from composer.optim import scheduler as schedulers

    release = version("mosaicml")
    epoch = 1000

    def run(name, cls, at, ssr=1.0, max_duration="1000ep", notes="tests/optim/test_scheduler.py: test_scheduler_init", **arguments):
        made = {}
        params = arguments | {"max_duration": max_duration, "dataloader_len": epoch, "scale_schedule_ratio": ssr}
        whole = Time.from_timestring(max_duration)
        state = SimpleNamespace(max_duration=Time(int(whole.value * ssr), whole.unit), dataloader_len=epoch)
        factors = []
        try:
            scheduler = getattr(schedulers, cls)(**arguments)
            for step in at:
                state.timestamp = Timestamp(batch=Time(step, TimeUnit.BATCH), epoch=Time(step // epoch, TimeUnit.EPOCH))
                factors.append(float(scheduler(state, ssr)))
        except (ValueError, ZeroDivisionError) as error:
            # LambdaLR asks for the factor at 0 as soon as it is made.
            made["raises"] = {"when": "step" if factors else "construction", "type": type(error).__name__, "message": str(error)}
            if factors:
                made["raises"]["after_index"] = at[len(factors) - 1]
        # The trainer hands the factor to LambdaLR, which multiplies the base rate by it.
        base = 1.0
        return case(f"composer/{name}", "composer", release, f"composer.optim.{cls}", params,
                    at[len(factors) - 1] + 1 if factors else 0, [base * factor for factor in factors], at=at[:len(factors)], notes=notes, base_lr=base,
                    optimizer={"class": "SGD", "args": {}, "groups": [{}]}, **made)

    write("composer", {"mosaicml": release, "torch": version("torch")}, [
        run("step", "StepScheduler", [0, 5, 9, 10, 15, 35], step_size="10ba"),
        run("step/dur", "StepScheduler", [1000, 3000, 7000], step_size="0.002dur", gamma=0.8),
        run("step/ep", "StepScheduler", [500, 1500, 3500], step_size="1ep", gamma=0.5),
        run("step/ssr", "StepScheduler", [3, 8, 18], ssr=0.5, step_size="10ba", gamma=0.5),
        run("multistep", "MultiStepScheduler", [5, 20, 50, 100], milestones=["10ba", "30ba", "70ba"]),
        run("multistep/units", "MultiStepScheduler", [50, 500, 5000, 50000], milestones=["100ba", "1ep", "0.01dur"], gamma=0.5),
        run("multistep/ssr", "MultiStepScheduler", [200, 2000, 20000, 200000], ssr=4.0,
            milestones=["100ba", "1ep", "0.01dur"], gamma=0.5),
        run("constant", "ConstantScheduler", [0, 29, 30, 100], alpha=0.25, t_max="30ba", notes="1.0 after t_max"),
        run("linear", "LinearScheduler", [100000, 200000, 400000]),
        run("linear/rise", "LinearScheduler", [100000, 200000, 400000], alpha_i=0.0, alpha_f=2.0),
        run("linear/t_max", "LinearScheduler", [100000, 200000, 400000], alpha_i=0.0, alpha_f=1.0, t_max="0.25dur"),
        run("linear/ssr", "LinearScheduler", [100000, 200000, 400000], ssr=2.0, alpha_i=0.0, alpha_f=1.0, t_max="0.25dur"),
        run("exponential", "ExponentialScheduler", [0, 500, 1000, 2000, 4000], gamma=0.5),
        run("exponential/ssr", "ExponentialScheduler", [2000, 4000, 8000], ssr=2.0, gamma=0.5),
        run("cosine", "CosineAnnealingScheduler", [0, 333333, 500000, 666667, 1000000]),
        run("cosine/alpha_f", "CosineAnnealingScheduler", [0, 10, 15, 20, 30, 50], t_max="30ba", alpha_f=0.5),
        run("cosine/ssr", "CosineAnnealingScheduler", [0, 2, 3, 4, 6, 10], ssr=0.2, t_max="30ba", alpha_f=0.5),
        run("restarts", "CosineAnnealingWarmRestartsScheduler", [0, 10, 15, 20, 30, 40], t_0="30ba"),
        run("restarts/t_mult", "CosineAnnealingWarmRestartsScheduler", [0, 1000, 3000, 4500, 7500, 14250], t_0="0.003dur",
            t_mult=1.5),
        run("restarts/ssr", "CosineAnnealingWarmRestartsScheduler", [0, 5000, 15000, 25000], ssr=0.5, t_0="30ep", t_mult=2.0,
            alpha_f=0.5),
        run("polynomial", "PolynomialScheduler", [0, 100000, 200000, 500000], power=2.0),
        run("polynomial/t_max", "PolynomialScheduler", [0, 10, 20, 50], power=2.0, t_max="100ba", alpha_f=0.5),
        run("warm-multistep", "MultiStepWithWarmupScheduler", [0, 5, 15, 25, 45], t_warmup="10ba", milestones=["20ba", "40ba"]),
        run("warm-multistep/ssr", "MultiStepWithWarmupScheduler", [0, 5, 15, 1500, 2500], ssr=0.5, t_warmup="10ba",
            milestones=["2ep", "4ep"], gamma=0.5),
        run("warm-multistep/scale_warmup", "MultiStepWithWarmupScheduler", [0, 5, 15, 1500, 2500], ssr=0.5, t_warmup="10ba",
            milestones=["2ep", "4ep"], gamma=0.5, scale_warmup=True),
        run("warm-multistep/none", "MultiStepWithWarmupScheduler", [0, 100000, 1000000], t_warmup="1000ep", milestones=[]),
        run("warm-constant", "ConstantWithWarmupScheduler", [0, 250000, 500000, 500500, 502000], t_warmup="500ep", alpha=3.0),
        run("warm-linear", "LinearWithWarmupScheduler", [0, 250000, 500000, 750000, 1000000], t_warmup="500ep"),
        run("warm-linear/ssr", "LinearWithWarmupScheduler", [0, 250000, 500000, 500500, 501000, 502000], ssr=0.5,
            t_warmup="500ep", alpha_i=3.0, alpha_f=2.0, t_max="1002ep"),
        run("warm-linear/dur", "LinearWithWarmupScheduler", [0, 250, 500, 499750], t_warmup="0.0005dur"),
        run("warm-linear/scale_warmup", "LinearWithWarmupScheduler", [0, 125, 250, 400, 500, 249875], ssr=0.5,
            t_warmup="500ba", scale_warmup=True, notes="test_scheduler_init, and a step between the two ends of the warm-up"),
        run("warm-linear/all-warmup", "LinearWithWarmupScheduler", [0, 100000, 1000000], t_warmup="1000ep"),
        run("warm-cosine", "CosineAnnealingWithWarmupScheduler", [0, 450000, 900000, 933333, 950000, 1000000], t_warmup="0.9dur"),
        run("warm-cosine/ssr", "CosineAnnealingWithWarmupScheduler", [0, 4500, 9000, 9333, 9500, 10000], ssr=0.01,
            t_warmup="0.9dur", alpha_f=0.5),
        run("warm-polynomial", "PolynomialWithWarmupScheduler", [0, 450000, 900000, 913397, 929289, 1000000], t_warmup="0.9dur"),
        run("warm-polynomial/ssr", "PolynomialWithWarmupScheduler", [0, 4500, 9000, 9134, 9293, 10000], ssr=0.01,
            t_warmup="0.9dur", alpha_f=0.5, scale_warmup=True),
        run("warm-cosine/t_max-too-short", "CosineAnnealingWithWarmupScheduler", [0], t_warmup="10ba", t_max="0.75dur",
            notes="test_warmup_schedulers_fail_fast"),
        run("restarts/shrinking", "CosineAnnealingWarmRestartsScheduler", [0, 100], t_0="10ba", t_mult=0.5),
        run("linear/t_max-0", "LinearScheduler", [0], t_max="0ba"),
    ])


# ---------------------------------------------------------------- torchtitan


def torchtitan():
    import torch
    from torchtitan.components.optimizer.lr_scheduler import LRSchedulersContainer

    release = version("torchtitan")

    def run(name, training_steps, steps, notes=None, **settings):
        config = LRSchedulersContainer.Config(**settings)
        params = {field: getattr(config, field) for field in
                  ("warmup_steps", "total_steps", "decay_ratio", "decay_type", "min_lr_factor")}
        optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        schedulers = config.build(optimizers=[optimizer], training_steps=training_steps)
        made, lr = {}, []
        for step in range(steps):
            lr.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            try:
                schedulers.step()
            except AssertionError as error:
                made["raises"] = {"when": "step", "type": "AssertionError", "message": str(error), "after_index": step}
                break
        return case(f"torchtitan/{name}", "torchtitan", release, "torchtitan.components.optimizer.LRSchedulersContainer",
                    params | {"training_steps": training_steps}, steps, lr, notes=notes, base_lr=0.1,
                    optimizer={"class": "Adam", "args": {}, "groups": [{}]}, **made)

    unit = "tests/unit_tests/test_lr_scheduler.py: "
    write("torchtitan", {"torchtitan": release, "torch": version("torch")}, [
        run("linear", 10, 10, warmup_steps=2, notes=unit + "test_linear_warmup_decay"),
        run("stable", 10, 10, warmup_steps=2, decay_ratio=0.5, notes=unit + "test_warmup_stable_decay"),
        run("min_lr_factor", 10, 11, warmup_steps=2, min_lr_factor=0.2, notes=unit + "test_min_lr"),
        run("warmup-exceeds-training", 5, 5, warmup_steps=10, notes=unit + "test_warmup_exceeds_training"),
        run("stable-only", 10, 12, warmup_steps=2, decay_ratio=0.0, notes=unit + "test_warmup_stable_only; an assertion fails past the end"),
        run("warmup-plus-decay-exceeds", 10, 10, warmup_steps=5, decay_ratio=0.8,
            notes=unit + "test_warmup_plus_decay_exceeds_training"),
        run("sqrt", 100, 100, warmup_steps=10, decay_ratio=0.2, decay_type="sqrt", min_lr_factor=0.05),
        run("cosine", 100, 100, warmup_steps=10, decay_ratio=0.35, decay_type="cosine", min_lr_factor=0.1),
        run("total_steps", 50, 100, warmup_steps=0, total_steps=100, decay_ratio=0.125),
        run("linear/past-the-end", 20, 30, warmup_steps=4, min_lr_factor=0.1, notes="nothing stops the line: it goes below 0"),
        run("cosine/past-the-end", 20, 50, warmup_steps=4, decay_type="cosine", notes="the cosine rises again"),
    ])


# ---------------------------------------------------------------- Burn


BURN_MAIN = r"""
use burn_optim::lr_scheduler::composed::{ComposedLrSchedulerConfig, SchedulerReduction};
use burn_optim::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig as Cosine;
use burn_optim::lr_scheduler::exponential::ExponentialLrSchedulerConfig as Exponential;
use burn_optim::lr_scheduler::linear::LinearLrSchedulerConfig as Linear;
use burn_optim::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn_optim::lr_scheduler::noam::NoamLrSchedulerConfig as Noam;
use burn_optim::lr_scheduler::sequential::SequentialLrSchedulerConfig as Sequential;
use burn_optim::lr_scheduler::step::StepLrSchedulerConfig as Step;

fn run(name: &str, api: &str, params: &str, steps: usize, scheduler: Result<ModuleLrScheduler, String>) {
    match scheduler {
        Ok(mut scheduler) => {
            let lr: Vec<String> = (0..steps).map(|_| format!("{:?}", scheduler.step().base())).collect();
            println!(r#"["{name}", "{api}", {params}, {steps}, [{}], null]"#, lr.join(", "));
        }
        Err(message) => println!(r#"["{name}", "{api}", {params}, 0, [], "{message}"]"#),
    }
}

fn main() {
    run("linear", "Linear", r#"{"initial_lr": 0.9, "final_lr": 0.5, "num_iters": 4}"#, 8, Linear::new(0.9, 0.5, 4).init());
    run("linear/rise", "Linear", r#"{"initial_lr": 0.01, "final_lr": 0.04, "num_iters": 3}"#, 8, Linear::new(0.01, 0.04, 3).init());
    run("linear/flat", "Linear", r#"{"initial_lr": 0.3, "final_lr": 0.3, "num_iters": 2}"#, 4, Linear::new(0.3, 0.3, 2).init());
    run("linear/no-iterations", "Linear", r#"{"initial_lr": 0.3, "final_lr": 0.3, "num_iters": 0}"#, 4, Linear::new(0.3, 0.3, 0).init());
    run("cosine", "CosineAnnealing", r#"{"initial_lr": 0.5, "min_lr": 0.1, "num_iters": 2}"#, 9, Cosine::new(0.5, 2).with_min_lr(0.1).init());
    run("cosine/past-the-end", "CosineAnnealing", r#"{"initial_lr": 1.0, "num_iters": 9}"#, 40, Cosine::new(1.0, 9).init());
    run("cosine/min-above", "CosineAnnealing", r#"{"initial_lr": 0.5, "min_lr": 0.6, "num_iters": 2}"#, 9, Cosine::new(0.5, 2).with_min_lr(0.6).init());
    run("exponential", "Exponential", r#"{"initial_lr": 0.8, "gamma": 0.1}"#, 5, Exponential::new(0.8, 0.1).init());
    run("exponential/long", "Exponential", r#"{"initial_lr": 0.083, "gamma": 0.97}"#, 200, Exponential::new(0.083, 0.97).init());
    run("noam", "Noam", r#"{"factor": 1.0, "warmup_steps": 50, "model_size": 512}"#, 200, Noam::new(1.0).with_warmup_steps(50).init());
    run("step", "Step", r#"{"initial_lr": 0.5, "step_size": 3, "gamma": 0.1}"#, 9, Step::new(0.5, 3).with_gamma(0.1).init());
    run("step/rise", "Step", r#"{"initial_lr": 0.1, "step_size": 2, "gamma": 2.0}"#, 6, Step::new(0.1, 2).with_gamma(2.0).init());
    let parts = r#""schedulers": [{"Linear": {"initial_lr": 0.9, "final_lr": 0.5, "num_iters": 4}}, {"Step": {"initial_lr": 0.5, "step_size": 3}}, {"Constant": 0.25}]"#;
    for (name, reduction) in [("Prod", SchedulerReduction::Prod), ("Sum", SchedulerReduction::Sum), ("Avg", SchedulerReduction::Avg)] {
        let all = ComposedLrSchedulerConfig::new().linear(Linear::new(0.9, 0.5, 4)).step(Step::new(0.5, 3)).constant(0.25);
        run(&format!("composed/{name}"), "Composed", &format!(r#"{{{parts}, "reduction": "{name}"}}"#), 12, all.with_reduction(reduction).init());
    }
    let parts = r#""schedulers": [{"Linear": {"initial_lr": 0.1, "final_lr": 0.3, "num_iters": 2}}, {"Exponential": {"initial_lr": 0.5, "gamma": 0.5}}, {"Cosine": {"initial_lr": 0.8, "num_iters": 2}}]"#;
    for (name, milestones) in [("sequential", vec![2, 5]), ("sequential/equal-milestones", vec![2, 2])] {
        let pieces = vec![Linear::new(0.1, 0.3, 2).into(), Exponential::new(0.5, 0.5).into(), Cosine::new(0.8, 2).into()];
        run(name, "Sequential", &format!(r#"{{{parts}, "milestones": {milestones:?}}}"#), 8, Sequential::new(pieces, milestones).init());
    }
}
"""


def burn():
    folder = pathlib.Path(os.environ.get("BURN_FOLDER", "/tmp/instep-burn-peer"))
    (folder / "src").mkdir(parents=True, exist_ok=True)
    (folder / "Cargo.toml").write_text(
        '[package]\nname = "burn-peer"\nversion = "0.0.0"\nedition = "2024"\n\n[workspace]\n\n'
        f'[dependencies]\nburn-optim = {{ version = "={BURN}", default-features = false, features = ["std"] }}\n')
    (folder / "src" / "main.rs").write_text(BURN_MAIN)
    printed = subprocess.run(["cargo", "run", "--quiet"], cwd=folder, check=True, capture_output=True, text=True).stdout
    cases = []
    for name, api, params, steps, lr, message in map(json.loads, printed.splitlines()):
        made = {} if message is None else {"raises": {"when": "construction", "type": "String", "message": message}}
        cases.append(case(f"burn/{name}", "burn", BURN, f"burn_optim::lr_scheduler::{api}LrSchedulerConfig", params, steps, lr,
                          notes="most of these are the tests in crates/burn-optim/src/lr_scheduler/", **made))
    write("burn", {"burn-optim": BURN}, cases)


if __name__ == "__main__":
    peers = {"megatron": megatron, "keras": keras, "composer": composer, "torchtitan": torchtitan, "burn": burn}
    for peer in sys.argv[1:] or peers:
        peers[peer]()

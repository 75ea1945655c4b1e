//! The state block: what does not fit or is damaged is refused with its place, and changes nothing.

use instep::{
    Accumulate, AdamW, Clip, Device, Difference, Error, Greedy, LoadOptions, LossScale, Momentum, Optimizer,
    OptimizerBuilder, Plateau, Schedule, Sgd, Stream, Tensor, knob, knob_steps, reached,
};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use crate::owned::{Pair, Values};

fn pairs() -> Vec<Pair> {
    let pair =
        |len: usize| Pair { param: Values::new(&vec![1.0; len], len % 4), grad: Values::new(&vec![0.5; len], 1) };
    [5, 1, 9, 4].map(pair).into()
}

fn lr() -> Schedule {
    let stable = Schedule::constant(knob("peak_lr", 0.1)).over(knob_steps("stable_steps", 50));
    stable.then(Schedule::cosine(reached(), 0.0).over(8))
}

fn adam() -> AdamW {
    AdamW::new(lr()).metric(Plateau::new().patience(1))
}

fn sgd() -> Sgd {
    Sgd::new(Schedule::linear(0.5, 0.1).over(9)).momentum(Momentum::Heavy, 0.9).metric(Greedy::new().smooth(3))
}

fn options(builder: OptimizerBuilder) -> OptimizerBuilder {
    builder.clip(Clip::torch_norm(1.0)).loss_scale(LossScale::dynamic().interval(3)).accumulate(Accumulate::mean(2))
}

/// Two groups of two tensors.
fn build(pairs: &[Pair]) -> Optimizer {
    let tensors: Vec<Tensor> = pairs.iter().map(Pair::tensor).collect();
    let builder = options(Optimizer::builder(&Device::host()));
    builder.group(adam(), &tensors[..2]).group(sgd(), &tensors[2..]).build().unwrap()
}

/// After seven calls, the fourth update begun, and a boundary set to now.
fn stopped(pairs: &[Pair]) -> Optimizer {
    let mut opt = build(pairs);
    for call in 0..7 {
        // SAFETY: a value has no address.
        unsafe { opt.observe(1.0 + f64::from(call % 3), &Stream::host()) }.unwrap();
        opt.step(&Stream::host()).unwrap();
    }
    opt.edit().set("peak_lr", 0.2).apply(&Stream::host()).unwrap();
    opt.edit().now("stable_steps").apply(&Stream::host()).unwrap();
    opt
}

#[test]
fn a_block_of_this_version_stays_readable() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/state/version-3.bin");
    let now = state(&stopped(&pairs()));
    if std::env::var_os("INSTEP_BLESS").is_some_and(|bless| bless == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &now).unwrap();
    }
    let kept = std::fs::read(&path).unwrap();
    let pairs = pairs();
    let mut opt = build(&pairs);
    let loaded = opt.load_state(&kept, &Stream::host());
    assert!(
        loaded.is_ok(),
        "a block that was kept is refused: the layout, or what is compared, needs another version: {loaded:?}"
    );
    assert!(
        state(&opt) == kept && kept == now,
        "the block has other bytes now: it needs another version, unless schedules have other words alone"
    );
}

fn state(opt: &Optimizer) -> Vec<u8> {
    opt.state(&Stream::host()).unwrap()
}

/// The argument, the value and the rule of the refusal, which must have changed nothing.
#[track_caller]
fn refused(opt: &mut Optimizer, bytes: &[u8]) -> (String, String, String) {
    let seen = |opt: &Optimizer| {
        let knobs: Vec<_> = opt.knobs().map(|(name, value)| (name.to_owned(), value)).collect();
        (state(opt), opt.status(&Stream::host()).unwrap(), knobs)
    };
    let before = seen(opt);
    match opt.load_state(bytes, &Stream::host()) {
        Err(Error::Argument { argument, value, rule }) => {
            assert!(seen(opt) == before, "{argument} is refused, but something changed");
            (argument, value, rule)
        }
        other => panic!("not refused as an argument: {other:?}"),
    }
}

/// What differs, which must have changed nothing.
#[track_caller]
fn differences(opt: &mut Optimizer, bytes: &[u8]) -> Vec<Difference> {
    let before = (state(opt), opt.status(&Stream::host()).unwrap());
    match opt.load_state(bytes, &Stream::host()) {
        Err(Error::Differs { differences }) => {
            assert!((state(opt), opt.status(&Stream::host()).unwrap()) == before, "refused, but something changed");
            differences
        }
        other => panic!("not refused as another optimizer's: {other:?}"),
    }
}

/// The checksum of a block that was changed, made right again.
fn sealed(mut block: Vec<u8>) -> Vec<u8> {
    let content = block.len() - 32;
    let checksum = Sha256::digest(&block[..content]);
    block[content..].copy_from_slice(&checksum);
    block
}

/// Where the content of section `tag` begins.
fn section(block: &[u8], tag: &str) -> usize {
    let mut at = 12;
    loop {
        let content = at + 12;
        if &block[at..at + 4] == tag.as_bytes() {
            return content;
        }
        at = content + u64::from_le_bytes(block[at + 4..content].try_into().unwrap()) as usize;
    }
}

#[test]
fn a_rule_that_groups_share_is_another_state_than_one_for_each() {
    let ours = pairs();
    let tensors: Vec<Tensor> = ours.iter().map(Pair::tensor).collect();
    let (a, b, plateau) = (&tensors[..2], &tensors[2..], Plateau::new().patience(1));
    let builder = || Optimizer::builder(&Device::host());
    let shared = || builder().metric(plateau).group(Sgd::new(0.1), a).group(Sgd::new(0.1), b).build().unwrap();
    let rule = || Sgd::new(0.1).metric(plateau);
    let mut each = builder().group(rule(), a).group(rule(), b).build().unwrap();
    let mut first = shared();
    for _ in 0..4 {
        // SAFETY: a value has no address.
        unsafe { first.observe(1.0, &Stream::host()) }.unwrap();
    }
    let block = state(&first);
    let found = differences(&mut each, &block);
    assert_eq!(found.len(), 1, "{found:?}");
    let line = "groups[1].metric: one rule with groups[0], here a rule of its own";
    assert_eq!((&*found[0].to_string(), found[0].word), (line, Some("metrics")));
    let mut second = shared();
    second.load_state(&block, &Stream::host()).unwrap();
    assert!(state(&second) == block);
    let status = second.status(&Stream::host()).unwrap();
    assert_eq!([0, 1].map(|group| status.scalar(group, "lr")), [Some(0.01), Some(0.01)]);
    // One group that shares with nobody has the rule for itself, either way.
    let mut alone = builder().metric(plateau).group(Sgd::new(0.1), a).build().unwrap();
    alone.load_state(&state(&builder().group(rule(), a).build().unwrap()), &Stream::host()).unwrap();
}

#[test]
fn what_does_not_fit_is_named_with_both_values() {
    let ours = pairs();
    let block = state(&stopped(&ours));
    let tensors: Vec<Tensor> = ours.iter().map(Pair::tensor).collect();
    let other = Pair::new(&[1.0; 6], &[1.0; 6]);
    let with = |groups: &dyn Fn(OptimizerBuilder) -> OptimizerBuilder| {
        groups(options(Optimizer::builder(&Device::host()))).build().unwrap()
    };
    let (a, b) = (&tensors[..2], &tensors[2..]);
    let longer = [tensors[0].clone(), other.tensor()];
    let renamed = [tensors[2].clone().name("head"), tensors[3].clone()];
    let peak = || Schedule::constant(knob("peak_lr", 0.1));
    let end = || Schedule::cosine(reached(), 0.0);
    // What is refused, the word that would allow it, and by whom.
    let cases: Vec<(&str, Option<&str>, Optimizer)> = vec![
        ("tensors: with \"1.0\", \"1.1\", here without them; ", Some("tensors"), with(&|x| x.group(adam(), a))),
        (
            "groups[0].rule: adamw, here sgd; states of one rule mean nothing to another",
            None,
            with(&|x| x.group(sgd(), a).group(adam(), b)),
        ),
        (
            "groups[1].lr: linear from 0.5 to 0.1 over 9 steps, here 0.5",
            Some("schedules"),
            with(&|x| x.group(adam(), a).group(Sgd::new(0.5).momentum(Momentum::Heavy, 0.9), b)),
        ),
        (
            "groups[1].metric: greedy, here none; its scale was 1, and is 1 from now on",
            Some("metrics"),
            with(&|x| {
                let lr = Schedule::linear(0.5, 0.1).over(9);
                x.group(adam(), a).group(Sgd::new(lr).momentum(Momentum::Heavy, 0.9), b)
            }),
        ),
        ("groups[0].metric.patience: 1, here 2; its state goes on, with scale 0.001", Some("metrics"), {
            with(&|x| x.group(AdamW::new(lr()).metric(Plateau::new().patience(2)), a).group(sgd(), b))
        }),
        (
            "tensors: with \"1.1\", here without them; ",
            Some("tensors"),
            with(&|x| x.group(adam(), a).group(sgd(), &b[..1])),
        ),
        ("tensor \"0.1\": 1 elements, here 6 elements", None, with(&|x| x.group(adam(), &longer).group(sgd(), b))),
        ("tensors: without \"head\", here with them; they start", Some("tensors"), {
            with(&|x| x.group(adam(), a).group(sgd(), &renamed))
        }),
        ("accumulate: the mean of calls, here none", Some("accumulation"), {
            let plain = Optimizer::builder(&Device::host()).clip(Clip::torch_norm(1.0));
            plain.group(adam(), a).group(sgd(), b).build().unwrap()
        }),
        ("clip: torch's by the 2-norm above 1, here torch's by the 2-norm above 2", Some("clipping"), {
            with(&|x| x.clip(Clip::torch_norm(2.0)).group(adam(), a).group(sgd(), b))
        }),
        ("knob \"steps\": none, here 50 steps", Some("schedules"), {
            let lr = peak().over(knob_steps("steps", 50)).then(end().over(8));
            with(&|x| x.group(AdamW::new(lr.clone()).metric(Plateau::new().patience(1)), a).group(sgd(), b))
        }),
        ("knob \"stable_steps\": 50 steps, here none", Some("schedules"), {
            let lr = peak().over(50).then(end().over(8));
            with(&|x| x.group(AdamW::new(lr.clone()).metric(Plateau::new().patience(1)), a).group(sgd(), b))
        }),
        ("groups[0].weight_decay: 0.01, here 0.02", Some("constants"), {
            with(&|x| x.group(adam().weight_decay(0.02), a).group(sgd(), b))
        }),
        (
            "groups[1].lr: linear from 0.5 to 0.1 over 9 steps, here linear from 0.5 to 0.1 over 10 steps",
            Some("schedules"),
            {
                let rule = Sgd::new(Schedule::linear(0.5, 0.1).over(10)).momentum(Momentum::Heavy, 0.9);
                with(&|x| x.group(adam(), a).group(rule.clone().metric(Greedy::new().smooth(3)), b))
            },
        ),
    ];
    for (line, word, mut opt) in cases {
        let found = differences(&mut opt, &block);
        let said = found.iter().find(|difference| difference.to_string().starts_with(line));
        assert!(said.is_some_and(|said| said.word == word), "{line}: {found:#?}");
    }
    // And it fits where all is alike, whatever was edited there, and whatever the defaults of the knobs are.
    let mut edited = stopped(&ours);
    edited
        .edit()
        .set("peak_lr", 0.7)
        .set_steps("stable_steps", 3)
        .progress_increment(9)
        .apply(&Stream::host())
        .unwrap();
    edited.load_state(&block, &Stream::host()).unwrap();
    assert!(state(&edited) == block);
    let lr = Schedule::constant(knob("peak_lr", 3.0)).over(knob_steps("stable_steps", 7)).then(end().over(8));
    let rule = AdamW::new(lr).metric(Plateau::new().patience(1));
    let mut other_defaults = with(&|x| x.group(rule.clone(), a).group(sgd(), b));
    other_defaults.load_state(&block, &Stream::host()).unwrap();
    assert!(state(&other_defaults) == block);
}

#[test]
fn what_is_no_block_of_this_version_is_refused_by_its_head() {
    let pairs = pairs();
    let (mut opt, block) = (build(&pairs), state(&stopped(&pairs)));
    assert_eq!(refused(&mut opt, &[]).0, "state");
    assert_eq!(refused(&mut opt, &block[..43]).1, "43 bytes");
    assert_eq!(refused(&mut opt, &vec![0; 5_000]).0, "state.magic");
    let mut newer = block.clone();
    newer[8] = 4;
    let (argument, value, rule) = refused(&mut opt, &sealed(newer));
    assert_eq!((&*argument, &*value, &*rule), ("state.version", "4", "must be 3, which this crate reads"));
    let mut older = block.clone();
    older[8] = 2;
    assert_eq!(refused(&mut opt, &sealed(older)).2, "must be 3, which this crate reads");
    let mut longer = block.clone();
    longer.push(0);
    assert_eq!(refused(&mut opt, &longer).0, "state.checksum");
}

#[test]
fn what_a_right_checksum_does_not_excuse() {
    let pairs = pairs();
    let (mut opt, block) = (build(&pairs), state(&stopped(&pairs)));
    let forged = |tag: &str, offset: isize, value: u64| {
        let mut block = block.clone();
        let at = section(&block, tag).checked_add_signed(offset).unwrap();
        block[at..at + 8].copy_from_slice(&value.to_le_bytes());
        sealed(block)
    };
    let mut changed = |tag: &str, offset: isize, value: u64| refused(&mut opt, &forged(tag, offset, value)).0;
    // Rows begin with their size and their number, lists with their number.
    assert_eq!(changed("ctrl", 0, 136), "state.control.size");
    assert_eq!(changed("ctrl", 8, 0), "state.control");
    assert_eq!(changed("opts", 8, 9), "state.options", "a clip that is not there");
    assert_eq!(changed("knob", 0, 1), "state.knobs", "one is left over");
    assert_eq!(changed("knob", 0, u64::MAX), "state.knobs", "there are not as many");
    assert_eq!(changed("knob", 8, u64::MAX), "state.knobs", "a name that goes on past the end");
    assert_eq!(changed("knob", 8 + 8 + 7, 7), "state.knobs", "a kind that is not there: the name is peak_lr");
    assert_eq!(changed("metr", 0, 3), "state.metrics");
    assert_eq!(changed("metr", 8, 8), "state.metrics.size");
    assert_eq!(changed("grou", 0, u64::MAX), "state.groups");
    assert_eq!(changed("tens", 0, 3), "state.tensors");
    // Its name is 0.0; then come its group and its length.
    let of_first = 8 + 8 + 3;
    assert_eq!(changed("tens", of_first, 2), "state.tensors", "a group that is not there");
    assert_eq!(changed("tens", of_first + 8, u64::MAX), "state.tensors", "a length that no memory has");
    assert_eq!(changed("tens", of_first + 8, 1 << 50), "state.states", "the states are shorter");
    assert_eq!(changed("tens", of_first + 32, 9), "state.tensors", "a form that is not there");
    // After the form, whose the master is, the number of states and the name exp_avg: its form.
    assert_eq!(changed("tens", of_first + 56 + 8 + 7, 5), "state.tensors", "a state with a master");
    // Before a section's content come its tag and its length.
    let states = ((5 + 1) * 2 + 9 + 4) * 4;
    assert_eq!(changed("stat", -8, states - 4), "state.states");
    assert_eq!(changed("stat", -8, states + 4), "state.sections");
    assert_eq!(changed("ctrl", -12, 0), "state.sections");
    // A knob's value that breaks a rule of the schedule: -1 for peak_lr.
    let negative = forged("knob", 8 + 8 + 7 + 8, (-1.0f64).to_bits());
    let found = differences(&mut opt, &negative);
    assert_eq!((&*found[0].place, found[0].word), ("state.groups[0].lr", None));
    assert_eq!(found[0].note, "must not be negative at any step");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_changed_byte_and_any_cut_is_refused_and_changes_nothing(at: prop::sample::Index, by in 1..=255u8, cut: bool) {
        let pairs = pairs();
        let mut opt = stopped(&pairs);
        let mut block = state(&opt);
        opt.step(&Stream::host()).unwrap();
        let at = at.index(block.len());
        if cut { block.truncate(at) } else { block[at] ^= by }
        let (argument, ..) = refused(&mut opt, &block);
        prop_assert!(argument.starts_with("state"));
    }

    /// A wrong block with a right checksum is loaded as a whole or refused as a whole, and panics neither way.
    #[test]
    fn a_forged_block_does_not_panic(at: prop::sample::Index, by in 1..=255u8, cut in 0..64usize) {
        let pairs = pairs();
        let mut opt = build(&pairs);
        let mut block = state(&stopped(&pairs));
        let content = block.len() - 32;
        block[at.index(content)] ^= by;
        if cut < 32 {
            block.drain(content - cut..content);
        }
        let block = sealed(block);
        match opt.load_state(&block, &Stream::host()) {
            Ok(()) => {}
            Err(Error::Differs { .. }) => drop(differences(&mut opt, &block)),
            Err(_) => drop(refused(&mut opt, &block)),
        }
        // With every word more of it is looked at.
        let all = LoadOptions::new().schedules().constants().metrics().clipping().loss_scale();
        let all = all.accumulation().tensors().precision().masters();
        let _ = opt.load_state_with(&block, all, &Stream::host());
    }
}

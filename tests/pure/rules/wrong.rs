//! Rules in Rust that are wrong in one place each, and the whole text of what is said of it.

use instep::rule::{
    Element, Hyperparameter, Of, Over, Range, Remembered, Rule, Scalar, Start, Step, Stream, Sum, Terms,
};
use instep::scalars;

use super::refusal;

/// The one thing that is wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Nothing,
    FirstIsNotLr,
    DefaultIsInfinite,
    NameOfCpp,
    NameOfTheKernel,
    TwoStreamsOneName,
    ScalarHasAStreamsName,
    StreamUnused,
    StreamUnchanged,
    ReadOnlyChanged,
    StartIsNan,
    AbsentUsed,
    AbsentMeasured,
    ParamUnchanged,
    ValueName,
    SumWithoutTerm,
    SumTwice,
    SumNotStated,
    SumUnused,
    MeasureUsesSum,
    TensorAndGroup,
    RememberedUnchanged,
    RememberedNotStated,
    RememberedOfCohortFromSum,
    RememberedOfTensorFromNothing,
    RememberedOfTensorFromItself,
    RememberedOfCohortFromLength,
    RememberedOfGroupFromTensor,
    RememberedInfinite,
    TooManySums,
    KeyOfFiles,
}

use Fault::*;

#[derive(Debug, Clone)]
struct Faulty(Fault);

scalars! { FaultyScalars { rate, beta, of_tensor, of_group } }

impl Rule for Faulty {
    const NAME: &'static str = "faulty";
    type Hyperparameters<T> = [T; 2];
    type Streams<T> = [T; 3];
    type Scalars<T> = FaultyScalars<T>;

    fn hyperparameters(&self) -> [Hyperparameter; 2] {
        let lr = if self.0 == FirstIsNotLr { "rate" } else { "lr" };
        let default = if self.0 == DefaultIsInfinite { f64::INFINITY } else { 0.9 };
        [
            Hyperparameter::new(lr, &0.1.into(), Range::NotNegative),
            Hyperparameter::new(if self.0 == KeyOfFiles { "metric" } else { "beta" }, &0.9.into(), Range::BelowOne)
                .default(default),
        ]
    }

    fn streams(&self) -> [Stream; 3] {
        let name = match self.0 {
            NameOfCpp => "register",
            NameOfTheKernel => "u64",
            TwoStreamsOneName => "exp_avg",
            ScalarHasAStreamsName => "rate",
            _ => "anchor",
        };
        let start = if self.0 == StartIsNan { Start::Value(f32::NAN) } else { Start::Param };
        [
            Stream::new("exp_avg"),
            Stream::new(name).starts(start).exact().read_only(),
            Stream::new("spare").only_if(false),
        ]
    }

    fn sums(&self) -> Vec<Sum> {
        let mut sums = vec![Sum::new("square", Over::Tensor), Sum::new("lean", Over::Group)];
        if self.0 == TooManySums {
            sums.extend((0..7).map(|i| Sum::new(format!("more_{i}"), Over::Group)));
        }
        sums
    }

    fn remember(&self) -> Vec<Remembered> {
        let of = match self.0 {
            RememberedOfTensorFromNothing | RememberedOfTensorFromItself => Of::Tensor,
            RememberedOfGroupFromTensor => Of::Group,
            _ => Of::Cohort,
        };
        vec![Remembered::new("kept", of, if self.0 == RememberedInfinite { f64::NEG_INFINITY } else { 1.0 })]
    }

    fn resolve<W: Scalar>(&self, [lr, beta]: [W; 2], step: &mut Step<'_, W>) -> FaultyScalars<W::Element> {
        let (square, lean) = (step.sum(0), step.sum(1));
        match self.0 {
            RememberedUnchanged => {}
            RememberedNotStated => step.remember(1, beta),
            RememberedOfCohortFromSum => step.remember(0, lean * beta),
            RememberedOfCohortFromLength => step.remember(0, step.len(0)),
            RememberedOfTensorFromNothing => step.remember(0, beta),
            RememberedOfGroupFromTensor => step.remember(0, square),
            _ => step.remember(0, step.remembered(0) * beta),
        }
        let of_tensor = if self.0 == TensorAndGroup { square + lean } else { square / step.len(0) };
        let of_group = if self.0 == SumUnused { lr } else { lean.sqrt() };
        FaultyScalars { rate: lr.round(), beta: beta.round(), of_tensor: of_tensor.round(), of_group: of_group.round() }
    }

    #[inline(always)]
    fn measure<E: Element>(&self, s: &FaultyScalars<E>, p: E, g: E, [m, _, spare]: [E; 3], terms: &mut Terms<E>) {
        terms.add_product(0, g, g);
        match self.0 {
            SumWithoutTerm => {}
            MeasureUsesSum => terms.add(1, p * s.of_group),
            AbsentMeasured => terms.add(1, spare),
            _ => terms.add(1, m),
        }
        match self.0 {
            SumTwice => terms.add(0, p),
            SumNotStated => terms.add(2, p),
            _ => {}
        }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &FaultyScalars<E>, p: E, g: E, [m, anchor, spare]: [E; 3]) -> (E, [E; 3]) {
        let g = match self.0 {
            AbsentUsed => g * spare,
            _ => g,
        };
        let new = s.beta.fma(m, g).named(if self.0 == ValueName { "new m" } else { "m" });
        let apart = if self.0 == StreamUnused { p } else { p - anchor };
        let param = (-s.rate).fma(new + s.of_tensor * apart / s.of_group, p);
        let new = match self.0 {
            StreamUnchanged => m,
            _ => new,
        };
        let anchor = if self.0 == ReadOnlyChanged { p } else { anchor };
        (if self.0 == ParamUnchanged { p } else { param }, [new, anchor, spare])
    }
}

const NAME: &str =
    "a name has small letters, digits and underscores, begins with a letter, and is no word of C++ or of the tape";

#[test]
fn each_wrong_rule_gives_an_error_that_names_the_place() {
    let named = |place: &str, name: &str| format!("{place} is {name:?}, but {NAME}");
    let expected = [
        (FirstIsNotLr, "hyperparameters[0] is rate, but must be lr, the learning rate".to_owned()),
        (DefaultIsInfinite, "hyperparameters.beta.default is inf, but must be finite".to_owned()),
        (NameOfCpp, named("streams", "register")),
        (NameOfTheKernel, named("streams", "u64")),
        (TwoStreamsOneName, "streams is \"exp_avg\", but another of streams has that name".to_owned()),
        (ScalarHasAStreamsName, "scalars is \"rate\", but another of streams has that name".to_owned()),
        (
            StreamUnused,
            "streams.anchor is never used, but `apply` or `measure` must use it, or it need not be kept".to_owned(),
        ),
        (
            StreamUnchanged,
            "streams.exp_avg is never changed, but `apply` must change it, or it is `read_only`".to_owned(),
        ),
        (
            ReadOnlyChanged,
            "streams.anchor is changed, but `apply` gives a stream that is `read_only` back as it is".to_owned(),
        ),
        (StartIsNan, "streams.anchor.start is NaN, but must be a number".to_owned()),
        (AbsentUsed, "apply is with streams.spare, but an option of the rule leaves that stream out".to_owned()),
        (AbsentMeasured, "measure is with streams.spare, but an option of the rule leaves that stream out".to_owned()),
        (ParamUnchanged, "apply is the parameter as it was, but an update changes the parameter".to_owned()),
        (ValueName, named("apply.named", "new m")),
        (SumWithoutTerm, "sums.lean is nothing, but `measure` must add to it".to_owned()),
        (SumTwice, "measure is adding to `square` twice, but each sum takes one term of an element".to_owned()),
        (SumNotStated, "measure is adding to sums[2], but `sums` states no such place".to_owned()),
        (SumUnused, "sums.lean is never used, but `resolve` must use it".to_owned()),
        (
            MeasureUsesSum,
            "measure is with `of_group`, but `measure` comes before sums, and uses no scalar that follows from one or that is a tensor's".to_owned(),
        ),
        (
            TensorAndGroup,
            "scalars.of_tensor is of a tensor and of its group, but what follows from sums over a tensor and what follows from wider ones are scalars of their own".to_owned(),
        ),
        (RememberedUnchanged, "remember.kept is never changed, but `resolve` must remember it anew".to_owned()),
        (RememberedNotStated, "resolve is with remember[1], but `remember` states no such place".to_owned()),
        (
            RememberedOfCohortFromSum,
            "remember.kept is of a cohort, but what a cohort remembers follows from no sum and from nothing of a tensor".to_owned(),
        ),
        (
            RememberedOfTensorFromNothing,
            "remember.kept is of a tensor, but what a tensor remembers follows from sums over the tensor alone".to_owned(),
        ),
        (
            RememberedOfTensorFromItself,
            "remember.kept is of a tensor, but what a tensor remembers follows from sums over the tensor alone".to_owned(),
        ),
        (
            RememberedOfCohortFromLength,
            "remember.kept is of a cohort, but what a cohort remembers follows from no sum and from nothing of a tensor"
                .to_owned(),
        ),
        (
            KeyOfFiles,
            "hyperparameters is \"metric\", but files have that key for something else of a group".to_owned(),
        ),
        (
            RememberedOfGroupFromTensor,
            "remember.kept is of a group, but what a group remembers follows from sums over the group or over all, and from nothing of a cohort or a tensor".to_owned(),
        ),
        (RememberedInfinite, "remember.kept.start is -inf, but must be finite".to_owned()),
        (TooManySums, "sums is 9, but a rule has at most 8".to_owned()),
    ];
    let said: Vec<String> =
        expected.iter().map(|(fault, _)| format!("{fault:?}: {}", refusal(Faulty(*fault)))).collect();
    let expected: Vec<String> =
        expected.iter().map(|(fault, text)| format!("{fault:?}: groups[0].rule.{text}")).collect();
    for (said, expected) in said.iter().zip(&expected) {
        if said != expected {
            println!("said     {said}\nexpected {expected}");
        }
    }
    assert_eq!(said, expected);
}

#[test]
fn the_rule_that_nothing_is_wrong_with_is_taken() {
    let pair = crate::owned::Pair::small();
    let builder = instep::Optimizer::builder(&instep::Device::host());
    builder.group(Faulty(Nothing), &[pair.tensor()]).build().unwrap();
}

scalars! { PlainScalars { rate } }

/// A rule that follows from the parameter alone.
#[derive(Debug, Clone)]
struct Blind;

impl Rule for Blind {
    const NAME: &'static str = "blind";
    type Hyperparameters<T> = [T; 1];
    type Streams<T> = [T; 0];
    type Scalars<T> = PlainScalars<T>;

    fn hyperparameters(&self) -> [Hyperparameter; 1] {
        [Hyperparameter::new("lr", &0.1.into(), Range::NotNegative)]
    }

    fn streams(&self) -> [Stream; 0] {
        []
    }

    fn resolve<W: Scalar>(&self, [lr]: [W; 1], _: &mut Step<'_, W>) -> PlainScalars<W::Element> {
        PlainScalars { rate: lr.round() }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &PlainScalars<E>, p: E, _: E, _: [E; 0]) -> (E, [E; 0]) {
        (p - s.rate * p, [])
    }
}

#[test]
fn a_rule_that_uses_no_gradient_is_refused() {
    let expected = "groups[0].rule.apply is without the gradient, but an update follows from the gradient";
    assert_eq!(refusal(Blind), expected);
}

scalars! { CrowdedScalars { lr } }

/// More streams than loops have places for, though an option leaves most of them out.
#[derive(Debug, Clone)]
struct Crowded;

impl Rule for Crowded {
    const NAME: &'static str = "crowded";
    type Hyperparameters<T> = [T; 1];
    type Streams<T> = [T; 7];
    type Scalars<T> = CrowdedScalars<T>;

    fn hyperparameters(&self) -> [Hyperparameter; 1] {
        [Hyperparameter::new("lr", &0.1.into(), Range::NotNegative)]
    }
    fn streams(&self) -> [Stream; 7] {
        ["a", "b", "c", "d", "e", "f", "h"].map(|name| Stream::new(name).only_if(name == "h"))
    }
    fn resolve<W: Scalar>(&self, [lr]: [W; 1], _: &mut Step<'_, W>) -> CrowdedScalars<W::Element> {
        CrowdedScalars { lr: lr.round() }
    }
    fn apply<E: Element>(&self, s: &CrowdedScalars<E>, p: E, g: E, mut all: [E; 7]) -> (E, [E; 7]) {
        all[6] = all[6] + g;
        ((-s.lr).fma(all[6], p), all)
    }
}

#[test]
fn streams_that_are_left_out_count_too() {
    assert_eq!(refusal(Crowded), "groups[0].rule.streams is 7, but a rule has at most 6");
}

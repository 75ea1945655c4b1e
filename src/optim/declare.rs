//! What a rule declares, said once: its struct, its setters, and what files say of it. `declare!` makes these of a list of
//! hyperparameters and options; `declared!`, inside `impl Rule`, the items that follow from it.

use super::known::Said;
use crate::error::Result;
use crate::rule::RuleOption;

/// The value of an option of a rule, in Rust and in files.
pub(super) trait Choice: Copy + PartialEq {
    /// What is said under `option`; None where nothing is.
    fn said(said: &Said<'_>, option: &str) -> Result<Option<Self>>;

    /// As files have it.
    fn written(self) -> RuleOption;
}

impl Choice for bool {
    fn said(said: &Said<'_>, option: &str) -> Result<Option<bool>> {
        said.optional_flag(option)
    }

    fn written(self) -> RuleOption {
        self.into()
    }
}

/// A [`Choice`] among words.
macro_rules! choice {
    ($choice:ident { $($word:literal => $value:ident),* $(,)? }) => {
        impl crate::optim::declare::Choice for $choice {
            fn said(said: &crate::optim::known::Said<'_>, option: &str) -> crate::Result<Option<$choice>> {
                said.word(option, &[$(($word, $choice::$value)),*])
            }

            fn written(self) -> crate::rule::RuleOption {
                match self {
                    $($choice::$value => $word.into(),)*
                }
            }
        }
    };
}

/// The rule's struct with its setters, from `Name = "name", number of hyperparameters { … }`, the learning rate counted but not listed:
/// each hyperparameter with its range and default; after `options`, each option with its type and default. `lr = 1.0` after the
/// number is for rules that find their rates themselves.
macro_rules! declare {
    (
        $(#[$of_rule:meta])*
        $rule:ident = $name:literal, $count:literal $(, lr = $lr:literal)? {
            $($(#[$of_hyperparameter:meta])* $hyperparameter:ident: $range:ident = $default:expr,)*
        }
        $(options {
            $($(#[$of_option:meta])* $option:ident: $choice:ty = $chosen:expr,)*
        })?
    ) => {
        $(#[$of_rule])*
        #[derive(Debug, Clone)]
        #[must_use = "give it to `OptimizerBuilder::group`"]
        pub struct $rule {
            lr: crate::schedule::Schedule,
            $($hyperparameter: crate::schedule::Schedule,)*
            $($($option: $choice,)*)?
            direction: crate::optim::options::Direction,
            metric: Option<crate::schedule::Metric>,
        }

        impl $rule {
            const DECLARED: &'static str = $name;

            /// The rule with learning rate `lr`, not negative, and the defaults of all else.
            pub fn new(lr: impl crate::schedule::IntoSchedule) -> $rule {
                $rule {
                    lr: lr.into(),
                    $($hyperparameter: crate::schedule::Schedule::constant($default),)*
                    $($($option: $chosen,)*)?
                    direction: crate::optim::options::Direction::Minimize,
                    metric: None,
                }
            }

            $(
                $(#[$of_hyperparameter])*
                pub fn $hyperparameter(mut self, $hyperparameter: impl crate::schedule::IntoSchedule) -> $rule {
                    self.$hyperparameter = $hyperparameter.into();
                    self
                }
            )*

            $($(
                $(#[$of_option])*
                pub fn $option(mut self, $option: $choice) -> $rule {
                    self.$option = $option;
                    self
                }
            )*)?

            /// Maximizes the objective: the gradient is negated before anything else.
            pub fn maximize(mut self) -> $rule {
                self.direction = crate::optim::options::Direction::Maximize;
                self
            }

            /// Multiplies the learning rate of this group alone by a factor that follows observed metrics, a
            /// [`Plateau`](crate::Plateau) or a [`Greedy`](crate::Greedy): see [`Optimizer::observe`](crate::Optimizer::observe).
            pub fn metric(mut self, metric: impl Into<crate::schedule::Metric>) -> $rule {
                self.metric = Some(metric.into());
                self
            }

            fn declared_hyperparameters(&self) -> [crate::rule::Hyperparameter; $count] {
                use crate::rule::{Hyperparameter, Range};
                let lr = Hyperparameter::new("lr", &self.lr, Range::NotNegative);
                $(let lr = lr.default($lr);)?
                [
                    lr,
                    $(Hyperparameter::new(stringify!($hyperparameter), &self.$hyperparameter, Range::$range).default($default),)*
                ]
            }

            /// The options that are not the defaults.
            fn declared_options(&self) -> crate::rule::Named {
                let mut options: Vec<(&'static str, crate::rule::RuleOption)> = Vec::new();
                $($(
                    if self.$option != $chosen {
                        options.push((stringify!($option), crate::optim::declare::Choice::written(self.$option)));
                    }
                )*)?
                options.extend(self.direction.named());
                crate::rule::Named { options, without: Vec::new() }
            }
        }

        $(
            impl Default for $rule {
                /// The rule as it finds its rate, times
                #[doc = concat!(stringify!($lr), ".")]
                fn default() -> $rule {
                    $rule::new($lr)
                }
            }
        )?

        impl crate::optim::known::Known for $rule {
            const OPTIONS: &'static [&'static str] = &[$($(stringify!($option),)*)? "maximize"];

            fn with_options(said: &crate::optim::known::Said<'_>) -> crate::Result<$rule> {
                Ok($rule {
                    $($(
                        $option: crate::optim::declare::Choice::said(said, stringify!($option))?.unwrap_or($chosen),
                    )*)?
                    direction: said.direction()?,
                    ..$rule::new(0.0)
                })
            }

            fn schedules(&mut self) -> [&mut crate::schedule::Schedule; $count] {
                [&mut self.lr, $(&mut self.$hyperparameter),*]
            }
        }
    };
}

/// The items of `impl Rule` that follow from what is declared.
macro_rules! declared {
    ($count:literal) => {
        const NAME: &'static str = Self::DECLARED;
        type Hyperparameters<T> = [T; $count];

        fn hyperparameters(&self) -> [crate::rule::Hyperparameter; $count] {
            self.declared_hyperparameters()
        }

        fn metric(&self) -> Option<crate::schedule::Metric> {
            self.metric
        }

        fn named(&self) -> Option<crate::rule::Named> {
            Some(self.declared_options())
        }
    };
}

pub(super) use {choice, declare, declared};

//! What works on the parameter that another rule has made, in the same update: an average, Lookahead, bounds.

mod clamp;
mod ema;
mod lookahead;

pub use clamp::Clamp;
pub use ema::Ema;
pub use lookahead::Lookahead;

/// The struct of a rule that comes after another, from `Name = "name", number of hyperparameters { … }`: each hyperparameter with its
/// name among those of the group, its range and default, all arguments of `new`; after `options`, flags that are off by default.
macro_rules! declare_after {
    (
        $(#[$of_rule:meta])*
        $rule:ident = $name:literal, $count:literal {
            $($argument:ident ($hyperparameter:literal): $range:ident $(= $default:literal)?,)*
        }
        $(options {
            $($(#[$of_option:meta])* $option:ident,)*
        })?
    ) => {
        $(#[$of_rule])*
        #[derive(Debug, Clone)]
        #[must_use = "give it to `GroupRule::then`"]
        pub struct $rule {
            $($argument: crate::schedule::Schedule,)*
            $($($option: bool,)*)?
        }

        impl $rule {
            /// With these values, each a number or a [`Schedule`](crate::Schedule).
            pub fn new($($argument: impl crate::schedule::IntoSchedule),*) -> $rule {
                $rule { $($argument: $argument.into(),)* $($($option: false,)*)? }
            }

            $($(
                $(#[$of_option])*
                pub fn $option(mut self) -> $rule {
                    self.$option = true;
                    self
                }
            )*)?

            fn declared_hyperparameters(&self) -> [crate::rule::Hyperparameter; $count] {
                use crate::rule::{Hyperparameter, Range};
                [$(Hyperparameter::new($hyperparameter, &self.$argument, Range::$range)$(.default($default))?),*]
            }

            fn declared_options(&self) -> crate::rule::Named {
                #[allow(unused_mut)]
                let mut options: Vec<(&'static str, crate::rule::RuleOption)> = Vec::new();
                $($(
                    if self.$option {
                        options.push((stringify!($option), true.into()));
                    }
                )*)?
                crate::rule::Named { options, without: Vec::new() }
            }
        }

        impl crate::optim::known::Known for $rule {
            const OPTIONS: &'static [&'static str] = &[$($(stringify!($option),)*)?];

            fn with_options(said: &crate::optim::known::Said<'_>) -> crate::Result<$rule> {
                let _ = said;
                Ok($rule {
                    $($argument: crate::schedule::Schedule::constant(crate::optim::after::or_zero!($($default)?)),)*
                    $($($option: said.flag(stringify!($option))?,)*)?
                })
            }

            fn schedules(&mut self) -> [&mut crate::schedule::Schedule; $count] {
                [$(&mut self.$argument),*]
            }
        }
    };
}

/// The items of `impl Rule` that follow from what is declared.
macro_rules! declared_after {
    ($name:literal, $count:literal) => {
        const NAME: &'static str = $name;
        type Hyperparameters<T> = [T; $count];

        fn hyperparameters(&self) -> [crate::rule::Hyperparameter; $count] {
            self.declared_hyperparameters()
        }

        fn named(&self) -> Option<crate::rule::Named> {
            Some(self.declared_options())
        }
    };
}

/// A default, or 0 where a value must be given.
macro_rules! or_zero {
    () => {
        0.0
    };
    ($default:literal) => {
        $default
    };
}

pub(super) use {declare_after, declared_after, or_zero};

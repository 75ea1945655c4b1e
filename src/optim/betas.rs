//! Both decay rates at once, for rules of the Adam family: torch's `betas=(beta1, beta2)`.

use super::*;
use crate::schedule::IntoSchedule;

macro_rules! betas {
    ($($rule:ident $(<$form:ident: $bound:ident>)?),*) => {$(
        impl$(<$form: $bound>)? $rule$(<$form>)? {
            /// Sets `beta1` and `beta2`, each a number or a schedule.
            pub fn betas(self, beta1: impl IntoSchedule, beta2: impl IntoSchedule) -> Self {
                self.beta1(beta1).beta2(beta2)
            }
        }
    )*};
}

macro_rules! three_betas {
    ($($rule:ident),*) => {$(
        impl $rule {
            /// Sets `beta1`, `beta2` and `beta3`, each a number or a schedule.
            pub fn betas(self, beta1: impl IntoSchedule, beta2: impl IntoSchedule, beta3: impl IntoSchedule) -> Self {
                self.beta1(beta1).beta2(beta2).beta3(beta3)
            }
        }
    )*};
}

betas!(
    AdaBelief, Adamax, AdamRule<D: DecayForm>, Adopt, DAdaptAdam, Lamb, LaProp, Lion, Mars, NAdam, NovoGrad, Prodigy, RAdam, ScheduleFreeAdamW,
    ScheduleFreeRAdam, StableAdamW, Yogi
);
three_betas!(Adan, AdEMAMix);

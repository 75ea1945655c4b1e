//! Lists of a length that a rule fixes: arrays, and structs of scalars with names.

/// An array `[T; N]`, whatever its length.
pub trait Array<T>: sealed::Sealed<T> {}

impl<T, A: sealed::Sealed<T>> Array<T> for A {}

pub(crate) mod sealed {
    pub trait Sealed<T>: Sized {
        const LEN: usize;
        fn from_fn(f: impl FnMut(usize) -> T) -> Self;
        fn as_slice(&self) -> &[T];
        fn into_vec(self) -> Vec<T>;
    }

    impl<T, const N: usize> Sealed<T> for [T; N] {
        const LEN: usize = N;

        #[inline(always)]
        fn from_fn(f: impl FnMut(usize) -> T) -> Self {
            std::array::from_fn(f)
        }
        #[inline(always)]
        fn as_slice(&self) -> &[T] {
            self
        }
        fn into_vec(self) -> Vec<T> {
            self.into()
        }
    }
}

/// A struct of scalars, all of one type, whose fields have names: [`scalars!`](crate::scalars) makes it.
pub trait Scalars<E> {
    /// The names of the fields, in their order.
    const NAMES: &'static [&'static str];
    /// Each field from its place.
    fn from_fn(f: impl FnMut(usize) -> E) -> Self;
    /// Visits the fields in their order.
    fn each(self, f: impl FnMut(E));
}

/// Makes a struct of the scalars that a rule's elements go by, one for every step: see [`Rule`](crate::rule::Rule).
///
/// ```
/// instep::scalars! {
///     /// What a step of mine needs.
///     pub MyScalars { lr, decay }
/// }
/// let scalars = MyScalars { lr: 0.5f32, decay: 0.25 };
/// assert_eq!(scalars.lr * scalars.decay, 0.125);
/// ```
#[macro_export]
macro_rules! scalars {
    ($(#[$attribute:meta])* $visibility:vis $name:ident { $($field:ident),* $(,)? }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy)]
        $visibility struct $name<E> {
            $(#[doc = concat!("`", stringify!($field), "`.")] $visibility $field: E,)*
        }

        impl<E> $crate::rule::Scalars<E> for $name<E> {
            const NAMES: &'static [&'static str] = &[$(stringify!($field)),*];

            #[inline(always)]
            #[allow(unused_assignments, unused_mut, unused_variables)]
            fn from_fn(mut f: impl FnMut(usize) -> E) -> Self {
                let mut place = 0;
                $(let $field = f(place); place += 1;)*
                $name { $($field),* }
            }
            #[allow(unused_mut, unused_variables)]
            fn each(self, mut f: impl FnMut(E)) {
                $(f(self.$field);)*
            }
        }
    };
}

pub(crate) use scalars;

//! A table of C functions out of a dynamic library: one macro, used for the driver and for NVRTC.

/// Declares a struct of function pointers with `bind`, which fails with the missing symbol's name, and one method per
/// function, which passes the function's name and result code through `$check`.
macro_rules! functions {
    (
        $(#[$doc:meta])*
        $table:ident, $check:path => $result:ty;
        $($name:ident($($arg:ident: $type:ty),*);)*
    ) => {
        $(#[$doc])*
        #[allow(non_snake_case)]
        pub(super) struct $table {
            $($name: unsafe extern "C" fn($($type),*) -> u32,)*
        }

        #[allow(non_snake_case, clippy::too_many_arguments, clippy::missing_safety_doc)]
        impl $table {
            /// Looks every function up; the error is the name of the first one that is missing.
            fn bind(library: &libloading::Library) -> std::result::Result<Self, &'static str> {
                // SAFETY: the symbol has the signature that its name has in the C header, and the callers keep the
                // library loaded for as long as the process lives.
                Ok(Self { $($name: *unsafe { library.get(stringify!($name)) }.map_err(|_| stringify!($name))?,)* })
            }

            $(
                #[inline]
                pub(super) unsafe fn $name(&self, $($arg: $type),*) -> $result {
                    // SAFETY: the caller meets the C function's contract.
                    $check(stringify!($name), unsafe { (self.$name)($($arg),*) })
                }
            )*
        }
    };
}
pub(super) use functions;

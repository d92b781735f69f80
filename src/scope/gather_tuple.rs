//! Tasks with unlike values, gathered into a tuple.

use crate::error::Result;
use crate::scope::gather::Together;
use crate::scope::task_handle::TaskHandle;
use crate::task::raw::TaskRef;

/// Awaits several tasks at once, for a tuple of all their values.
///
/// As [`gather`](fn@crate::gather), for up to twelve tasks with unlike values.
///
/// # Examples
///
/// ```
/// use filch::{gather, spawn};
///
/// # filch::sim::run(0, async {
/// let name = spawn(async { Ok("six") });
/// let number = spawn(async { Ok(6) });
/// assert_eq!(gather!(name, number).await?, ("six", 6));
/// # Ok(())
/// # }).unwrap();
/// ```
#[macro_export]
#[doc(alias("asyncio.gather", "join", "try_join"))]
macro_rules! gather {
    ($($task:expr),* $(,)?) => {
        $crate::gather_together(($($task,)*))
    };
}

macro_rules! tuples {
    ($($name:ident)*) => {
        impl<$($name: TaskHandle),*> Together for ($($name,)*) {
            type Values = ($($name::Value,)*);
            type Results = ($(Result<$name::Value>,)*);

            fn tasks(&self) -> Vec<TaskRef> {
                #[allow(non_snake_case)]
                let ($($name,)*) = self;
                vec![$($name.task().clone()),*]
            }

            fn values(self) -> Result<Self::Values> {
                #[allow(non_snake_case)]
                let ($($name,)*) = self;
                Ok(($($name.outcome()?,)*))
            }

            #[allow(clippy::unused_unit)]
            fn results(self) -> Self::Results {
                #[allow(non_snake_case)]
                let ($($name,)*) = self;
                ($($name.outcome(),)*)
            }
        }
    };
}

tuples!();
tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);
tuples!(A B C D E F G);
tuples!(A B C D E F G H);
tuples!(A B C D E F G H I);
tuples!(A B C D E F G H I J);
tuples!(A B C D E F G H I J K);
tuples!(A B C D E F G H I J K L);

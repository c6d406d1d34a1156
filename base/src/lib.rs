//! What every shell shares: the [`clock`], the [`driver`] that runs any machine, the [`control`]
//! socket that operators talk to, and [`logging`].

pub mod clock;
pub mod control;
pub mod driver;
pub mod logging;

pub use clock::Clock;

//! What operators, the speaker and Prometheus see: the admin listener ([`http`]) and the control
//! socket ([`control`]).

pub(crate) mod control;
pub(crate) mod http;
mod tables;
mod vips;

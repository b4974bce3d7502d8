//! The filters in `config/filter.d`: their samples, what the review says of them, hostile text in their lines, and the
//! annotated samples of the installed Fail2Ban package.

mod annotated;
#[expect(clippy::disallowed_methods, reason = "reads the repository")]
mod configured;
mod forging;
mod hostile;
mod jails;
mod said;
#[expect(clippy::disallowed_methods, reason = "reads the repository")]
mod samples;

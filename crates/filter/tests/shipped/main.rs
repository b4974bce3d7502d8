//! The filters in `config/filter.d`: their samples, what the review says of them, hostile text in their lines, and the
//! annotated samples of the installed Fail2Ban package.

mod annotated;
mod configured;
mod hostile;
mod jails;
mod said;
mod samples;

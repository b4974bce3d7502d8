//! The review of rules: faults that it finds in rules made for it, and what it says about the stock and built-in ones.

mod configured;
mod made;
mod stock;

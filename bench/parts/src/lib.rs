//! What the measurements have in common: logs made up from the formats of the services, and the filters of a jail.

pub mod corpus;
pub mod filters;

//! The registry as people see it: pages of HTML, made of values, without a line of JavaScript.
//!
//! In reading order: `frame` is around every page; `search`, `artifact`, `history`, `status`, `login` and `problem` are
//! the pages. The sections of an artifact are files of their own: `rating`, `lineage` with its `drawing`, `cost`. `text`
//! is how times, sizes and links are written; `asset` is what pages load.
//!
//! Names, URLs, licences and descriptions were written by strangers. `maud` escapes every value, and only what
//! [`text::link`] takes for an address of the web becomes one.

mod asset;
mod drawing;
mod frame;
mod rating;

pub(crate) mod artifact;
pub(crate) mod cost;
pub(crate) mod history;
pub(crate) mod lineage;
pub(crate) mod login;
pub(crate) mod problem;
pub(crate) mod search;
pub(crate) mod status;
pub(crate) mod text;

pub(crate) use asset::assets;
pub(crate) use frame::{Frame, Tab};

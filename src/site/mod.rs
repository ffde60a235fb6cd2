//! The public site on `[web] listen`: pages of owners of listed hosts and of users of the lists,
//! and the same values as JSON.
//!
//! A page is a GET whose handler calls one operation of [`crate::http`] and passes the value to a
//! template. [`PageContext`] is an argument of each handler; it holds the language and the form
//! (HTML or JSON) that the client prefers, and gives templates their texts, times and links. A
//! handler responds with [`PageContext::render`] (not indexed, not stored by caches) or
//! [`PageContext::render_indexed`]; with an `api` value beside the template by
//! [`PageContext::respond`].
//!
//! To add a page: a template in `templates` that extends `layout.html`, a struct with the field
//! `page: &PageContext` that derives `askama::Template`, a handler, its line in `routes.rs`, and
//! the texts in `src/texts`. Errors are [`crate::api::ProblemDetails`]; `frame.rs` turns them into
//! pages, adds the headers of all responses, and refuses requests that other sites forge.
//!
//! `operators.rs` has the pages for operators, which are on `[admin] listen` and not on this site.

mod about;
mod advice;
mod assets;
mod comparisons;
mod context;
mod dates;
mod errors;
mod example_comparisons;
mod example_lists;
mod example_lookups;
mod example_providers;
mod example_tickets;
#[doc(hidden)]
pub mod examples;
mod form_problem;
mod frame;
mod home;
mod input;
mod links;
mod lists;
mod lookup;
mod markup;
mod negotiation;
mod netblocks;
mod news;
mod operators;
mod privacy;
mod proofs;
mod providers;
mod quality;
mod reasons;
mod routes;
mod self_test;
mod settings;
mod state;
mod survey;
#[cfg(test)]
mod tests;
mod ticket;

pub use context::PageContext;
pub use markup::Markup;
pub use operators::admin_router;
pub use routes::router;
pub use settings::SiteSettings;
pub use state::Banner;

//! Recipes: the settings with which mail servers, filters and resolvers use a zone.
//!
//! Each recipe is a file of this folder, with placeholders for the zone and its codes. The public
//! site shows the recipes of a zone, docs/mail-servers.md those of an example, and tests run them
//! with the real programs.

mod recipe;

pub use recipe::{EXAMPLE_RECIPIENT, EXAMPLE_SENDER, Purpose, Recipe, RecipePart, ids, of};

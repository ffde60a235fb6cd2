//! The public site in a real browser.

mod driver;
mod faults;
mod pages;

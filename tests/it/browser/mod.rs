//! The public site in a real browser.

pub mod crawl;
mod driver;
mod faults;
mod lab;
mod pages;
mod pictures;
mod site;

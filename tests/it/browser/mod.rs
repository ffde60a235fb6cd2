//! The public site in a real browser.

pub mod crawl;
mod driver;
mod faults;
mod flows;
mod lab;
mod pages;
mod pictures;
mod rules;
mod site;
mod tree;

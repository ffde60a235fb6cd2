//! The public site in a real browser.

mod crawl;
mod driver;
mod faults;
mod lab;
mod pages;
mod pictures;
mod site;

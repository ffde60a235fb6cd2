//! The knowledge base, read from the files that are part of the binary.

use std::sync::LazyLock;

use super::{
    Guide, Product,
    files::{GUIDES, PRODUCTS},
    recognise::Recogniser,
    search::SearchIndex,
};

/// All products and guides.
#[derive(Debug)]
pub struct Library {
    products: Vec<Product>,
    guides: Vec<Guide>,
    recogniser: Recogniser,
    search: SearchIndex,
}

static LIBRARY: LazyLock<Library> = LazyLock::new(|| match Library::read(PRODUCTS, GUIDES) {
    Ok(library) => library,
    // The files are part of the binary, and a unit test reads them.
    Err(_) => Library::of(Vec::new(), Vec::new()),
});

impl Library {
    /// The knowledge base of this build. It is read when it is needed for the first time.
    pub fn get() -> &'static Library {
        &LIBRARY
    }

    /// Reads files, each with its id and text.
    ///
    /// # Errors
    ///
    /// Names the file and the place that is wrong.
    pub fn read(products: &[(&str, &str)], guides: &[(&str, &str)]) -> Result<Library, String> {
        let parse_product = |(id, text): &(&str, &str)| {
            let product: Product =
                toml::from_str(text).map_err(|e| format!("products/{id}.toml: {e}"))?;
            Ok(Product {
                id: (*id).into(),
                ..product
            })
        };
        let parse_guide = |(id, text): &(&str, &str)| {
            let guide: Guide =
                toml::from_str(text).map_err(|e| format!("guides/{id}.toml: {e}"))?;
            Ok(Guide {
                id: (*id).into(),
                ..guide
            })
        };
        let products = products.iter().map(parse_product);
        let guides = guides.iter().map(parse_guide);
        Ok(Library::of(
            products.collect::<Result<Vec<_>, String>>()?,
            guides.collect::<Result<Vec<_>, String>>()?,
        ))
    }

    fn of(mut products: Vec<Product>, guides: Vec<Guide>) -> Library {
        products.sort_by_key(|p| p.name.to_lowercase());
        Library {
            recogniser: Recogniser::new(&products),
            search: SearchIndex::new(&products, &guides),
            products,
            guides,
        }
    }

    /// All products, by name.
    pub fn products(&self) -> &[Product] {
        &self.products
    }

    /// A product by its id.
    pub fn product(&self, id: &str) -> Option<&Product> {
        self.products.iter().find(|p| p.id == id)
    }

    /// All guides, in the order in which they are read best.
    pub fn guides(&self) -> &[Guide] {
        &self.guides
    }

    /// A guide by its id.
    pub fn guide(&self, id: &str) -> Option<&Guide> {
        self.guides.iter().find(|g| g.id == id)
    }

    /// The English title of the page of a product or guide. No guide has the id of a product.
    pub fn page_title(&self, id: &str) -> Option<&str> {
        let product = self.product(id).map(|p| p.name.as_str());
        product.or_else(|| Some(self.guide(id)?.title.english()))
    }

    /// What recognises products.
    pub fn recogniser(&self) -> &Recogniser {
        &self.recogniser
    }

    /// The index of all texts.
    pub(super) fn search_index(&self) -> &SearchIndex {
        &self.search
    }
}

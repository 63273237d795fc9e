//! An exposition: to be copied once, to where it is wanted.

use std::ops::Range;
use std::sync::Arc;

use crate::page::Page;
use crate::text::{self, Format};

/// Everything a scrape gets, as it was at one time. The registry writes its next page elsewhere while this one
/// is held: read it and let it go.
#[derive(Debug, Clone)]
pub struct Exposition {
    page: Arc<Vec<u8>>,
    /// Other headers than the page's, each before its lines; none where the page is wanted as it is.
    headed: Option<Vec<(Vec<u8>, Range<usize>)>>,
}

impl Exposition {
    pub(crate) fn new(page: &Page, bytes: Arc<Vec<u8>>, format: Format) -> Self {
        let headed = (format == Format::OpenMetrics).then(|| {
            let head = |(store, lines): (&Arc<crate::store::Store>, Range<usize>)| {
                let mut header = Vec::new();
                text::header(&store.definition, format, &mut header);
                (header, lines)
            };
            let end = (b"# EOF\n".to_vec(), 0..0);
            page.sections().map(head).chain([end]).collect()
        });
        Self {
            page: bytes,
            headed,
        }
    }

    /// All of it, if it lies in one piece: Prometheus' text format always does.
    pub fn whole(&self) -> Option<&[u8]> {
        self.headed.is_none().then_some(self.page.as_slice())
    }

    /// Its bytes, part after part.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let headed = self.headed.iter().flatten();
        let headed =
            headed.flat_map(|(header, lines)| [header.as_slice(), &self.page[lines.clone()]]);
        self.whole().into_iter().chain(headed)
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.parts().map(<[u8]>::len).sum()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

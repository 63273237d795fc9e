//! What one server offers: its four lists as it sent them, with the place of each name noted.

use std::hash::{BuildHasher as _, Hasher as _};
use std::ops::Range;
use std::sync::Arc;

use backstay_mcp::RawJson;
use backstay_mcp::list::List;
use backstay_mcp::modern::param::{self, Mirror};
use serde::Deserialize;
use serde_json::value::RawValue;

use tokio::time::Instant;

use crate::config::ToolFilter;
use crate::event::Counts;

/// Every list.
pub(crate) const LISTS: [List; 4] = [
    List::Tools,
    List::Resources,
    List::ResourceTemplates,
    List::Prompts,
];

/// The list that a request of this method wants.
pub(crate) fn list_of(method: &str) -> Option<List> {
    LISTS.into_iter().find(|list| list.method() == method)
}

/// The notification that announces a list's change.
pub(crate) fn changed(list: List) -> &'static str {
    match list {
        List::Tools => "notifications/tools/list_changed",
        List::Prompts => "notifications/prompts/list_changed",
        List::Resources | List::ResourceTemplates => "notifications/resources/list_changed",
    }
}

/// One entry of a list.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// Its name, URI or URI template.
    pub(crate) name: Arc<str>,
    pub(crate) json: RawJson,
    /// Where in `json` the name's value stands.
    pub(crate) place: Range<u32>,
    pub(crate) hints: Hints,
}

/// What a tool's annotations say of it. Another server's word: leaned on only where being wrong costs the server's
/// own users and nobody else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Hints {
    /// It changes nothing.
    #[serde(rename = "readOnlyHint")]
    pub(crate) read_only: bool,
    /// Called twice with the same arguments it does no more than once.
    #[serde(rename = "idempotentHint")]
    pub(crate) idempotent: bool,
}

impl Hints {
    /// For what reads by its nature.
    pub(crate) const READS: Self = Self {
        read_only: true,
        idempotent: true,
    };

    /// Whether twice is as good as once.
    pub(crate) fn may_repeat(self) -> bool {
        self.read_only || self.idempotent
    }
}

impl Item {
    /// Reads an entry; none where it has no name.
    pub(crate) fn read(list: List, json: RawJson) -> Option<Self> {
        #[derive(Deserialize)]
        struct Named<'a> {
            #[serde(borrow)]
            name: &'a RawValue,
            #[serde(borrow, default)]
            annotations: Option<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Located<'a> {
            #[serde(borrow)]
            uri: &'a RawValue,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Template<'a> {
            #[serde(borrow)]
            uri_template: &'a RawValue,
        }
        let text = json.as_str();
        let mut hints = Hints::default();
        let raw = match list {
            List::Tools | List::Prompts => {
                let named: Named<'_> = serde_json::from_str(text).ok()?;
                // A tool whose annotations cannot be read has said nothing.
                let read = named
                    .annotations
                    .map(|raw| serde_json::from_str(raw.get()).unwrap_or_default());
                hints = read.unwrap_or_default();
                named.name.get()
            }
            List::Resources => serde_json::from_str::<Located<'_>>(text).ok()?.uri.get(),
            List::ResourceTemplates => serde_json::from_str::<Template<'_>>(text)
                .ok()?
                .uri_template
                .get(),
        };
        let name: String = serde_json::from_str(raw).ok()?;
        // Borrowed from `text`, so the difference of the addresses is the place.
        let start = u32::try_from(raw.as_ptr() as usize - text.as_ptr() as usize).ok()?;
        let place = start..start + u32::try_from(raw.len()).ok()?;
        Some(Self {
            name: name.into(),
            json,
            place,
            hints,
        })
    }

    /// The arguments that a tool wants mirrored in headers. A tool whose wish is against the rules has none: to leave
    /// it out is its clients' to decide.
    pub(crate) fn mirrors(&self) -> Box<[Mirror]> {
        if memchr::memmem::find(self.json.as_bytes(), param::ANNOTATION.as_bytes()).is_none() {
            return Box::default();
        }
        let schema = self.json.member("inputSchema");
        let mirrors = schema.and_then(|schema| param::mirrors(&schema).ok());
        mirrors.unwrap_or_default().into()
    }

    /// Appends the entry under another name.
    pub(crate) fn write_as(&self, name: &str, out: &mut Vec<u8>) {
        let bytes = self.json.as_bytes();
        let place = self.place.start as usize..self.place.end as usize;
        out.extend_from_slice(&bytes[..place.start]);
        out.extend_from_slice(RawJson::string(name).as_bytes());
        out.extend_from_slice(&bytes[place.end..]);
    }
}

/// All four lists of one server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    lists: [Vec<Item>; 4],
    /// When each list is to be looked at again; none where its server tells of changes.
    stale: [Option<Instant>; 4],
}

impl Catalog {
    /// Replaces one list. Entries without a name, and all but the first of a name, are left out.
    pub(crate) fn set(&mut self, list: List, entries: Vec<RawJson>) {
        let mut seen = std::collections::HashSet::with_capacity(entries.len());
        self.lists[list as usize] = entries
            .into_iter()
            .filter_map(|json| Item::read(list, json))
            .filter(|item| seen.insert(Arc::clone(&item.name)))
            .collect();
    }

    /// Notes from when on a list is not fresh any more.
    pub(crate) fn set_stale(&mut self, list: List, from: Option<Instant>) {
        self.stale[list as usize] = from;
    }

    /// Whether a list has been fresh for as long as its server said, and is not any more.
    pub(crate) fn is_stale(&self, list: List, now: Instant) -> bool {
        self.stale[list as usize].is_some_and(|from| from <= now)
    }

    /// Whether any list goes stale by itself.
    pub(crate) fn ages(&self) -> bool {
        self.stale.iter().any(Option::is_some)
    }

    /// One list, less the tools that are not offered.
    pub(crate) fn items<'a>(
        &'a self,
        list: List,
        filter: &'a ToolFilter,
    ) -> impl Iterator<Item = &'a Item> {
        self.lists[list as usize]
            .iter()
            .filter(move |item| list != List::Tools || filter.offers(&item.name))
    }

    pub(crate) fn counts(&self, filter: &ToolFilter) -> Counts {
        Counts {
            tools: self.items(List::Tools, filter).count(),
            resources: self.lists[List::Resources as usize].len()
                + self.lists[List::ResourceTemplates as usize].len(),
            prompts: self.lists[List::Prompts as usize].len(),
        }
    }
}

/// Hashes entries and their names as shown, so that a list that did not change is not announced.
#[derive(Debug)]
pub(crate) struct Fingerprint(ahash::AHasher);

impl Default for Fingerprint {
    fn default() -> Self {
        // Fixed seeds: two views of one process are compared.
        Self(ahash::RandomState::with_seeds(1, 2, 3, 4).build_hasher())
    }
}

impl Fingerprint {
    pub(crate) fn add(&mut self, shown: &str, item: &Item) {
        self.0.write(shown.as_bytes());
        self.0.write(item.json.as_bytes());
    }

    pub(crate) fn finish(&self) -> u64 {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_replaced_and_nothing_else_is_touched() {
        let text = r#"{ "title":"name", "x":{"name":"inner"}, "name" : "re\u0061d","inputSchema":{"n":1.0}}"#;
        let item = Item::read(List::Tools, RawJson::parse(text).unwrap()).unwrap();
        assert_eq!(&*item.name, "read");
        let mut out = Vec::new();
        item.write_as("files__read", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            text.replace(r#""re\u0061d""#, r#""files__read""#)
        );
    }

    #[test]
    fn entries_without_a_name_or_with_a_second_one_are_left_out() {
        let mut catalog = Catalog::default();
        let entries = [
            "{}",
            r#"{"name":1}"#,
            r#"{"name":"a","name":"b"}"#,
            r#"{"name":"a"}"#,
            r#"{"name":"a","x":1}"#,
        ];
        catalog.set(
            List::Tools,
            entries.map(|text| RawJson::parse(text).unwrap()).into(),
        );
        let filter = ToolFilter::default();
        let names: Vec<_> = catalog
            .items(List::Tools, &filter)
            .map(|item| item.json.as_str().to_owned())
            .collect();
        assert_eq!(names, [r#"{"name":"a"}"#]);
    }
}

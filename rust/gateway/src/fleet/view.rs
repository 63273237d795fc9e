//! What one path offers: `/mcp` all servers under names that are unique, `/mcp/<service>` one server
//! under its own. Routing is one look-up; a list is bytes that were prepared at its first request.
//!
//! A view never changes; when a server's lists do, there is a new one.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use backstay_mcp::RawJson;
use backstay_mcp::list::List;
use backstay_mcp::modern::param::Mirror;
use bytes::Bytes;

use super::catalog::{Catalog, Fingerprint, Hints, Item, LISTS};
use super::server::Server;
use super::template::Template;
use crate::config::ServerRoute;
use crate::event::Event;
use crate::metrics::{Golden, Metrics};
use crate::names;
use crate::suggest;
use crate::traffic::{NO_TOOL, Slot};

/// Where a name leads.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) server: Arc<Server>,
    /// What the server itself calls it.
    pub(crate) own: Arc<str>,
    /// Whether that differs from what the client said.
    pub(crate) renamed: bool,
    /// Arguments that the tool wants mirrored in headers; almost always none.
    pub(crate) mirrors: Box<[Mirror]>,
    /// The tool's number; [`NO_TOOL`] where it is none.
    pub(crate) slot: Slot,
    pub(crate) hints: Hints,
    /// The signals of the tool, from its first call on.
    golden: OnceLock<Golden>,
}

impl Destination {
    pub(crate) fn new(server: Arc<Server>, own: impl Into<Arc<str>>, renamed: bool) -> Arc<Self> {
        Arc::new(Self {
            server,
            own: own.into(),
            renamed,
            mirrors: Box::default(),
            slot: NO_TOOL,
            hints: Hints::default(),
            golden: OnceLock::new(),
        })
    }

    fn of_tool(server: &Arc<Server>, tool: &Item, renamed: bool) -> Arc<Self> {
        Arc::new(Self {
            server: Arc::clone(server),
            own: Arc::clone(&tool.name),
            renamed,
            slot: server.slot(&tool.name),
            hints: tool.hints,
            mirrors: tool.mirrors(),
            golden: OnceLock::new(),
        })
    }

    /// The signals of the tool of this name.
    pub(crate) fn golden(&self, metrics: &Metrics) -> &Golden {
        self.golden
            .get_or_init(|| metrics.golden(&self.server.service, &self.own))
    }
}

/// One server's part of a view.
pub(crate) struct Part {
    pub(crate) server: Arc<Server>,
    pub(crate) route: Arc<ServerRoute>,
    pub(crate) catalog: Arc<Catalog>,
}

/// Who wants a name: the first server, and another one if there is one.
type Claims = HashMap<(List, Arc<str>), (usize, Option<usize>), ahash::RandomState>;
type Names = HashMap<Arc<str>, Arc<Destination>, ahash::RandomState>;

#[derive(Debug, Default)]
struct Shown {
    /// Each entry, and the name it is shown under where that is not its own.
    entries: Vec<(Item, Option<Arc<str>>)>,
    fingerprint: u64,
    prepared: OnceLock<Bytes>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct View {
    tools: Names,
    prompts: Names,
    resources: Names,
    templates: Vec<(Template, Arc<Destination>)>,
    /// Whose URIs have this scheme: the only server, or none of several.
    schemes: HashMap<Box<str>, Option<Arc<Server>>, ahash::RandomState>,
    shown: [Shown; 4],
}

impl View {
    /// The view of one server: its own names.
    pub(crate) fn of_one(part: &Part) -> Self {
        Self::build(std::slice::from_ref(part), |_, _, item| {
            Arc::clone(&item.name)
        })
    }

    /// The view of all servers, and which names clashed.
    pub(crate) fn of_all(parts: &[Part]) -> (Self, Vec<Event>) {
        let mut wanted = Claims::default();
        let simple = |part: &Part, list: List, item: &Item| -> Arc<str> {
            match list {
                List::Tools | List::Prompts => {
                    names::qualified(part.route.prefix(), &item.name).into()
                }
                List::Resources | List::ResourceTemplates => Arc::clone(&item.name),
            }
        };
        for (index, part) in parts.iter().enumerate() {
            for list in LISTS {
                for item in part.catalog.items(list, &part.route.tools) {
                    let claim = wanted
                        .entry((list, simple(part, list, item)))
                        .or_insert((index, None));
                    if claim.0 != index {
                        claim.1 = Some(index);
                    }
                }
            }
        }
        let mut clashes = Vec::new();
        let view = Self::build(parts, |part, list, item| {
            let name = simple(part, list, item);
            let Some((first, Some(second))) = wanted.get(&(list, Arc::clone(&name))) else {
                return name;
            };
            let service = &part.route.service;
            let renamed = match list {
                List::Tools | List::Prompts => names::lengthened(service, &item.name, |name| {
                    wanted.contains_key(&(list, name.into()))
                }),
                List::Resources | List::ResourceTemplates => {
                    names::resource_uri(service, &item.name)
                }
            };
            clashes.push(Event::NameClash {
                what: match list {
                    List::Tools => "tool",
                    List::Prompts => "prompt",
                    List::Resources | List::ResourceTemplates => "resource",
                },
                name: name.to_string(),
                service: service.clone(),
                other: [first, second]
                    .map(|index| parts[*index].route.service.as_str())
                    .into_iter()
                    .find(|other| other != service)
                    .unwrap_or_default()
                    .to_owned(),
                renamed: renamed.clone(),
            });
            renamed.into()
        });
        (view, clashes)
    }

    fn build(parts: &[Part], mut shown_as: impl FnMut(&Part, List, &Item) -> Arc<str>) -> Self {
        let mut view = Self::default();
        for list in LISTS {
            let mut fingerprint = Fingerprint::default();
            let mut entries = Vec::new();
            for part in parts {
                for item in part.catalog.items(list, &part.route.tools) {
                    let name = shown_as(part, list, item);
                    let renamed = name != item.name;
                    fingerprint.add(&name, item);
                    let to = if list == List::Tools {
                        Destination::of_tool(&part.server, item, renamed)
                    } else {
                        Destination::new(Arc::clone(&part.server), Arc::clone(&item.name), renamed)
                    };
                    if let (List::Resources | List::ResourceTemplates, Some(scheme)) =
                        (list, scheme(&item.name))
                    {
                        let owner = view
                            .schemes
                            .entry(scheme.into())
                            .or_insert_with(|| Some(Arc::clone(&part.server)));
                        if owner
                            .as_ref()
                            .is_some_and(|owner| !Arc::ptr_eq(owner, &part.server))
                        {
                            *owner = None;
                        }
                    }
                    match list {
                        List::Tools => drop(view.tools.insert(Arc::clone(&name), to)),
                        List::Prompts => drop(view.prompts.insert(Arc::clone(&name), to)),
                        List::Resources => drop(view.resources.insert(Arc::clone(&name), to)),
                        List::ResourceTemplates => {
                            view.templates.push((Template::parse(&name), to));
                        }
                    }
                    entries.push((item.clone(), renamed.then_some(name)));
                }
            }
            view.shown[list as usize] = Shown {
                fingerprint: if entries.is_empty() {
                    0
                } else {
                    fingerprint.finish()
                },
                entries,
                prepared: OnceLock::new(),
            };
        }
        view
    }

    pub(crate) fn tool(&self, name: &str) -> Option<&Arc<Destination>> {
        self.tools.get(name)
    }

    pub(crate) fn prompt(&self, name: &str) -> Option<&Arc<Destination>> {
        self.prompts.get(name)
    }

    /// The server that lists this URI, or whose template gives it.
    pub(crate) fn resource(&self, uri: &str) -> Option<Arc<Destination>> {
        if let Some(found) = self.resources.get(uri) {
            return Some(Arc::clone(found));
        }
        let (_, found) = self
            .templates
            .iter()
            .filter(|(template, _)| template.matches(uri))
            .max_by_key(|(template, _)| template.weight())?;
        // A template that names its server gives URIs that do.
        let own = if found.renamed {
            names::parse_resource_uri(uri)?.1
        } else {
            uri.to_owned()
        };
        Some(Destination::new(
            Arc::clone(&found.server),
            own,
            found.renamed,
        ))
    }

    /// The server that lists exactly this URI.
    pub(crate) fn listed(&self, uri: &str) -> Option<&Arc<Destination>> {
        self.resources.get(uri)
    }

    /// The template of exactly this text, as completion refers to it.
    pub(crate) fn template(&self, text: &str) -> Option<Arc<Destination>> {
        let shown = &self.shown[List::ResourceTemplates as usize].entries;
        let index = shown
            .iter()
            .position(|(item, renamed)| renamed.as_ref().unwrap_or(&item.name).as_ref() == text)?;
        self.templates.get(index).map(|(_, to)| Arc::clone(to))
    }

    /// The only server whose URIs have this one's scheme.
    pub(crate) fn only_server_for(&self, uri: &str) -> Option<&Arc<Server>> {
        self.schemes.get(scheme(uri)?)?.as_ref()
    }

    pub(crate) fn nearest_tool(&self, name: &str) -> Option<&str> {
        suggest::nearest(name, self.tools.keys().map(|name| &**name))
    }

    pub(crate) fn nearest_prompt(&self, name: &str) -> Option<&str> {
        suggest::nearest(name, self.prompts.keys().map(|name| &**name))
    }

    pub(crate) fn count(&self, list: List) -> usize {
        self.shown[list as usize].entries.len()
    }

    /// Changes when what a client sees of the list does.
    pub(crate) fn fingerprint(&self, list: List) -> u64 {
        self.shown[list as usize].fingerprint
    }

    /// The whole result of a list request.
    pub(crate) fn result(&self, list: List) -> &Bytes {
        let shown = &self.shown[list as usize];
        shown.prepared.get_or_init(|| {
            let size: usize = shown
                .entries
                .iter()
                .map(|(item, _)| item.json.as_bytes().len() + 32)
                .sum();
            let mut out = Vec::with_capacity(size + 32);
            out.extend_from_slice(b"{\"");
            out.extend_from_slice(list.key().as_bytes());
            out.extend_from_slice(b"\":[");
            for (index, (item, renamed)) in shown.entries.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                match renamed {
                    Some(name) => item.write_as(name, &mut out),
                    None => out.extend_from_slice(item.json.as_bytes()),
                }
            }
            out.extend_from_slice(b"]}");
            out.into()
        })
    }
}

fn scheme(uri: &str) -> Option<&str> {
    let (scheme, _) = uri.split_once(':')?;
    (!scheme.is_empty() && !scheme.contains(['{', '/'])).then_some(scheme)
}

/// The answer to a list request, in pieces: the list itself is not copied.
pub(crate) fn list_answer(id: &RawJson, result: &Bytes) -> [Bytes; 3] {
    let mut head = Vec::with_capacity(48);
    head.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    head.extend_from_slice(id.as_bytes());
    head.extend_from_slice(b",\"result\":");
    [head.into(), result.clone(), Bytes::from_static(b"}")]
}

//! Whose a URI is, and why a name is unknown.

use std::sync::Arc;

use backstay_mcp::RpcError;

use crate::core::Core;
use crate::fault;
use crate::fleet::{Destination, Server};
use crate::names;
use crate::session::Scope;

impl Core {
    /// Whether nothing more is to be expected soon of what this scope shows.
    pub(crate) fn is_scope_settled(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Fleet => {
                self.servers().values().all(|server| server.is_settled())
                    && self.publisher.is_done()
            }
            Scope::Service(service) => self
                .server(service)
                .is_none_or(|server| server.is_settled()),
        }
    }

    /// A server that was never heard has no lists to show.
    pub(crate) fn check_service(&self, service: &Arc<str>) -> Result<(), RpcError> {
        let Some(server) = self.server(service) else {
            return Err(fault::unavailable(service, "stopped", None, None));
        };
        if server.catalog().is_some() {
            Ok(())
        } else {
            server.pick().map(drop)
        }
    }

    /// The server that a resource belongs to: who lists it, whose template gives it, whom it names, or the
    /// only one it can be.
    pub(crate) fn locate(&self, scope: &Scope, uri: &str) -> Result<Arc<Destination>, RpcError> {
        let to = |server: Arc<Server>, own: &str| Destination::new(server, own, own != uri);
        if let Scope::Service(service) = scope {
            let server = self
                .server(service)
                .ok_or_else(|| fault::unavailable(service, "stopped", None, None))?;
            return Ok(to(server, uri));
        }
        let view = self.fleet_view();
        if let Some(found) = view.resource(uri) {
            return Ok(found);
        }
        if let Some((service, own)) = names::parse_resource_uri(uri) {
            let server = self
                .server(service)
                .ok_or_else(|| fault::unknown_resource(uri, ": no such service"))?;
            return Ok(to(server, &own));
        }
        if let Some(server) = view.only_server_for(uri) {
            return Ok(to(Arc::clone(server), uri));
        }
        let servers = self.servers();
        let mut able = servers.values().filter(|server| {
            server
                .info()
                .is_some_and(|info| info.capabilities.resources())
        });
        match (able.next(), able.next()) {
            (Some(only), None) => Ok(to(Arc::clone(only), uri)),
            (None, _) => Err(fault::unknown_resource(uri, ": none has resources")),
            _ => Err(fault::unknown_resource(
                uri,
                "; it is in no list, so name its server: read it at /mcp/<service>, or as backstay://<service>/<escaped uri>",
            )),
        }
    }

    /// What a resource of this server is called on `/mcp`, where that is not its own URI.
    pub(crate) fn shown_uri(&self, server: &Arc<Server>, uri: &str) -> Option<String> {
        let named = names::resource_uri(&server.service, uri);
        let view = self.fleet_view();
        let own = view
            .listed(uri)
            .is_some_and(|to| Arc::ptr_eq(&to.server, server));
        (!own && view.listed(&named).is_some()).then_some(named)
    }

    /// A name can be unknown because its server has not been heard yet: then that is what to say.
    pub(crate) fn why_unknown(&self, scope: &Scope, name: &str) -> Option<RpcError> {
        match scope {
            Scope::Service(service) => self.check_service(service).err(),
            Scope::Fleet => {
                let (prefix, _) = name.split_once(names::SEPARATOR)?;
                let servers = self.servers();
                let server = servers
                    .values()
                    .find(|server| server.route().prefix() == prefix)?;
                if server.catalog().is_some() {
                    None
                } else {
                    server.pick().err()
                }
            }
        }
    }
}

//! Sessions over HTTP: opened by `initialize`, forgotten by servers, opened again.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::StatusCode;
use tokio::time::timeout;

use super::super::call::CallError;
use super::super::core::Core;
use super::super::handshake::shake;
use super::super::info::ServerInfo;
use super::{ACCEPT, EXPLANATION, HttpLink};
use crate::transport::http::{Headers, Response, SESSION, read_whole};

/// Whether a status, with what was said to it, means that the server does not know the session.
pub(super) fn forgotten(status: StatusCode, said: &[u8]) -> bool {
    // The word for it is 404. Servers built on the official examples say 400, and speak of the session.
    status == StatusCode::NOT_FOUND
        || status == StatusCode::BAD_REQUEST
            && String::from_utf8_lossy(said)
                .to_lowercase()
                .contains("session")
}

impl HttpLink {
    /// Keeps the session's id that the answer to `initialize` gives.
    pub(super) fn open_session(&self, core: &Core, headers: &Headers) -> Result<(), CallError> {
        let session = match headers.get(&SESSION) {
            None if !headers.has(&SESSION) => None,
            Some(session) if session.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Some(session.to_owned())
            }
            _ => {
                let reason = "its session id has characters that are not visible ASCII".to_owned();
                return Err(CallError::NoAnswer {
                    instance: core.instance.clone(),
                    reason,
                });
            }
        };
        *self.opened.lock() = session.filter(|session| !session.is_empty());
        Ok(())
    }

    /// What the answer to `initialize` gave as the session's id.
    pub(in super::super) fn opened(&self) -> Option<String> {
        self.opened.lock().take()
    }

    /// Says `notifications/initialized` in a new session, and waits until that is accepted: what follows may overtake it.
    pub(in super::super) async fn greet(
        &self,
        core: &Core,
        info: &Arc<ServerInfo>,
        message: Vec<u8>,
    ) -> Result<(), CallError> {
        let response = timeout(ACCEPT, self.post(core, Some(info), message.into())).await;
        let response = response.map_err(|_| CallError::TimedOut {
            instance: core.instance.clone(),
            after: ACCEPT,
        })??;
        let Response {
            status,
            headers,
            body,
        } = response;
        let said = timeout(ACCEPT, read_whole(body, EXPLANATION)).await;
        if status.is_success() {
            return Ok(());
        }
        let said = said.ok().and_then(Result::ok).unwrap_or_default();
        Err(Self::refused(core, status, &headers, &said))
    }

    /// Greets a server that has forgotten the session; whoever comes second finds it done. Boxed, as greeting is a call.
    pub(super) fn renew(
        self: Arc<Self>,
        core: Arc<Core>,
        stale: Arc<ServerInfo>,
    ) -> BoxFuture<'static, Result<(), CallError>> {
        Box::pin(async move {
            let _turn = self.renewing.lock().await;
            if core.info.read().session != stale.session {
                return Ok(());
            }
            shake(&core, &self.greeting.again())
                .await
                .map_err(|error| CallError::Unreachable {
                    instance: core.instance.clone(),
                    reason: format!("it had forgotten the session, and then: {error}"),
                    // A server that does not know the session has done nothing in it.
                    sent: false,
                })?;
            let info = Arc::clone(&core.info.read());
            core.inbound.renewed(&info);
            core.start_listening().await;
            Ok(())
        })
    }
}

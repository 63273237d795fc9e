//! A legacy client's call to a modern server that asks for something first: the client is asked on the call's
//! stream as its version knows it, and the call is made again with its answers.

use std::sync::Arc;
use std::time::Duration;

use backstay_mcp::modern::input::{self, INPUT_RESPONSES, InputRequired, REQUEST_STATE};
use backstay_mcp::modern::result::ResultKind;
use backstay_mcp::{
    CallError, Edit, Envelope, Limits, Outgoing, RawJson, Reply, Rewrite, RpcError, Upstream,
    jsonrpc,
};
use futures_util::future::join_all;

use crate::call::Call;
use crate::inbound;

/// A server that asks more often than this for one call is not asked again.
const MOST_ROUNDS: usize = 32;

/// Makes a call until its answer asks for nothing more.
pub(super) async fn ask(
    call: &Arc<Call>,
    upstream: &Upstream,
    request: &Envelope,
    first: backstay_mcp::Call<'_>,
) -> Result<Result<Reply, CallError>, RpcError> {
    let Outgoing::Forward { rewrite, .. } = first.message else {
        return Ok(upstream.call(first).await);
    };
    let (tag, timeout, sink) = (first.tag, first.timeout, first.sink);
    let mut answers: Option<(RawJson, Option<RawJson>)> = None;
    for _ in 0..MOST_ROUNDS {
        let params = match &answers {
            None => Vec::new(),
            Some((responses, state)) => {
                let mut edits = vec![Edit::Set(INPUT_RESPONSES, responses)];
                edits.extend(state.as_ref().map(|state| Edit::Set(REQUEST_STATE, state)));
                edits
            }
        };
        let rewrite = &Rewrite {
            params: &params,
            ..*rewrite
        };
        let outgoing = backstay_mcp::Call {
            message: Outgoing::Forward {
                envelope: request,
                rewrite,
            },
            tag,
            timeout,
            sink: sink.clone(),
            modern: Some(Box::new(call.for_modern_server(upstream))),
        };
        let reply = match upstream.call(outgoing).await {
            Ok(reply) => reply,
            Err(error) => return Ok(Err(error)),
        };
        let asks =
            |result: &RawJson| ResultKind::of(result.as_bytes()) == ResultKind::InputRequired;
        let Some(result) = reply.envelope().result().filter(asks) else {
            return Ok(Ok(reply));
        };
        answers = Some(answered(call, &result).await?);
    }
    Err(RpcError::new(
        jsonrpc::INTERNAL_ERROR,
        format!("the server asked for input {MOST_ROUNDS} times without an end"),
    ))
}

/// Asks the client for everything that a result asks for, at once. Returns its answers and the server's state.
async fn answered(
    call: &Arc<Call>,
    result: &RawJson,
) -> Result<(RawJson, Option<RawJson>), RpcError> {
    let asked = InputRequired::read(result)
        .map_err(|fault| RpcError::new(jsonrpc::INTERNAL_ERROR, fault.to_string()))?;
    if asked.requests.is_empty() {
        // It only wants to be asked again; a moment later, so that it is not asked without a pause.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let requests: Vec<Envelope> = asked
        .requests
        .iter()
        .filter_map(|asked| {
            // Its id becomes the question's.
            let message =
                jsonrpc::request(&RawJson::number(0), &asked.method, asked.params.as_ref());
            Envelope::parse(message, Limits::default()).ok()
        })
        .collect();
    let answers = join_all(requests.iter().map(|it| inbound::ask_for(call, it))).await;
    let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
    let keys = asked.requests.iter().map(|asked| asked.key.as_str());
    Ok((input::write_responses(keys.zip(&answers)), asked.state))
}

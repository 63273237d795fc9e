//! What passing a message on costs, beside what parsing and rebuilding it would.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::sync::Arc;
use std::time::Duration;

use backstay_mcp::{
    Call, CallTag, CloseReason, Envelope, Inbound, Limits, Outgoing, Pipes, RawJson, Rewrite,
    RpcError, Target, Upstream, UpstreamConfig,
};
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::{BoxFuture, join_all, ready};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::pipe::{PipeFlags, pipe_with};
use serde_json::Value;

/// A call of 200 bytes, and a list of tools of 10 KB.
fn messages() -> [(&'static str, Bytes); 2] {
    let text = "x".repeat(60);
    let call = format!(
        r#"{{"jsonrpc":"2.0","id":123,"method":"tools/call","params":{{"name":"files__echo","arguments":{{"text":"{text}"}},"_meta":{{"progressToken":5}}}}}}"#
    );
    let tool = r#"{"name":"tool","description":"some words about it, quite a few of them","inputSchema":{"type":"object","properties":{"a":{"type":"string"}}}}"#;
    let list = format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{}]}}}}"#,
        vec![tool; 75].join(",")
    );
    [("call", call.into()), ("tools", list.into())]
}

fn read(bench: &mut Criterion) {
    for (name, bytes) in messages() {
        let mut group = bench.benchmark_group(format!("mcp/read_{name}"));
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function("envelope", |bench| {
            bench.iter(|| Envelope::parse(black_box(bytes.clone()), Limits::default()));
        });
        group.bench_function("serde_json", |bench| {
            bench.iter(|| serde_json::from_slice::<Value>(black_box(&bytes)));
        });
        group.finish();
    }
}

fn rewrite(bench: &mut Criterion) {
    let [(_, call), _] = messages();
    let id = RawJson::number(77);
    let mut group = bench.benchmark_group("mcp/rewrite_call");
    group.bench_function("envelope", |bench| {
        let mut out = Vec::new();
        bench.iter(|| {
            out.clear();
            if let Ok(message) = Envelope::parse(call.clone(), Limits::default()) {
                message.rewrite_into(
                    &Rewrite {
                        id: Some(&id),
                        name: Some("echo"),
                        ..Rewrite::default()
                    },
                    &mut out,
                );
            }
            black_box(out.len())
        });
    });
    group.bench_function("serde_json", |bench| {
        bench.iter(|| {
            let mut message: Value = serde_json::from_slice(&call).unwrap_or_default();
            message["id"] = 77.into();
            message["params"]["name"] = "echo".into();
            black_box(message.to_string().len())
        });
    });
    group.finish();
}

/// Hears nothing.
struct Deaf;

impl Inbound for Deaf {
    fn notification(&self, _: Envelope, _: Option<CallTag>) {}

    fn request(
        &self,
        request: Envelope,
        _: Option<CallTag>,
    ) -> BoxFuture<'static, Result<RawJson, RpcError>> {
        Box::pin(ready(Err(RpcError::method_not_found(&request.method()))))
    }

    fn closed(&self, _: &CloseReason) {}
}

/// A server that answers every request with the same 200 bytes, as fast as it can.
fn serve(stdin: File, mut stdout: File) -> std::io::Result<()> {
    let hello = r#"{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"x","version":"1"}}"#;
    let text = format!(
        r#"{{"content":[{{"type":"text","text":"{}"}}]}}"#,
        "y".repeat(130)
    );
    let (mut stdin, mut out, mut line) = (
        BufReader::with_capacity(65_536, stdin),
        Vec::new(),
        String::new(),
    );
    while stdin.read_line(&mut line)? > 0 {
        if let Some(id) = line
            .split("\"id\":")
            .nth(1)
            .and_then(|rest| rest.split(',').next())
        {
            let result = if line.contains("initialize") {
                hello
            } else {
                &text
            };
            writeln!(
                out,
                "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}"
            )?;
        }
        line.clear();
        if stdin.buffer().is_empty() {
            stdout.write_all(&out)?;
            out.clear();
        }
    }
    Ok(())
}

/// Calls over the pipes of a server on the other core, forwarded as the gateway does it.
fn stdio(bench: &mut Criterion) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    else {
        return;
    };
    let connect = || -> std::io::Result<_> {
        let (theirs_in, stdin) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stdout, theirs_out) = pipe_with(PipeFlags::CLOEXEC)?;
        std::thread::spawn(move || serve(theirs_in.into(), theirs_out.into()));
        let pipes = Pipes {
            stdin,
            stdout,
            journal: memfd_create("journal", MemfdFlags::CLOEXEC)?,
        };
        let config = UpstreamConfig::new("bench", "bench.1", Target::Stdio(pipes));
        runtime
            .block_on(Upstream::connect(config, Arc::new(Deaf)))
            .map_err(std::io::Error::other)
    };
    let upstream = connect().expect("a server in this very process can be greeted");
    let [(_, bytes), _] = messages();
    let mut group = bench.benchmark_group("mcp/stdio_calls");
    for in_flight in [1, 32, 256, 10_000] {
        group.throughput(Throughput::Elements(in_flight));
        group.bench_with_input(
            BenchmarkId::from_parameter(in_flight),
            &in_flight,
            |bench, &in_flight| {
                bench.iter(|| {
                    runtime.block_on(join_all((0..in_flight).map(|session| {
                        let (upstream, bytes) = (&upstream, bytes.clone());
                        async move {
                            let envelope =
                                Envelope::parse(bytes, Limits::default()).expect("a message");
                            let message = Outgoing::Forward {
                                envelope: &envelope,
                                rewrite: &Rewrite {
                                    name: Some("echo"),
                                    ..Rewrite::default()
                                },
                            };
                            let tag = Some(CallTag {
                                session,
                                call: session,
                            });
                            let reply = upstream
                                .call(Call {
                                    message,
                                    tag,
                                    timeout: None,
                                    sink: None,
                                    modern: None,
                                })
                                .await
                                .expect("an answer");
                            black_box(reply.with_id(&RawJson::number(123)).len())
                        }
                    })))
                });
            },
        );
    }
    group.finish();
}

/// Enough for medians that hold, and little enough that all benches run in minutes.
fn quick() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(700))
        .sample_size(20)
}

criterion_group!(name = benches; config = quick(); targets = read, rewrite, stdio);
criterion_main!(benches);

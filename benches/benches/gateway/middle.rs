//! What stands between clients and server: nothing, a bare proxy, the gateway. Each on one thread.

use std::future::Future;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use backstay_benches::echo::{self, Echo};
use backstay_benches::proxy;
use backstay_gateway::{Event, Gateway, GatewayConfig, Routes};
use backstay_mcp::Pipes;
use backstay_telemetry::Registry;
use bytes::Bytes;

/// See the module.
pub struct Middle {
    pub name: &'static str,
    pub address: SocketAddr,
    pub path: &'static str,
    pub tool: &'static str,
    /// Where the kernel counts the processor time of its one thread.
    schedstat: Option<PathBuf>,
    /// The program, where it is one of its own; ended with this.
    process: Option<Child>,
}

impl Drop for Middle {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Runs a future for ever on a thread of its own. Returns where the thread's processor time is counted.
pub fn thread(name: &str, future: impl Future<Output = ()> + Send + 'static) -> PathBuf {
    let (told, id) = mpsc::channel();
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || {
            let _ = told.send(rustix::thread::gettid().as_raw_nonzero().get());
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(future);
        })
        .unwrap();
    format!("/proc/self/task/{}/schedstat", id.recv().unwrap()).into()
}

impl Middle {
    pub fn none(upstream: SocketAddr) -> Self {
        Self {
            name: "direct",
            address: upstream,
            path: "/mcp",
            tool: "echo",
            schedstat: None,
            process: None,
        }
    }

    /// A reverse proxy as hyper's own example has it, with a connection pool.
    pub fn proxy(upstream: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = thread("proxy", async move {
            proxy::serve(upstream, listener).await;
        });
        Self {
            name: "hyper proxy",
            address,
            path: "/mcp",
            tool: "echo",
            schedstat: Some(thread),
            process: None,
        }
    }

    /// nginx as a reverse proxy with a connection pool, one process, no logs; none where it is not installed.
    pub fn nginx(upstream: SocketAddr, dir: &Path) -> Option<Self> {
        // Bound only to find a port that is free; nginx binds it a moment later.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        std::fs::create_dir_all(dir).unwrap();
        let at = dir.display();
        let config = format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/errors;
             events {{ worker_connections 8192; }}
             http {{
                 access_log off; keepalive_requests 1000000000; tcp_nodelay on;
                 client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
                 uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
                 upstream server {{ server {upstream}; keepalive 1024; keepalive_requests 1000000000; }}
                 server {{
                     listen {address} backlog=1024;
                     location / {{
                         proxy_pass http://server; proxy_http_version 1.1; proxy_set_header Connection \"\";
                     }}
                 }}
             }}"
        );
        let file = dir.join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let process = Command::new("nginx")
            .args(["-p".as_ref(), dir, "-c".as_ref(), &*file])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let schedstat = format!("/proc/{}/schedstat", process.id());
        let nginx = Self {
            name: "nginx",
            address,
            path: "/mcp",
            tool: "echo",
            schedstat: Some(schedstat.into()),
            process: Some(process),
        };
        nginx.is_up().then_some(nginx)
    }

    /// Waits until a program listens; false where it does not come to that.
    #[expect(
        clippy::disallowed_methods,
        reason = "nginx has no way to say that it listens"
    )]
    fn is_up(&self) -> bool {
        for _ in 0..1000 {
            if std::net::TcpStream::connect(self.address).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    pub fn gateway_over_http(upstream: SocketAddr, dir: &Path) -> Self {
        let instance = format!(r#"{{"name":"s.1","url":"http://{upstream}/mcp"}}"#);
        Self::gateway("gateway, http", dir, "streamable-http", &instance)
    }

    pub fn gateway_over_stdio(dir: &Path) -> Self {
        Self::gateway("gateway, stdio", dir, "stdio", r#"{"name":"s.1"}"#)
    }

    fn gateway(name: &'static str, dir: &Path, transport: &'static str, instance: &str) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let routes = format!(
            r#"{{"servers":[{{"service":"s","transport":"{transport}","instances":[{instance}]}}]}}"#
        );
        let routes: Routes = serde_json::from_str(&routes).unwrap();
        let config = GatewayConfig {
            state_dir: dir.into(),
            settle_ms: 0,
            ..GatewayConfig::default()
        };
        let (ready, wait) = mpsc::channel();
        let thread = thread("gateway", async move {
            let sink = Arc::new(move |event| {
                if matches!(event, Event::ServerReady { .. }) {
                    let _ = ready.send(());
                }
            });
            let runtime = tokio::runtime::Handle::current();
            let gateway =
                Gateway::new(config, Registry::new(), sink, Arc::new(|_, _| ()), &runtime).unwrap();
            gateway.listen_tcp(OwnedFd::from(listener)).unwrap();
            gateway.set_routes(routes);
            if transport == "stdio" {
                gateway.attach("s.1", over_stdio(), Bytes::new());
            } else {
                gateway.connect("s.1");
            }
            std::future::pending::<()>().await;
        });
        wait.recv_timeout(Duration::from_secs(10)).unwrap();
        Self {
            name,
            address,
            path: "/mcp",
            tool: "s__echo",
            schedstat: Some(thread),
            process: None,
        }
    }

    /// Processor time that its thread has used so far.
    pub fn cpu(&self) -> Duration {
        let Some(schedstat) = &self.schedstat else {
            return Duration::ZERO;
        };
        let stat = std::fs::read_to_string(schedstat).unwrap();
        let nanos = stat
            .split_ascii_whitespace()
            .next()
            .and_then(|field| field.parse().ok());
        Duration::from_nanos(nanos.unwrap_or(0))
    }
}

/// The server over HTTP, on a thread of its own.
pub fn over_http() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread("server", echo::serve_http(Echo::new(1, None), listener));
    address
}

/// The server at the other end of pipes.
fn over_stdio() -> Pipes {
    let (stdin, to_server) = std::io::pipe().unwrap();
    let (from_server, stdout) = std::io::pipe().unwrap();
    let journal = rustix::fs::memfd_create("journal", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    std::thread::spawn(move || echo::serve_pipes(&Echo::new(1, None), stdin, stdout));
    Pipes {
        stdin: to_server.into(),
        stdout: from_server.into(),
        journal,
    }
}

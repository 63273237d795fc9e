//! A bare reverse proxy: `proxy ADDRESS`, which prints its own.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program of its own that ends where it cannot go on"
)]

fn main() {
    let upstream = std::env::args().nth(1).and_then(|word| word.parse().ok());
    let upstream = upstream.expect("proxy ADDRESS:PORT");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(backstay_benches::proxy::serve(upstream, listener));
}

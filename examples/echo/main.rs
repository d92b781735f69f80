//! A TCP echo server and a load of clients, on one runtime.
//!
//! ~~~text
//! cargo run --release --example echo
//! cargo run --release --example echo -- --connections 1000 --size 512 --seconds 3
//! cargo run --release --example echo -- --listen 127.0.0.1:7000
//! cargo run --release --example echo -- --connect 127.0.0.1:7000
//! ~~~
//! With `--connections` each process sees to it that it may open as many descriptors. Very many
//! connections at once take a while to be made: `--patience` is for them.
//! Every request runs under a timeout. At the end, and on Ctrl-C, everything is stopped by
//! cancellation: clients give up where they stand, the server cancels its connections and waits
//! for them. The summary must say: errors 0, tasks left 0.

mod limit;
mod load;
mod options;
mod server;
mod stop;
mod totals;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use filch::net::TcpListener;

use crate::load::Load;
use crate::options::{Options, Role};
use crate::stop::Stop;
use crate::totals::Totals;

fn main() -> ExitCode {
    let options = match Options::from_arguments(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(wrong) => return wrong.report(),
    };
    let result =
        limit::allow_descriptors(options.descriptors()).and_then(|()| match options.role {
            Role::Listen(address) => run(listen(address)),
            Role::Connect(address) => run(Load::new(address, &options).run(Stop::on_signal()?)),
            Role::Both => run(both(options)),
        });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the program. `filch::run` would take Ctrl-C for itself; here it is for `Stop`.
fn run(program: impl Future<Output = filch::Result<()>>) -> filch::Result<()> {
    filch::Runtime::new()?.block_on(program)
}

/// Serves until a signal comes.
async fn listen(address: SocketAddr) -> filch::Result<()> {
    let mut stop = Stop::on_signal()?;
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}; Ctrl-C stops", listener.local_addr()?);
    let totals = Arc::new(Totals::default());
    let server = filch::spawn(server::serve(listener, totals.clone()));
    while !server.is_finished() && !stop.within_a_second().await {
        println!("{}", totals.server_line());
    }
    server.cancel();
    let result = server.await;
    println!("stopped; tasks left {}", tasks_left());
    result.or_else(|error| if error.is_cancelled() { Ok(()) } else { Err(error) })
}

/// Serves, and sends the load to that server.
async fn both(options: Options) -> filch::Result<()> {
    let stop = Stop::on_signal()?;
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let load = Load::new(listener.local_addr()?, &options);
    let server = filch::spawn(server::serve(listener, Arc::new(Totals::default())));
    let result = load.run_beside(stop, server).await;
    result.and_then(|()| match tasks_left() {
        0 => Ok(()),
        left => Err(filch::Error::msg(format!("{left} tasks left"))),
    })
}

/// Tasks besides this one.
fn tasks_left() -> usize {
    let me = filch::current_task();
    filch::all_tasks().into_iter().filter(|task| Some(task) != me.as_ref()).count()
}

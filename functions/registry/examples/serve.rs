//! Serves the registry on a port of this machine, in memory and asking nobody about artifacts: for clients that try out
//! what it answers. Run with an address such as `127.0.0.1:9010`.

use std::error::Error;

use registry::access::settings::Settings;
use registry::access::token::Key;
use registry::http::router;
use registry::storage::{Chain, Storage};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("an address is missing")?;
    // The admin whom clients of the contract know.
    let access = Settings::public(Key::new(&[7; 32])?);
    let storage = Storage::new(Chain::default(), access);
    axum::serve(TcpListener::bind(address).await?, router(storage)).await?;
    Ok(())
}

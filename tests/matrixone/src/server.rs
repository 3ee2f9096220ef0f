//! The socket of a server, and the threads behind it.
//!
//! [`Running`] listens and serves every connection in a separate thread. Invariant: after the drop, none of its threads is running.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::session::serve;
use crate::state::State;

/// The number of the first connection. Real servers do not begin at 1 either.
const FIRST_CONNECTION: u32 = 1001;

/// A listening server.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) state: Arc<State>,
    pub(crate) address: SocketAddr,
    listener: Option<JoinHandle<()>>,
}

impl Running {
    /// Listens on a port of this machine; 0 lets the system choose.
    pub(crate) fn start(state: State, port: u16) -> io::Result<Self> {
        let socket = TcpListener::bind(("127.0.0.1", port))?;
        let address = socket.local_addr()?;
        let state = Arc::new(state);
        let served = Arc::clone(&state);
        let listener = std::thread::spawn(move || listen(&socket, &served));
        Ok(Self {
            state,
            address,
            listener: Some(listener),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.state.stopping.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees that it must stop.
        let _ = TcpStream::connect(self.address);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

/// Serves until the server stops, and waits for the open connections.
fn listen(socket: &TcpListener, state: &Arc<State>) {
    let threads: Mutex<Vec<JoinHandle<()>>> = Mutex::default();
    for (connection, client) in (FIRST_CONNECTION..).zip(socket.incoming()) {
        if state.is_stopping() {
            break;
        }
        let Ok(client) = client else {
            continue;
        };
        let state = Arc::clone(state);
        let mut threads = threads.lock().unwrap();
        threads.retain(|thread| !thread.is_finished());
        threads.push(std::thread::spawn(move || {
            // A client that violates the protocol is disconnected; the error is not needed.
            let _ = serve(&state, client, connection);
        }));
    }
    for thread in threads.into_inner().unwrap() {
        state.disconnect_all();
        let _ = thread.join();
    }
}

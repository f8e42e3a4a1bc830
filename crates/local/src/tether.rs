//! Ends a child process with the one that started it, however that one ended; never ends a parent.

use std::os::fd::AsFd as _;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

/// Returns when standard input, a pipe, ends; never if that is not watched or is no pipe.
pub(crate) async fn cut(tethered: bool) {
    if tethered
        && let Ok(input) = std::io::stdin().as_fd().try_clone_to_owned()
        && let Ok(mut input) = pipe::Receiver::from_owned_fd(input)
    {
        let mut ignored = [0; 64];
        while let Ok(1..) = input.read(&mut ignored).await {}
        return;
    }
    std::future::pending::<()>().await;
}

//! Which address of a host is connected to, and when: by a clock that stands still.

use std::io::{self, ErrorKind::ConnectionRefused};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::connect::first;

/// Answers after so many milliseconds; refuses; never answers.
#[derive(Clone, Copy)]
enum Does {
    Answer(u64),
    Refuse,
    Nothing,
}
use Does::{Answer, Nothing, Refuse};

/// Which of them was connected to, after how many milliseconds, and how many were tried at once.
async fn tried(addresses: &[Does]) -> (io::Result<usize>, u64, usize) {
    struct Open(Arc<AtomicUsize>);
    impl Drop for Open {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let (open, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let all: Vec<_> = (0..addresses.len()).map(|port| SocketAddr::from(([127, 0, 0, 1], port as u16))).collect();
    let since = Instant::now();
    let connected = first(&all, |address| {
        let number = usize::from(address.port());
        let (does, open, most) = (addresses[number], open.clone(), most.clone());
        async move {
            most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let _open = Open(open);
            match does {
                Answer(after) => sleep(Duration::from_millis(after)).await,
                Refuse => return Err(ConnectionRefused.into()),
                Nothing => std::future::pending().await,
            }
            Ok(number)
        }
    })
    .await;
    (connected, u64::try_from(since.elapsed().as_millis()).unwrap(), most.load(Ordering::SeqCst))
}

#[tokio::test(start_paused = true)]
async fn the_first_address_that_answers_is_taken() {
    for (addresses, number, within) in [
        (vec![Answer(10)], 0, 10..=15),
        (vec![Refuse, Answer(10)], 1, 10..=15),
        (vec![Answer(300), Refuse, Refuse, Refuse], 0, 300..=310),
        (vec![Answer(400), Answer(10)], 1, 260..=270),
        (vec![Nothing, Nothing, Nothing, Answer(200)], 3, 950..=970),
        (vec![Nothing, Nothing, Nothing, Answer(240), Nothing, Nothing, Nothing, Nothing], 3, 990..=1_010),
        (vec![Nothing, Nothing, Nothing, Nothing, Nothing, Nothing, Nothing, Answer(5)], 7, 1_750..=1_770),
    ] {
        let (connected, after, most) = tried(&addresses).await;
        assert_eq!(connected.unwrap(), number);
        assert!(within.contains(&after), "{number}: {after} ms");
        assert!(most <= 3, "{most} sockets at once");
    }
    let (refused, after, _) = tried(&[Refuse; 8]).await;
    assert_eq!((refused.unwrap_err().kind(), after), (ConnectionRefused, 0));
    assert!(tried(&[]).await.0.is_err());
}

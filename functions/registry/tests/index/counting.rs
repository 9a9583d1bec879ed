//! Calls of tokens and failed logins, over all instances.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use futures_util::future::join_all;
use registry::access::password::Password;
use registry::access::settings::{Admin, Secret, Settings};
use registry::access::token::{Key, Keys};
use registry::access::{Access, AccessError, Clock};
use registry::store::{MemoryObjects, Objects};
use testkit::{Fault, Postgres, Proxy};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::support::{self, BUCKET};

const NOW: OffsetDateTime = datetime!(2026-11-02 09:15 UTC);

/// What instances share besides the database: a store, a key and the time.
struct Place {
    objects: Objects,
    seconds: Arc<AtomicI64>,
}

impl Place {
    fn new() -> Self {
        Self {
            objects: Objects::Memory(MemoryObjects::default()),
            seconds: Arc::new(AtomicI64::new(NOW.unix_timestamp())),
        }
    }

    fn instance(&self, url: &str) -> Access {
        let secret = Secret::Password(Password::chosen("admin password").unwrap());
        let key = Key::new(&[7; 32]).unwrap();
        let settings = Settings {
            admin: Admin::new("admin".parse().unwrap(), vec![secret]),
            keys: Keys::new(key, vec![], "registry", "registry"),
        };
        let seconds = Arc::clone(&self.seconds);
        let clock = Clock::new(move || {
            OffsetDateTime::from_unix_timestamp(seconds.load(Ordering::SeqCst)).unwrap()
        });
        let index = Arc::new(support::index(url, BUCKET));
        Access::new(settings, self.objects.clone(), clock).counting_in(Some(index))
    }

    fn pass(&self, time: Duration) {
        self.seconds
            .fetch_add(time.whole_seconds(), Ordering::SeqCst);
    }
}

fn is_let_in<T>(answer: &Result<T, AccessError>) -> bool {
    assert!(matches!(answer, Ok(_) | Err(AccessError::Unauthenticated)));
    answer.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_for_a_thousand_calls_of_four_instances_and_not_for_one_more() {
    let postgres = Postgres::start().await;
    let place = Place::new();
    let instances: Vec<Arc<Access>> = (0..4)
        .map(|_| Arc::new(place.instance(postgres.url())))
        .collect();
    let token = instances[0]
        .authenticate("admin", "admin password")
        .await
        .unwrap();
    let token = Arc::new(token.as_str().to_owned());
    let served = Arc::new(AtomicUsize::new(0));
    let callers = (0..32).map(|caller| {
        let (access, token) = (Arc::clone(&instances[caller % 4]), Arc::clone(&token));
        let served = Arc::clone(&served);
        tokio::spawn(async move {
            for _ in 0..40 {
                if is_let_in(&access.check(Some(&token)).await) {
                    served.fetch_add(1, Ordering::SeqCst);
                }
            }
        })
    });
    for caller in join_all(callers).await {
        caller.unwrap();
    }
    assert_eq!(served.load(Ordering::SeqCst), 1_000);
    // A new instance knows it, and another token is another one.
    let fresh = place.instance(postgres.url());
    assert!(!is_let_in(&fresh.check(Some(&token)).await));
    let other = fresh.authenticate("admin", "admin password").await.unwrap();
    assert!(is_let_in(&fresh.check(Some(other.as_str())).await));
}

#[tokio::test]
async fn calls_that_the_database_did_not_see_are_added_when_it_is_back() {
    let postgres = Postgres::start_own().await;
    let proxy = Proxy::start(postgres.address()).await;
    let sql = postgres.connect().await;
    let access = Place::new().instance(&postgres.url_through(proxy.address()));
    let token = access
        .authenticate("admin", "admin password")
        .await
        .unwrap();
    let check = async || is_let_in(&access.check(Some(token.as_str())).await);
    let calls = async || -> i32 {
        let row = sql.query_one("select calls from registry_token", &[]).await;
        row.unwrap().get(0)
    };
    for _ in 0..5 {
        assert!(check().await);
    }
    assert_eq!(calls().await, 5);
    proxy.set(Fault::Refuse);
    proxy.cut();
    // What was told last counts, so no more than a thousand are served here either.
    let mut served = 5;
    while check().await {
        served += 1;
        assert!(served <= 1_000);
    }
    assert_eq!(served, 1_000);
    proxy.set(Fault::Pass);
    tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
    assert!(!check().await);
    assert_eq!(calls().await, 1_001);
}

#[tokio::test]
async fn ten_wrong_passwords_on_any_instances_delay_the_eleventh_on_all() {
    let postgres = Postgres::start().await;
    let place = Place::new();
    let instances = [0, 1].map(|_| place.instance(postgres.url()));
    let refused = async |number: usize| {
        let answer = instances[number % 2]
            .authenticate("admin", "wrong password")
            .await;
        matches!(answer, Err(AccessError::Unauthenticated))
    };
    for number in 0..10 {
        assert!(refused(number).await);
    }
    for instance in &instances {
        let answer = instance.authenticate("admin", "admin password").await;
        assert!(
            matches!(answer, Err(AccessError::Throttled { retry_after }) if retry_after == Duration::SECOND),
            "{answer:?}"
        );
    }
    let answer = instances[0].authenticate("nobody", "wrong password").await;
    assert!(matches!(answer, Err(AccessError::Unauthenticated)));
    // It doubles with each.
    for delay in [1, 2, 4, 8, 16, 30, 30] {
        place.pass(Duration::seconds(delay) - Duration::SECOND);
        if delay > 1 {
            assert!(!refused(0).await, "after {delay} seconds less one");
        }
        place.pass(Duration::SECOND);
        assert!(refused(1).await, "after {delay} seconds");
    }
    // The right password forgets them.
    place.pass(Duration::seconds(30));
    instances[0]
        .authenticate("admin", "admin password")
        .await
        .unwrap();
    for number in 0..10 {
        assert!(refused(number).await);
    }
    // A quarter of an hour does, too.
    place.pass(Duration::minutes(15));
    for number in 0..10 {
        assert!(refused(number).await);
    }
    assert!(!refused(0).await);
}

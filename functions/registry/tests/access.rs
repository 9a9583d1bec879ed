//! Users and their tokens, on a store that several instances share.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::future::join_all;
use registry::access::password::{InvalidPassword, Password};
use registry::access::settings::{Admin, Secret, Settings};
use registry::access::token::{Key, Keys};
use registry::access::user::{Permission, Permissions, UserName};
use registry::access::{Access, AccessError, Caller, Clock, NewUser, USER_MEMORY};
use registry::store::{MemoryObjects, Objects};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

const NOW: OffsetDateTime = datetime!(2026-11-02 09:15 UTC);

#[tokio::test]
async fn the_default_admin_registers_users_who_may_do_what_they_are_allowed() {
    let place = Place::default();
    let access = place.instance();
    let admin = log_in(&access, "admin", "admin password").await;
    assert!(admin.is_admin());
    let new = new_user("ü/../x", &[Permission::Search, Permission::Download]);
    let user = access.register(&admin, new).await.unwrap();
    assert_eq!((user.created_at, &*user.created_by), (Some(NOW), "admin"));
    let caller = log_in(&access, "ü/../x", "user password").await;
    assert_eq!(caller.name.as_str(), "ü/../x");
    assert!(caller.must(Permission::Search).is_ok());
    assert!(caller.must(Permission::Download).is_ok());
    for forbidden in [Permission::Upload, Permission::Admin] {
        assert_forbidden(&caller.must(forbidden));
    }
}

#[tokio::test]
async fn anonymous_requests_and_forged_tokens_are_nobody_s() {
    let access = Place::default().instance();
    for header in [None, Some(""), Some("bearer"), Some("bearer eyJ.eyJ.x")] {
        let answer = access.check(header).await;
        assert!(
            matches!(answer, Err(AccessError::Unauthenticated)),
            "{header:?}"
        );
    }
}

#[tokio::test]
async fn a_wrong_name_and_a_wrong_password_get_the_same_answer() {
    let access = Place::default().instance();
    let long = "x".repeat(10_000_000);
    for (name, password) in [
        ("admin", "admin passwore"),
        ("admin", ""),
        ("admin", &long),
        ("nobody", "admin password"),
        ("", "admin password"),
        (&long, "admin password"),
        ("a\0", "admin password"),
    ] {
        let answer = access.authenticate(name, password).await;
        assert!(matches!(answer, Err(AccessError::Unauthenticated)));
    }
}

#[tokio::test]
async fn a_token_of_one_instance_is_valid_on_another_for_ten_hours() {
    let place = Place::default();
    let (here, there) = (place.instance(), place.instance());
    let token = here.authenticate("admin", "admin password").await.unwrap();
    assert!(there.check(Some(token.as_str())).await.unwrap().is_admin());
    place.pass(Duration::hours(10) - Duration::SECOND);
    assert!(there.check(Some(token.as_str())).await.is_ok());
    place.pass(Duration::SECOND);
    let answer = there.check(Some(token.as_str())).await;
    assert!(matches!(answer, Err(AccessError::Unauthenticated)));
}

#[tokio::test]
async fn a_token_is_used_up_after_a_thousand_calls() {
    let access = Place::default().instance();
    let token = access
        .authenticate("admin", "admin password")
        .await
        .unwrap();
    for _ in 0..1_000 {
        access.check(Some(token.as_str())).await.unwrap();
    }
    let answer = access.check(Some(token.as_str())).await;
    assert!(matches!(answer, Err(AccessError::Unauthenticated)));
    log_in(&access, "admin", "admin password").await;
}

#[tokio::test]
async fn a_deleted_user_is_nobody_at_once_here_and_soon_everywhere() {
    let place = Place::default();
    let (here, there) = (place.instance(), place.instance());
    let admin = log_in(&here, "admin", "admin password").await;
    here.register(&admin, new_user("u", &[Permission::Search]))
        .await
        .unwrap();
    let token = here.authenticate("u", "user password").await.unwrap();
    for instance in [&here, &there] {
        instance.check(Some(token.as_str())).await.unwrap();
    }
    let caller = log_in(&here, "u", "user password").await;
    here.delete(&caller, &name("u")).await.unwrap();
    let answer = here.check(Some(token.as_str())).await;
    assert!(matches!(answer, Err(AccessError::Unauthenticated)));
    place.pass(USER_MEMORY);
    let answer = there.check(Some(token.as_str())).await;
    assert!(matches!(answer, Err(AccessError::Unauthenticated)));
    // Nor does the token come back to life with the name.
    here.register(&admin, new_user("u", &[Permission::Search]))
        .await
        .unwrap();
    for instance in [&here, &there] {
        let answer = instance.check(Some(token.as_str())).await;
        assert!(matches!(answer, Err(AccessError::Unauthenticated)));
        // While a new one is valid at once, whatever the instance remembers.
        log_in(instance, "u", "user password").await;
    }
}

#[tokio::test]
async fn a_new_password_ends_the_tokens_of_the_old_one() {
    let access = Place::default().instance();
    let admin = log_in(&access, "admin", "admin password").await;
    access.register(&admin, new_user("u", &[])).await.unwrap();
    let token = access.authenticate("u", "user password").await.unwrap();
    let caller = access.check(Some(token.as_str())).await.unwrap();
    let password = Password::chosen("another password").unwrap();
    access
        .set_password(&caller, &name("u"), password)
        .await
        .unwrap();
    assert!(access.check(Some(token.as_str())).await.is_err());
    assert!(access.authenticate("u", "user password").await.is_err());
    log_in(&access, "u", "another password").await;
}

#[tokio::test]
async fn permissions_are_changed_by_an_admin_only() {
    let access = Place::default().instance();
    let admin = log_in(&access, "admin", "admin password").await;
    access.register(&admin, new_user("u", &[])).await.unwrap();
    let caller = log_in(&access, "u", "user password").await;
    let all = Permissions::admin();
    assert_forbidden(&access.set_permissions(&caller, &name("u"), &all).await);
    access
        .set_permissions(&admin, &name("u"), &all)
        .await
        .unwrap();
    assert!(log_in(&access, "u", "user password").await.is_admin());
}

#[tokio::test]
async fn users_manage_themselves_and_nobody_else() {
    let access = Place::default().instance();
    let admin = log_in(&access, "admin", "admin password").await;
    for user in ["u", "v"] {
        access.register(&admin, new_user(user, &[])).await.unwrap();
    }
    let caller = log_in(&access, "u", "user password").await;
    let password = || Password::chosen("another password").unwrap();
    assert_forbidden(&access.register(&caller, new_user("w", &[])).await);
    assert_forbidden(&access.user(&caller, &name("v")).await);
    assert_forbidden(&access.users(&caller, None, 10).await);
    assert_forbidden(&access.delete(&caller, &name("v")).await);
    assert_forbidden(&access.delete(&caller, &name("nobody")).await);
    assert_forbidden(&access.set_password(&caller, &name("v"), password()).await);
    assert_forbidden(&access.reset(&caller).await);
    assert_eq!(
        access.user(&caller, &name("u")).await.unwrap().name,
        name("u")
    );
    access.delete(&admin, &name("u")).await.unwrap();
    let again = access.delete(&admin, &name("u")).await;
    assert!(matches!(again, Err(AccessError::NotFound)));
    assert_eq!(Password::chosen("short"), Err(InvalidPassword::Short));
}

#[tokio::test]
async fn the_default_admin_is_neither_registered_nor_changed_nor_deleted() {
    let access = Place::default().instance();
    let admin = log_in(&access, "admin", "admin password").await;
    let registered = access.register(&admin, new_user("admin", &[])).await;
    assert!(matches!(registered, Err(AccessError::Exists)));
    let password = Password::chosen("another password").unwrap();
    assert_forbidden(&access.set_password(&admin, &name("admin"), password).await);
    let nothing = Permissions::default();
    assert_forbidden(
        &access
            .set_permissions(&admin, &name("admin"), &nothing)
            .await,
    );
    assert_forbidden(&access.delete(&admin, &name("admin")).await);
}

#[tokio::test]
async fn a_reset_leaves_the_default_admin_and_its_token() {
    let place = Place::default();
    let access = place.instance();
    let token = access
        .authenticate("admin", "admin password")
        .await
        .unwrap();
    let admin = access.check(Some(token.as_str())).await.unwrap();
    for number in 0..5 {
        let new = new_user(&format!("u{number}"), &[]);
        access.register(&admin, new).await.unwrap();
    }
    let of_user = access.authenticate("u3", "user password").await.unwrap();
    access.check(Some(of_user.as_str())).await.unwrap();
    access.reset(&admin).await.unwrap();
    for instance in [access, place.instance()] {
        assert!(
            instance
                .check(Some(token.as_str()))
                .await
                .unwrap()
                .is_admin()
        );
        assert!(instance.check(Some(of_user.as_str())).await.is_err());
        assert!(instance.authenticate("u3", "user password").await.is_err());
        let (users, next) = instance.users(&admin, None, 10).await.unwrap();
        let names: Vec<_> = users.iter().map(|user| user.name.as_str()).collect();
        assert_eq!((names, next), (vec!["admin"], None));
    }
}

#[tokio::test]
async fn users_are_listed_by_page() {
    let access = Place::default().instance();
    let admin = log_in(&access, "admin", "admin password").await;
    for number in 0..5 {
        let new = new_user(&format!("u{number}"), &[]);
        access.register(&admin, new).await.unwrap();
    }
    for limit in 1..8 {
        let mut names = Vec::new();
        let mut after = None;
        loop {
            let (page, next) = access.users(&admin, after.as_deref(), limit).await.unwrap();
            assert!(page.len() <= limit);
            names.extend(page.into_iter().map(|user| user.name.to_string()));
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(names[0], "admin");
        names.sort();
        assert_eq!(names, ["admin", "u0", "u1", "u2", "u3", "u4"]);
    }
}

#[tokio::test]
async fn ten_wrong_passwords_delay_this_user_and_nobody_else() {
    let place = Place::default();
    let access = place.instance();
    let admin = log_in(&access, "admin", "admin password").await;
    access.register(&admin, new_user("u", &[])).await.unwrap();
    for _ in 0..10 {
        let answer = access.authenticate("u", "wrong").await;
        assert!(matches!(answer, Err(AccessError::Unauthenticated)));
    }
    let answer = access.authenticate("u", "user password").await;
    assert!(
        matches!(answer, Err(AccessError::Throttled { retry_after }) if retry_after == Duration::SECOND)
    );
    log_in(&access, "admin", "admin password").await;
    place.pass(Duration::SECOND);
    log_in(&access, "u", "user password").await;
}

#[tokio::test]
async fn wrong_passwords_at_the_same_time_are_counted_too() {
    let access = Place::default().instance();
    let tries = join_all((0..30).map(|_| access.authenticate("nobody", "wrong"))).await;
    let judged = tries
        .iter()
        .filter(|answer| matches!(answer, Err(AccessError::Unauthenticated)));
    assert_eq!(judged.count(), 10);
}

#[tokio::test]
async fn what_is_no_user_is_said_to_be_none_and_lets_nobody_in() {
    let place = Place::default();
    let access = place.instance();
    let admin = log_in(&access, "admin", "admin password").await;
    access.register(&admin, new_user("u", &[])).await.unwrap();
    let key = place
        .objects
        .list("users/", None, 1)
        .await
        .unwrap()
        .remove(0)
        .key;
    let (good, etag) = place.objects.get(&key).await.unwrap().unwrap();
    let other = String::from_utf8(good).unwrap().replace(r#""u""#, r#""v""#);
    let etag = place
        .objects
        .replace(&key, other.into_bytes(), &etag)
        .await
        .unwrap();
    let answer = access.authenticate("u", "user password").await;
    assert!(matches!(answer, Err(AccessError::Unreadable { .. })));
    place
        .objects
        .replace(&key, b"[]".to_vec(), &etag)
        .await
        .unwrap();
    let answer = access.authenticate("u", "user password").await;
    assert!(matches!(answer, Err(AccessError::Unreadable { .. })));
}

#[tokio::test]
async fn stored_users_hold_no_password_and_unknown_permissions_allow_nothing() {
    let place = Place::default();
    let access = place.instance();
    let admin = log_in(&access, "admin", "admin password").await;
    access
        .register(&admin, new_user("u", &[Permission::Search]))
        .await
        .unwrap();
    let key = place
        .objects
        .list("users/", None, 1)
        .await
        .unwrap()
        .remove(0)
        .key;
    let (json, etag) = place.objects.get(&key).await.unwrap().unwrap();
    let json = String::from_utf8(json).unwrap();
    assert!(
        !json.contains("user password") && json.contains("$argon2id$"),
        "{json}"
    );
    let later = json.replace(r#"["search"]"#, r#"["search","fly",7]"#);
    assert_ne!(later, json);
    place
        .objects
        .replace(&key, later.into_bytes(), &etag)
        .await
        .unwrap();
    let caller = log_in(&access, "u", "user password").await;
    assert_eq!(
        caller.permissions,
        Permissions::from_iter([Permission::Search])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_registrations_on_s3_one_is_made_and_no_change_is_lost() {
    let (objects, _folder) = support::bucket().await;
    let place = Place {
        objects,
        ..Place::default()
    };
    let instances: Vec<_> = (0..8).map(|_| place.instance()).collect();
    let admin = log_in(place.instance(), "admin", "admin password").await;
    let answers = join_all(
        instances
            .iter()
            .map(|instance| instance.register(&admin, new_user("u", &[]))),
    )
    .await;
    let made = answers.iter().filter(|answer| answer.is_ok()).count();
    let refused = answers
        .iter()
        .filter(|answer| matches!(answer, Err(AccessError::Exists)))
        .count();
    assert_eq!((made, refused), (1, 7));
    // The password of one and the permissions of another.
    let password = Password::chosen("another password").unwrap();
    let search = Permissions::from_iter([Permission::Search]);
    let user = name("u");
    let (one, other) = tokio::join!(
        async { place.instance().set_password(&admin, &user, password).await },
        async {
            place
                .instance()
                .set_permissions(&admin, &user, &search)
                .await
        },
    );
    one.unwrap();
    other.unwrap();
    let caller = log_in(place.instance(), "u", "another password").await;
    assert_eq!(caller.permissions, search);
}

/// What instances share: a store, a key and the time.
struct Place {
    objects: Objects,
    seconds: Arc<AtomicI64>,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            objects: Objects::Memory(MemoryObjects::default()),
            seconds: Arc::new(AtomicI64::new(NOW.unix_timestamp())),
        }
    }
}

impl Place {
    fn instance(&self) -> Access {
        let secret = Secret::Password(Password::chosen("admin password").unwrap());
        let key = Key::new(&[7; 32]).unwrap();
        let settings = Settings {
            admin: Admin::new(name("admin"), vec![secret]),
            keys: Keys::new(key, vec![], "registry", "registry"),
        };
        let seconds = Arc::clone(&self.seconds);
        let clock = Clock::new(move || {
            OffsetDateTime::from_unix_timestamp(seconds.load(Ordering::SeqCst)).unwrap()
        });
        Access::new(settings, self.objects.clone(), clock)
    }

    fn pass(&self, time: Duration) {
        self.seconds
            .fetch_add(time.whole_seconds(), Ordering::SeqCst);
    }
}

async fn log_in(access: impl std::borrow::Borrow<Access>, name: &str, password: &str) -> Caller {
    let access = access.borrow();
    let token = access.authenticate(name, password).await.unwrap();
    access.check(Some(token.as_str())).await.unwrap()
}

fn name(text: &str) -> UserName {
    text.parse().unwrap()
}

fn new_user(text: &str, permissions: &[Permission]) -> NewUser {
    NewUser {
        name: name(text),
        password: Password::chosen("user password").unwrap(),
        permissions: permissions.iter().copied().collect(),
    }
}

fn assert_forbidden<T>(answer: &Result<T, AccessError>) {
    assert!(matches!(
        answer,
        Err(AccessError::Forbidden(_) | AccessError::Configured)
    ));
}

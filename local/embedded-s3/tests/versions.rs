//! Versions, delete markers, the null version.
#![expect(clippy::expect_used, reason = "a test that cannot go on must stop")]

mod support;

use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use support::{BUCKET, Fixture, refusal, start, start_versioned};

async fn versions(fixture: &Fixture) -> Vec<(String, String, bool, bool)> {
    let output = fixture
        .client
        .list_object_versions()
        .bucket(BUCKET)
        .send()
        .await
        .expect("the list arrives");
    let objects = output.versions().iter().map(|version| {
        (
            version.key(),
            version.version_id(),
            version.is_latest(),
            false,
        )
    });
    let markers = output
        .delete_markers()
        .iter()
        .map(|marker| (marker.key(), marker.version_id(), marker.is_latest(), true));
    objects
        .chain(markers)
        .map(|(key, id, latest, marker)| {
            (
                key.unwrap_or_default().to_owned(),
                id.unwrap_or_default().to_owned(),
                latest.unwrap_or_default(),
                marker,
            )
        })
        .collect()
}

#[tokio::test]
async fn every_put_makes_a_version() {
    let fixture = start_versioned().await;
    let first = fixture.put("a", "1").await.version_id.unwrap();
    let second = fixture.put("a", "2").await.version_id.unwrap();
    assert_ne!(first, second);
    assert_eq!(fixture.get("a").await, b"2");
    let old = fixture
        .client
        .get_object()
        .bucket(BUCKET)
        .key("a")
        .version_id(&first)
        .send()
        .await
        .unwrap();
    assert_eq!(old.version_id(), Some(first.as_str()));
    assert_eq!(old.body.collect().await.unwrap().to_vec(), b"1");
    let expected = [
        ("a".to_owned(), second, true, false),
        ("a".to_owned(), first, false, false),
    ];
    assert_eq!(versions(&fixture).await, expected);
}

#[tokio::test]
async fn a_delete_is_a_marker_and_can_be_undone() {
    let fixture = start_versioned().await;
    let version = fixture.put("a", "1").await.version_id.unwrap();
    let delete = fixture
        .client
        .delete_object()
        .bucket(BUCKET)
        .key("a")
        .send()
        .await
        .unwrap();
    let marker = delete.version_id.clone().unwrap();
    assert_eq!(delete.delete_marker(), Some(true));
    let get = fixture
        .client
        .get_object()
        .bucket(BUCKET)
        .key("a")
        .send()
        .await;
    let raw = get.as_ref().unwrap_err().raw_response().unwrap();
    assert_eq!(raw.headers().get("x-amz-delete-marker"), Some("true"));
    assert_eq!(raw.headers().get("x-amz-version-id"), Some(marker.as_str()));
    assert_eq!(refusal(get), ("NoSuchKey".to_owned(), 404));
    let get = fixture
        .client
        .get_object()
        .bucket(BUCKET)
        .key("a")
        .version_id(&marker)
        .send()
        .await;
    assert_eq!(refusal(get), ("MethodNotAllowed".to_owned(), 405));
    assert_eq!(fixture.keys().await, Vec::<String>::new());
    let undo = fixture
        .client
        .delete_object()
        .bucket(BUCKET)
        .key("a")
        .version_id(&marker)
        .send()
        .await
        .unwrap();
    assert_eq!(
        (undo.delete_marker(), undo.version_id()),
        (Some(true), Some(marker.as_str()))
    );
    assert_eq!(fixture.get("a").await, b"1");
    assert_eq!(
        versions(&fixture).await,
        [("a".to_owned(), version, true, false)]
    );
}

#[tokio::test]
async fn deleting_the_current_version_brings_the_one_before_back() {
    let fixture = start_versioned().await;
    fixture.put("a", "1").await;
    let second = fixture.put("a", "2").await.version_id.unwrap();
    fixture
        .client
        .delete_object()
        .bucket(BUCKET)
        .key("a")
        .version_id(&second)
        .send()
        .await
        .unwrap();
    assert_eq!(fixture.get("a").await, b"1");
    // Again: there is nothing to delete, and that is no error.
    fixture
        .client
        .delete_object()
        .bucket(BUCKET)
        .key("a")
        .version_id(&second)
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn suspended_versioning_writes_the_null_version() {
    let fixture = start().await;
    fixture.put("a", "before").await;
    fixture.store.create_bucket(BUCKET, true).await.unwrap();
    let kept = fixture.put("a", "kept").await.version_id.unwrap();
    fixture.suspend_versioning().await;
    assert_eq!(fixture.put("a", "after").await.version_id(), Some("null"));
    let null = fixture
        .client
        .get_object()
        .bucket(BUCKET)
        .key("a")
        .version_id("null")
        .send()
        .await
        .unwrap();
    assert_eq!(null.body.collect().await.unwrap().to_vec(), b"after");
    let expected = [
        ("a".to_owned(), "null".to_owned(), true, false),
        ("a".to_owned(), kept.clone(), false, false),
    ];
    assert_eq!(versions(&fixture).await, expected);
    fixture.delete("a").await;
    let expected = [
        ("a".to_owned(), kept, false, false),
        ("a".to_owned(), "null".to_owned(), true, true),
    ];
    assert_eq!(versions(&fixture).await, expected);
}

#[tokio::test]
async fn a_version_that_is_not_there_is_refused() {
    let fixture = start_versioned().await;
    let id = fixture.put("a", "1").await.version_id.unwrap();
    fixture.put("b", "1").await;
    let get = |id: &str| {
        fixture
            .client
            .get_object()
            .bucket(BUCKET)
            .key("b")
            .version_id(id)
    };
    assert_eq!(
        refusal(get(&id).send().await),
        ("NoSuchVersion".to_owned(), 404)
    );
    assert_eq!(
        refusal(get("nonsense").send().await),
        ("InvalidArgument".to_owned(), 400)
    );
}

#[tokio::test]
async fn an_old_version_is_copied_back() {
    let fixture = start_versioned().await;
    let first = fixture.put("a", "1").await.version_id.unwrap();
    fixture.put("a", "2").await;
    let source = format!("{BUCKET}/a?versionId={first}");
    let copy = fixture
        .client
        .copy_object()
        .bucket(BUCKET)
        .key("a")
        .copy_source(source)
        .send()
        .await
        .unwrap();
    assert_eq!(copy.copy_source_version_id(), Some(first.as_str()));
    assert_eq!(fixture.get("a").await, b"1");
}

#[tokio::test]
async fn versions_are_listed_in_pages_while_they_are_deleted() {
    let fixture = start().await;
    for key in ["a", "b", "c/1", "c/2"] {
        fixture.put(key, "null version").await;
    }
    fixture.store.create_bucket(BUCKET, true).await.unwrap();
    for round in 0..5 {
        for key in ["a", "b", "c/1", "c/2"] {
            fixture.put(key, format!("{round}")).await;
        }
        fixture.delete("b").await;
    }
    let (mut key, mut id) = (None, None);
    let mut seen = 0;
    loop {
        let list = fixture
            .client
            .list_object_versions()
            .bucket(BUCKET)
            .max_keys(3);
        let page = list
            .set_key_marker(key)
            .set_version_id_marker(id)
            .send()
            .await
            .unwrap();
        let ids = page
            .versions()
            .iter()
            .map(|version| (version.key(), version.version_id()));
        let markers = page
            .delete_markers()
            .iter()
            .map(|marker| (marker.key(), marker.version_id()));
        let objects = ids.chain(markers).map(|(key, id)| {
            ObjectIdentifier::builder()
                .set_key(key.map(str::to_owned))
                .set_version_id(id.map(str::to_owned))
                .build()
                .unwrap()
        });
        let objects: Vec<_> = objects.collect();
        seen += objects.len();
        let delete = Delete::builder()
            .set_objects(Some(objects))
            .build()
            .unwrap();
        fixture
            .client
            .delete_objects()
            .bucket(BUCKET)
            .delete(delete)
            .send()
            .await
            .unwrap();
        if page.is_truncated() != Some(true) {
            break;
        }
        (key, id) = (page.next_key_marker, page.next_version_id_marker);
    }
    assert_eq!(seen, 4 * 6 + 5);
    fixture
        .client
        .delete_bucket()
        .bucket(BUCKET)
        .send()
        .await
        .unwrap();
}

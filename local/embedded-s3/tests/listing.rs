//! Lists: prefixes, delimiters, pages, encodings; and a model that agrees after any history.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

mod support;

use std::collections::BTreeMap;

use aws_sdk_s3::types::EncodingType;
use proptest::prelude::*;
use support::{BUCKET, Fixture, start, start_versioned};

async fn fill(keys: &[&str]) -> Fixture {
    let fixture = start().await;
    for key in keys {
        fixture.put(key, "x").await;
    }
    fixture
}

/// All keys and common prefixes, read in pages of `size`.
async fn pages(
    fixture: &Fixture,
    prefix: &str,
    delimiter: &str,
    size: i32,
) -> (Vec<String>, Vec<String>) {
    let (mut keys, mut prefixes) = (Vec::new(), Vec::new());
    let mut token = None;
    loop {
        let list = fixture
            .client
            .list_objects_v2()
            .bucket(BUCKET)
            .prefix(prefix)
            .delimiter(delimiter)
            .max_keys(size);
        let page = list
            .set_continuation_token(token)
            .send()
            .await
            .expect("the list arrives");
        let count = page.contents().len() + page.common_prefixes().len();
        assert_eq!(
            usize::try_from(page.key_count().unwrap_or_default()).ok(),
            Some(count)
        );
        keys.extend(
            page.contents()
                .iter()
                .filter_map(|object| object.key().map(str::to_owned)),
        );
        prefixes.extend(
            page.common_prefixes()
                .iter()
                .filter_map(|prefix| prefix.prefix().map(str::to_owned)),
        );
        token = page.next_continuation_token().map(str::to_owned);
        assert_eq!(page.is_truncated(), Some(token.is_some()));
        if token.is_none() {
            return (keys, prefixes);
        }
    }
}

#[tokio::test]
async fn folders_are_common_prefixes_in_pages_of_any_size() {
    let fixture = fill(&["a", "b/1", "b/2", "b/c/3", "c", "d/", "d//e", "é/1", "z"]).await;
    for size in 1..=10 {
        let (keys, prefixes) = pages(&fixture, "", "/", size).await;
        assert_eq!(
            (keys, prefixes),
            (strings(&["a", "c", "z"]), strings(&["b/", "d/", "é/"])),
            "pages of {size}"
        );
        let (keys, prefixes) = pages(&fixture, "b/", "/", size).await;
        assert_eq!(
            (keys, prefixes),
            (strings(&["b/1", "b/2"]), strings(&["b/c/"]))
        );
        let (keys, prefixes) = pages(&fixture, "d/", "/", size).await;
        assert_eq!((keys, prefixes), (strings(&["d/"]), strings(&["d//"])));
        assert_eq!(
            pages(&fixture, "b", "", size).await.0,
            strings(&["b/1", "b/2", "b/c/3"])
        );
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test]
async fn start_after_and_zero_keys() {
    let fixture = fill(&["a", "b", "c"]).await;
    let list = || fixture.client.list_objects_v2().bucket(BUCKET);
    let after = list().start_after("a").send().await.unwrap();
    assert_eq!(
        after
            .contents()
            .iter()
            .filter_map(|object| object.key())
            .collect::<Vec<_>>(),
        ["b", "c"]
    );
    let none = list().max_keys(0).send().await.unwrap();
    assert_eq!(
        (none.contents().len(), none.is_truncated()),
        (0, Some(false))
    );
    let token = list().continuation_token("%").send().await;
    assert_eq!(support::refusal(token), ("InvalidArgument".to_owned(), 400));
}

#[tokio::test]
async fn names_are_url_encoded_where_asked() {
    let fixture = fill(&["a b/c+d", "ü"]).await;
    let list = fixture
        .client
        .list_objects_v2()
        .bucket(BUCKET)
        .encoding_type(EncodingType::Url);
    let plain = list.clone().send().await.unwrap();
    assert_eq!(
        plain
            .contents()
            .iter()
            .filter_map(|object| object.key())
            .collect::<Vec<_>>(),
        ["a+b/c%2Bd", "%C3%BC"]
    );
    let folders = list.delimiter("/").send().await.unwrap();
    assert_eq!(folders.common_prefixes()[0].prefix(), Some("a+b/"));
}

#[tokio::test]
async fn the_first_list_pages_by_marker() {
    let fixture = fill(&["a", "b/1", "b/2", "c"]).await;
    let list = || {
        fixture
            .client
            .list_objects()
            .bucket(BUCKET)
            .delimiter("/")
            .max_keys(2)
    };
    let first = list().send().await.unwrap();
    assert_eq!(
        (first.next_marker(), first.is_truncated()),
        (Some("b/"), Some(true))
    );
    let second = list().marker("b/").send().await.unwrap();
    assert_eq!(
        second
            .contents()
            .iter()
            .filter_map(|object| object.key())
            .collect::<Vec<_>>(),
        ["c"]
    );
}

/// What a client may do to one of a few keys.
#[derive(Debug, Clone)]
enum Step {
    Put(usize),
    Delete(usize),
    DeleteVersion(usize, usize),
}

const KEYS: [&str; 5] = ["a", "a/b", "a/ü", "b", "日"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..KEYS.len()).prop_map(Step::Put),
        (0..KEYS.len()).prop_map(Step::Delete),
        (0..KEYS.len(), 0..4_usize).prop_map(|(key, place)| Step::DeleteVersion(key, place)),
    ];
    prop::collection::vec(step, 1..40)
}

/// Versions of each key, newest first; `None` is a delete marker.
type Model = BTreeMap<&'static str, Vec<(String, Option<String>)>>;

async fn play(steps: Vec<Step>) {
    let fixture = start_versioned().await;
    let mut model = Model::new();
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Put(key) => {
                let body = number.to_string();
                let id = fixture
                    .put(KEYS[key], body.clone())
                    .await
                    .version_id
                    .unwrap_or_default();
                model
                    .entry(KEYS[key])
                    .or_default()
                    .insert(0, (id, Some(body)));
            }
            Step::Delete(key) => {
                let delete = fixture.client.delete_object().bucket(BUCKET).key(KEYS[key]);
                let id = delete
                    .send()
                    .await
                    .expect("a delete")
                    .version_id
                    .unwrap_or_default();
                model.entry(KEYS[key]).or_default().insert(0, (id, None));
            }
            Step::DeleteVersion(key, place) => {
                let versions = model.entry(KEYS[key]).or_default();
                if place < versions.len() {
                    let (id, _) = versions.remove(place);
                    let delete = fixture
                        .client
                        .delete_object()
                        .bucket(BUCKET)
                        .key(KEYS[key])
                        .version_id(id);
                    delete.send().await.expect("a delete");
                }
            }
        }
    }
    agree(&fixture, &model).await;
}

async fn agree(fixture: &Fixture, model: &Model) {
    let current: Vec<(String, String)> = model
        .iter()
        .filter_map(|(key, versions)| Some(((*key).to_owned(), versions.first()?.1.clone()?)))
        .collect();
    let keys: Vec<String> = current.iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(pages(fixture, "", "", 2).await.0, keys);
    for (key, body) in &current {
        assert_eq!(fixture.get(key).await, body.as_bytes());
    }
    let output = fixture
        .client
        .list_object_versions()
        .bucket(BUCKET)
        .send()
        .await
        .expect("the list arrives");
    let objects: Vec<_> = output
        .versions()
        .iter()
        .filter_map(|version| version.version_id())
        .collect();
    let markers: Vec<_> = output
        .delete_markers()
        .iter()
        .filter_map(|marker| marker.version_id())
        .collect();
    let expected = |marker: bool| -> Vec<&str> {
        let all = model.values().flatten();
        all.filter(|(_, body)| body.is_none() == marker)
            .map(|(id, _)| id.as_str())
            .collect()
    };
    assert_eq!((objects, markers), (expected(false), expected(true)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lists_agree_with_a_model_after_any_history(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(play(steps));
    }
}

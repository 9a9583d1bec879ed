//! Text is searched by words, and extended by what users add.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use support::Loader;

async fn found(loader: &Loader, query: &str) -> Vec<String> {
    let rows = loader
        .sql
        .query("select uri from search_documents($1)", &[&query])
        .await
        .unwrap();
    rows.iter()
        .map(|row| row.get::<_, String>(0).replace("s3://documents/", ""))
        .collect()
}

#[tokio::test]
async fn documents_are_found_by_words_best_first() {
    let loader = Loader::start().await;
    loader
        .put(
            "once",
            "A cat. And much else that is about something entirely different, as one can see.",
        )
        .await;
    loader
        .put("often", "Cats, cats, cats: a cat's life with other cats")
        .await;
    loader.put("dog", "The dog chased a stick").await;
    loader.put("both", "The cat and the dog").await;
    loader.load().await;
    assert_eq!(found(&loader, "cat").await, ["often", "both", "once"]);
    assert_eq!(found(&loader, "cat dog").await, ["both"]);
    assert_eq!(found(&loader, "cat -dog").await, ["often", "once"]);
    assert_eq!(found(&loader, "\"chased a stick\"").await, ["dog"]);
    assert_eq!(found(&loader, "stick or life").await.len(), 2);
    for nothing in ["", "the", "unheard", "'", "\\", "&|!", "\"unbalanced"] {
        found(&loader, nothing).await;
    }
    let few = "select count(*) from search_documents('cat', 2)";
    assert_eq!(loader.count(few).await, 2);
    let there = "select count(*) from search_documents('cat', uri_prefix => 's3://documents/o')";
    assert_eq!(loader.count(there).await, 2);
}

#[tokio::test]
async fn the_chunk_that_fits_best_is_shown_with_its_place() {
    let loader = Loader::start().await;
    loader
        .sql
        .batch_execute("select add_source('s3://documents/', chunking => '{\"chunk_size\": 40, \"chunk_overlap\": 0}')")
        .await
        .unwrap();
    loader
        .put(
            "a",
            "Nothing of interest is said here at all. The needle is in this part of the hay.",
        )
        .await;
    loader.load().await;
    let row = loader
        .sql
        .query_one(
            "select chunk_order, start_char, end_char, snippet from search_documents('needles')",
            &[],
        )
        .await
        .unwrap();
    let place: (i32, i32, i32) = (row.get(0), row.get(1), row.get(2));
    assert_eq!(place, (1, 39, 79));
    insta::assert_snapshot!(row.get::<_, String>(3), @"<b>needle</b> is in this part");
}

#[tokio::test]
async fn another_language_has_other_endings() {
    let loader = Loader::start().await;
    loader.put("a", "Die Häuser der Stadt").await;
    loader.load().await;
    assert!(found(&loader, "Haus").await.is_empty());
    loader
        .sql
        .batch_execute("select set_search_language('german')")
        .await
        .unwrap();
    assert_eq!(found(&loader, "Haus").await, ["a"]);
    loader.put("b", "Ein Haus").await;
    loader.load().await;
    assert_eq!(found(&loader, "Häuser").await.len(), 2);
}

/// As the README has it, with a list of numbers in the place of a vector.
#[tokio::test]
async fn embeddings_are_added_beside_the_chunks_and_follow_them() {
    let loader = Loader::start().await;
    loader
        .sql
        .batch_execute(
            "create table chunk_embedding (
                chunk_id bigint primary key references document_chunk (id) on delete cascade,
                embedding float8[] not null
            );
            create view chunk_to_embed as
                select chunk.id as chunk_id, chunk.text from document_chunk as chunk
                where not exists (select from chunk_embedding where chunk_id = chunk.id);
            select add_source('s3://documents/', chunking => '{\"chunk_size\": 10, \"chunk_overlap\": 0}')",
        )
        .await
        .unwrap();
    let embed =
        "insert into chunk_embedding select chunk_id, array[length(text)] from chunk_to_embed";
    let uri = loader.put("a", "0123456789abcdefghijABCDE").await;
    loader.load().await;
    assert_eq!(loader.sql.execute(embed, &[]).await.unwrap(), 3);
    loader.put("a", "0123456789__________ABCDE").await;
    loader.load().await;
    assert_eq!(
        loader.sql.execute(embed, &[]).await.unwrap(),
        1,
        "only what is new"
    );
    loader.remove(&uri).await;
    assert_eq!(
        loader.count("select count(*) from chunk_embedding").await,
        0
    );
}

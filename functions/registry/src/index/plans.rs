//! Whether the database does what the statements are written for: by its plans, not by its clock.

use std::collections::BTreeSet;

use serde_json::Value;
use testkit::Postgres;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::row::Parameter;
use super::search::Filter;
use super::{announcement, healing, members, query, schema};

/// Enough that the planner prefers an index to reading everything.
const ARTIFACTS: i32 = 20_000;

async fn database() -> (Postgres, Client) {
    let postgres = Postgres::start().await;
    let sql = postgres.connect().await;
    schema::prepare(&sql).await.unwrap();
    // Names of which each occurs ten times, and descriptions of some kilobytes.
    sql.batch_execute(&format!(
        "insert into registry_artifact
            select '', 1, '', 'bucket', null, '', null, true, 0
            union all
            select number || '/', 1, 'etag', 'name-' || number / 10,
                (array['model', 'dataset', 'code'])[1 + number % 3],
                repeat('some words of a description that is not short ', 20) || md5(number::text), '{{}}', true, 1
            from generate_series(100001, 100000 + {ARTIFACTS}) as number;
        insert into registry_relation
            select 'key-' || number / 10, number % 2 = 0, number || '/'
            from generate_series(100001, 100000 + {ARTIFACTS}) as number;
        insert into registry_unsettled
            select number || '/', gen_random_uuid(), current_timestamp + interval '1 hour', current_timestamp
            from generate_series(1, 2000) as number;"
    ))
    .await
    .unwrap();
    sql.batch_execute("vacuum analyze").await.unwrap();
    (postgres, sql)
}

/// The indexes that a statement uses, after `reads` for the tables of which it reads everything.
async fn plan(sql: &Client, statement: &str, parameters: &[Parameter<'_>]) -> String {
    let explain = format!("explain (format json) {statement}");
    let row = sql.query_typed_one(&explain, parameters).await.unwrap();
    let Json(plan) = row.get(0);
    let mut used = BTreeSet::new();
    walk(&plan, &mut used);
    Vec::from_iter(used).join(", ")
}

fn walk(node: &Value, used: &mut BTreeSet<String>) {
    match node {
        Value::Array(nodes) => nodes.iter().for_each(|node| walk(node, used)),
        Value::Object(fields) => {
            let text = |name: &str| fields.get(name).and_then(Value::as_str);
            if let Some(index) = text("Index Name") {
                used.insert(index.to_owned());
            }
            if text("Node Type").is_some_and(|node| node == "Seq Scan") {
                used.insert(format!("reads {}", text("Relation Name").unwrap()));
            }
            fields.values().for_each(|node| walk(node, used));
        }
        _ => {}
    }
}

/// A plan as the driver gets it.
struct Json(Value);

impl tokio_postgres::types::FromSql<'_> for Json {
    fn from_sql(
        _kind: &Type,
        raw: &[u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(serde_json::from_slice(raw)?))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::JSON
    }
}

#[tokio::test]
async fn every_statement_of_a_request_goes_by_indexes() {
    let (_postgres, sql) = database().await;
    let none: Vec<&str> = Vec::new();
    let (first, behind) = ("", "115000/");
    let (limit, none_left_out) = (1_001_i64, 0_i64);
    let page = async |names: &[&str], kinds: &[&str], every: &[&str], after: &str| {
        let parameters: [Parameter<'_>; 7] = [
            (&names, Type::TEXT_ARRAY),
            (&kinds, Type::TEXT_ARRAY),
            (&every, Type::TEXT_ARRAY),
            (&after, Type::TEXT),
            (&limit, Type::INT8),
            (&none_left_out, Type::INT8),
            (&limit, Type::INT8),
        ];
        plan(&sql, query::PAGE, &parameters).await
    };
    let both = "registry_artifact_kind, registry_artifact_name";
    let all = ["model", "dataset", "code"];
    assert_eq!(page(&["name-10050"; 3], &all, &none, first).await, both);
    assert_eq!(page(&none, &none, &all, first).await, both);
    assert_eq!(page(&none, &none, &all, behind).await, both);

    let places = vec!["100007/", "100009/"];
    let keys = vec!["key-10007", "key-10009"];
    let given: [Parameter<'_>; 1] = [(&places, Type::TEXT_ARRAY)];
    let looked: [Parameter<'_>; 2] = [(&none, Type::TEXT_ARRAY), (&limit, Type::INT8)];
    assert_eq!(
        plan(&sql, super::STANDING, &looked).await,
        "registry_artifact_pkey, registry_unsettled_due"
    );
    assert_eq!(
        plan(&sql, healing::KNOWN, &given).await,
        "registry_artifact_pkey, registry_unsettled_pkey"
    );
    assert_eq!(
        plan(&sql, members::BY_ID, &given).await,
        "registry_artifact_pkey"
    );
    assert_eq!(
        plan(&sql, members::BY_KEY, &[(&keys, Type::TEXT_ARRAY)]).await,
        "registry_artifact_pkey, registry_relation_pkey"
    );
    let referring: [Parameter<'_>; 3] = [
        (&keys, Type::TEXT_ARRAY),
        (&first, Type::TEXT),
        (&limit, Type::INT8),
    ];
    assert_eq!(
        plan(&sql, members::REFERRING, &referring).await,
        "registry_artifact_pkey, registry_relation_pkey"
    );
}

#[tokio::test]
async fn a_change_costs_the_same_however_many_artifacts_there_are() {
    let (_postgres, sql) = database().await;
    let writer = uuid::Uuid::from_bytes([7; 16]);
    let places = vec!["100007/"];
    let seconds = 2.0;
    let announced: [Parameter<'_>; 4] = [
        (&places, Type::TEXT_ARRAY),
        (&writer, Type::UUID),
        (&seconds, Type::FLOAT8),
        (&seconds, Type::FLOAT8),
    ];
    assert_eq!(
        plan(&sql, announcement::ANNOUNCE, &announced).await,
        "registry_artifact_pkey"
    );
    assert_eq!(
        plan(&sql, announcement::TAKE_BACK, &announced[..2]).await,
        "registry_unsettled_pkey"
    );
    let gone = super::row::Row::gone(&"100007".parse().unwrap());
    let columns = super::row::Columns::of([(&gone, 1)]);
    let never = None::<time::OffsetDateTime>;
    let mut deletion: Vec<Parameter<'_>> = columns.parameters().into();
    deletion.push((&writer, Type::UUID));
    deletion.push((&never, Type::TIMESTAMPTZ));
    assert_eq!(
        plan(&sql, healing::WRITE, &deletion).await,
        "registry_relation_place, registry_unsettled_pkey"
    );
}

#[tokio::test]
async fn a_search_for_what_must_be_there_goes_by_its_index() {
    let (_postgres, sql) = database().await;
    for conditions in [
        vec![vec!["name-10050".to_owned()]],
        vec![vec!["deadbeef".to_owned(), "c0ffee".to_owned()]],
        vec![vec!["deadbeef".to_owned()], vec!["description".to_owned()]],
    ] {
        let filter = Filter::new(&conditions, 0);
        let statement = filter.candidates();
        let parameters: Vec<Parameter<'_>> = filter
            .texts
            .iter()
            .map(|text| -> Parameter<'_> { (text, Type::TEXT) })
            .collect();
        assert_eq!(
            plan(&sql, &statement, &parameters).await,
            "registry_artifact_text",
            "{conditions:?}"
        );
    }
    let (kind, after) = ("model", "110000/");
    let parameters: [Parameter<'_>; 2] = [(&kind, Type::TEXT), (&after, Type::TEXT)];
    let everything = Filter::new(&[], 2).some_of_a_kind();
    assert_eq!(
        plan(&sql, &everything, &parameters).await,
        "registry_artifact_kind"
    );
}

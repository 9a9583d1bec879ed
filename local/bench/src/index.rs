//! The registry's index with a thousand artifacts and with many, by the same requests.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use private_postgres::Cluster;
use registry::access::token::{Key, Keys};
use registry::artifact::{Id, Kind};
use registry::audit::{Actor, Trail};
use registry::index::Index;
use registry::index::rebuild::Order;
use registry::registry::{Draft, Registry, Span, Wanted};
use registry::store::{MemoryObjects, Objects};
use shared::database::{Database, Url};

use crate::Failure;
use crate::figures::median_milliseconds;
use crate::lambda::connect;
use crate::machine::free_port;

const FEW: usize = 1_000;
/// How often each request is made; the first ones only warm up.
const ROUNDS: usize = 40;
const WARM_UP: usize = 5;
/// Artifacts that have the same name.
const NAMESAKES: usize = 10;

/// Texts that descriptions are made of: 4,000 paragraphs of some 200 characters.
const PARAGRAPHS: &str = "
    create temporary table paragraph as
    select number, (
        select string_agg(substr(md5((number * 7 + word * 13 % 997)::text), 1, 3 + word % 6), ' ')
        from generate_series(1, 32) as word
    ) as text
    from generate_series(0, 3999) as number;
    create index on paragraph (number)";

/// What is asked.
const REQUESTS: [&str; 7] = [
    "exact name",
    "first page",
    "page at nine tenths",
    "registration",
    "deletion",
    "word of one README",
    "pattern of one name",
];

/// Measures the requests with a few artifacts and with `keys`.
pub(crate) async fn run(folder: &Path, keys: usize) -> Result<(), Failure> {
    let mut cluster = Cluster::persistent(&folder.join("index"), free_port()?).await?;
    println!(
        "index of the registry, milliseconds at the median: PostgreSQL over TCP, every commit forced to the disk; the\n\
         store answers at once, and holds only what is registered and deleted here.\n"
    );
    let mut columns = Vec::new();
    for artifacts in [FEW, keys] {
        let url = cluster.database(&format!("index_{artifacts}")).await?;
        let started = Instant::now();
        let registry = fill(&url, artifacts).await?;
        println!(
            "{artifacts} artifacts, made in {:.0} s",
            started.elapsed().as_secs_f64()
        );
        columns.push(measure(&registry, artifacts).await?);
    }
    println!("\n{:>24} {FEW:>10} {keys:>10}", "");
    for (request, name) in REQUESTS.iter().enumerate() {
        let times: Vec<f64> = columns
            .iter()
            .map(|column| median_milliseconds(&column[request]))
            .collect();
        println!("{name:>24} {:>10.2} {:>10.2}", times[0], times[1]);
    }
    println!("\ntargets: the second column like the first\n");
    cluster.stop().await;
    Ok(())
}

fn bench() -> Actor {
    Actor {
        name: "bench".to_owned(),
        is_admin: false,
    }
}

/// An index of so many artifacts.
async fn fill(url: &str, artifacts: usize) -> Result<Registry, Failure> {
    let address: Url = url.parse()?;
    let index = Index::new(Database::new(address.into()), "bench");
    let objects = Objects::Memory(MemoryObjects::default());
    let keys = Keys::new(Key::random()?, vec![], "bench", "bench");
    let registry = Registry::new(objects.clone(), Trail::new(objects, keys));
    let registry = registry.with_index(Some(Arc::new(index)));
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    registry.rebuild_index(&Order::default(), deadline).await?;
    let sql = connect(url).await?;
    // All at once, without the index of texts: it is made when they are there.
    sql.batch_execute(&format!(
        "create temporary table definition as select pg_get_indexdef('registry_artifact_text'::regclass) as text;
        drop index registry_artifact_text;
        {PARAGRAPHS};
        insert into registry_artifact (place, stamp, etag, name, kind, description, member, has_claim, format)
            select (1000000000 + artifact * 7919::bigint) || '/', 1, md5(artifact::text), 'name-' || artifact / {NAMESAKES},
                (array['model', 'dataset', 'code'])[1 + artifact % 3],
                one.text || ' ' || two.text || ' ' || three.text || ' needle' || artifact || 'x', '{{}}', true, 1
            from generate_series(1, {artifacts}) as artifact
                join paragraph as one on one.number = artifact * 31 % 4000
                join paragraph as two on two.number = artifact * 53 % 4000
                join paragraph as three on three.number = artifact * 97 % 4000;
        insert into registry_relation (key, is_reference, place)
            select 'name:model:name-' || artifact / {NAMESAKES}, false, (1000000000 + artifact * 7919::bigint) || '/'
            from generate_series(1, {artifacts}) as artifact"
    ))
    .await?;
    let row = sql.query_one("select text from definition", &[]).await?;
    sql.batch_execute(row.get(0)).await?;
    sql.batch_execute("vacuum analyze").await?;
    Ok(registry)
}

/// The times of each request, one after the other.
async fn measure(registry: &Registry, artifacts: usize) -> Result<Vec<Vec<Duration>>, Failure> {
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); REQUESTS.len()];
    let all = Wanted::default().name("*", &[]);
    let deep: Id = (1_000_000_000 + artifacts / 10 * 9 * 7919)
        .to_string()
        .parse()?;
    for round in 0..ROUNDS {
        // Another artifact each time.
        let artifact = (round * 104_729 + 17) % artifacts / NAMESAKES * NAMESAKES + 1;
        let mut took = Vec::new();
        let mut started = Instant::now();
        let mut note = |found: usize, expected: usize| {
            took.push(started.elapsed());
            started = Instant::now();
            if found == expected {
                Ok(())
            } else {
                Err(Failure::from(format!("{found} found, not {expected}")))
            }
        };
        let name = format!("name-{}", artifact / NAMESAKES);
        let found = registry.by_name(&name.parse()?).await?.len();
        note(found.clamp(NAMESAKES - 1, NAMESAKES), found)?;
        for after in [None, Some(deep.clone())] {
            let after = after.map(registry::cursor::Cursor::Behind);
            let span = Span {
                after,
                limit: Some(100),
            };
            note(registry.query(&all, &span).await?.artifacts.len(), 100)?;
        }
        let draft = Draft {
            kind: Kind::Code,
            name: Some("bench".parse()?),
            source: format!("https://example.com/{round}").parse()?,
            user: bench(),
        };
        let (record, _) = registry.create(draft).await?;
        note(1, 1)?;
        registry.delete(Kind::Code, &record.id, &bench()).await?;
        note(1, 1)?;
        let needle = format!(".*needle{artifact}x.*");
        note(registry.by_regex(&needle).await?.len(), 1)?;
        let found = registry.by_regex(&format!("^{name}$")).await?.len();
        note(found.clamp(NAMESAKES - 1, NAMESAKES), found)?;
        if round >= WARM_UP {
            for (times, took) in times.iter_mut().zip(took) {
                times.push(took);
            }
        }
    }
    Ok(times)
}

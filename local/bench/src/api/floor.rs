//! The least that an operation can take: its calls of storage, alone.

use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use tokio_postgres::types::Type;

use super::artifacts::{id, key};
use super::calls::{Call, Counts};
use crate::Failure;
use crate::figures::median;

/// A row by its key.
pub(super) const SELECT: &str = "select place, name, kind from registry_artifact where place = $1";
/// A row by its key, written: what counting a call is.
pub(super) const UPSERT: &str = "
    insert into bench_floor as known (token, calls) values ($1, 1)
    on conflict (token) do update set calls = known.calls + 1 returning calls";

/// The time of each call of storage, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Floor {
    s3: [Vec<f64>; 5],
    select: Vec<f64>,
    upsert: Vec<f64>,
}

impl Floor {
    /// Makes each call once.
    pub(super) async fn measure(
        &mut self,
        client: &Client,
        bucket: &str,
        sql: Option<&tokio_postgres::Client>,
        number: usize,
    ) -> Result<(), Failure> {
        let own = format!("floor/{number}");
        let body = vec![b'x'; 1024];
        for (call, times) in Call::ALL.into_iter().zip(&mut self.s3) {
            let started = Instant::now();
            match call {
                Call::Get => {
                    let got = client.get_object().bucket(bucket).key(key(number)).send();
                    got.await?.body.collect().await?;
                }
                Call::Head => {
                    let head = client.head_object().bucket(bucket).key(key(number));
                    head.send().await?;
                }
                Call::List => {
                    let list = client.list_objects_v2().bucket(bucket).prefix(key(number));
                    list.send().await?;
                }
                Call::Write => {
                    let put = client.put_object().bucket(bucket).key(&own);
                    let put = put.if_none_match("*").body(body.clone().into());
                    put.send().await?;
                }
                Call::Delete => {
                    client
                        .delete_object()
                        .bucket(bucket)
                        .key(&own)
                        .send()
                        .await?;
                }
            }
            times.push(milliseconds(started));
        }
        if let Some(sql) = sql {
            let place = format!("{}/", id(number));
            let started = Instant::now();
            sql.query_typed(SELECT, &[(&place, Type::TEXT)]).await?;
            self.select.push(milliseconds(started));
            let token = "one of the bench";
            let started = Instant::now();
            sql.query_typed(UPSERT, &[(&token, Type::TEXT)]).await?;
            self.upsert.push(milliseconds(started));
        }
        Ok(())
    }

    /// What these calls take one after the other, in milliseconds.
    pub(super) fn of(&self, counts: &Counts, reads: usize, writes: usize) -> f64 {
        let times = |times: &[f64], count: usize| match count {
            0 => 0.0,
            count => median(times) * f64::from(u32::try_from(count).unwrap_or(u32::MAX)),
        };
        let s3 = self.s3.iter().zip(counts);
        s3.map(|(call, count)| times(call, *count)).sum::<f64>()
            + times(&self.select, reads)
            + times(&self.upsert, writes)
    }

    /// The medians, to be read.
    pub(super) fn told(&self) -> String {
        let s3 = Call::ALL.into_iter().zip(&self.s3);
        let mut told: Vec<String> = s3
            .map(|(call, times)| format!("{} {:.2}", call.name(), median(times)))
            .collect();
        if !self.select.is_empty() {
            told.push(format!("SELECT by key {:.2}", median(&self.select)));
            told.push(format!("durable upsert by key {:.2}", median(&self.upsert)));
        }
        told.join(", ")
    }
}

/// The table that [`UPSERT`] writes.
pub(super) async fn prepare(sql: &tokio_postgres::Client) -> Result<(), Failure> {
    let table = "create table bench_floor (token text primary key, calls integer not null)";
    Ok(sql.batch_execute(table).await?)
}

fn milliseconds(started: Instant) -> f64 {
    let took: Duration = started.elapsed();
    took.as_secs_f64() * 1e3
}

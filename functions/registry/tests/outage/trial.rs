//! One operation, broken at each of its requests in turn.

use axum::Router;
use testkit::Fault;

use crate::effect::{examine, stands};
use crate::invariant;
use crate::network::{Network, Trouble};
use crate::operation::{Effect, Operation, Subject};
use crate::report::{Case, Report};
use crate::support::client::request;
use crate::world::{Answer, Universe, World, answer, settled};

/// More requests than any operation makes.
const MOST: usize = 60;
/// Each look at the trail makes it longer, so whoever reads all of it has no last request.
const MOST_OF_NOW: usize = 16;
/// What PostgreSQL is told at the end of each request: the message `Sync`.
const SYNC: &[u8] = b"S\0\0\0\x04";
/// What nobody outside has to know.
const SECRETS: [&str; 12] = [
    "127.0.0.1",
    "s3://",
    "artifacts/",
    "claims/",
    "users/",
    "Object",
    "SlowDown",
    "InternalError",
    "by the test",
    "postgres",
    "registry_",
    "connection",
];

/// Breaks an operation in all ways at all of its requests to S3: without an index by an instance that is new, so that the
/// first one asks for the bucket.
pub(crate) async fn break_s3(universe: &Universe, operation: &Operation, report: &Report) {
    let troubles = if operation.only_tells() {
        &Trouble::OF_READING[..]
    } else {
        &Trouble::ALL
    };
    for &trouble in troubles {
        let world = universe.world().await;
        let mut subject = Subject::default();
        for number in 1.. {
            assert!(number < MOST, "{operation:?} has no end");
            let case = report.case(operation, &format!("{trouble:?} at request {number} to S3"));
            // Others would be read as well, and entries of the trail.
            if number == 1 || operation.effect != Effect::Tells {
                subject = Subject::new(&world, number, operation).await;
            }
            let network = Network::new(&world.store, trouble, number);
            let router = world.instance(network.s3(), None);
            if universe.has_index() {
                settled(&router, &world.observer.admin).await;
            }
            network.begin();
            let said = ask(&world, &router, operation, &subject).await;
            network.end().await;
            let is_broken = network.is_broken();
            let is_done = judge(&case, operation, &said, is_broken);
            if trouble == Trouble::Late {
                network.deliver().await;
            }
            world.let_changes_fall_due().await;
            invariant::check(&case, &world).await;
            let facts = examine(&case, &world, operation, &subject, &said, is_done).await;
            if trouble == Trouble::VeryLate && network.deliver().await {
                invariant::check(&case, &world).await;
                stands(&case, &world, &facts).await;
            }
            stands_later(&case, &world).await;
            if !is_broken || is_enough(operation, number) {
                break;
            }
        }
        let end = report.case(operation, "at the end");
        invariant::check_at_the_end(&end, &world).await;
    }
}

/// Breaks an operation in all ways at all of its requests to the database, by an instance that has been there before.
pub(crate) async fn break_database(universe: &Universe, operation: &Operation, report: &Report) {
    for (is_carried_out, is_lasting) in [(false, false), (false, true), (true, false), (true, true)]
    {
        let world = universe.world().await;
        let mut subject = Subject::default();
        for number in 1.. {
            assert!(number < MOST, "{operation:?} has no end");
            let trouble = Fault::BreakAt {
                request: number,
                ending: SYNC.to_vec(),
                is_carried_out,
                is_lasting,
            };
            let case = report.case(
                operation,
                &format!("request {number} to the database (carried out: {is_carried_out}, the last: {is_lasting})"),
            );
            // Others would be read as well, and entries of the trail.
            if number == 1 || operation.effect != Effect::Tells {
                subject = Subject::new(&world, number, operation).await;
            }
            let proxy = universe.proxy().await;
            // Nothing happens on the way to S3.
            let network = Network::new(&world.store, Trouble::Refused, usize::MAX);
            let router = world.instance(network.s3(), Some(&proxy));
            settled(&router, &world.observer.admin).await;
            proxy.set(trouble.clone());
            let said = ask(&world, &router, operation, &subject).await;
            let is_broken = proxy.fault() != trouble;
            drop(proxy);
            network.end().await;
            let is_done = judge(&case, operation, &said, is_broken);
            world.let_changes_fall_due().await;
            invariant::check(&case, &world).await;
            examine(&case, &world, operation, &subject, &said, is_done).await;
            stands_later(&case, &world).await;
            if !is_broken || is_enough(operation, number) {
                break;
            }
        }
        let end = report.case(operation, "at the end");
        invariant::check_at_the_end(&end, &world).await;
    }
}

/// A minute later everything is in its place as well.
async fn stands_later(case: &Case<'_>, world: &World<'_>) {
    world.let_a_minute_pass().await;
    invariant::check(case, world).await;
}

/// Whether an operation that has more to read each time was broken often enough.
fn is_enough(operation: &Operation, number: usize) -> bool {
    operation.effect == Effect::TellsOfNow && number == MOST_OF_NOW
}

async fn ask(
    world: &World<'_>,
    router: &Router,
    operation: &Operation,
    subject: &Subject,
) -> Answer {
    let token = subject.token.as_ref().unwrap_or(&world.observer.admin);
    let (path, body) = (subject.fill(operation.path), subject.fill(operation.body));
    answer(router, request(operation.method, &path, Some(token), &body)).await
}

/// Whether the operation was acknowledged. If not, the client must be told to come back, and nothing else.
fn judge(case: &Case<'_>, operation: &Operation, said: &Answer, is_broken: bool) -> bool {
    if said.status == operation.success {
        return true;
    }
    let header = |name| said.headers.get(name).and_then(|value| value.to_str().ok());
    case.check(is_broken, || {
        format!("nothing was wrong, and yet: {said:?}")
    });
    case.check(said.status == 503, || format!("answered {said:?}"));
    case.check(header("retry-after").is_some(), || {
        format!("no Retry-After: {said:?}")
    });
    case.check(
        header("content-type") == Some("application/problem+json"),
        || format!("no problem: {said:?}"),
    );
    for secret in SECRETS {
        case.check(!said.text.contains(secret), || {
            format!("{secret} is told: {said:?}")
        });
    }
    false
}

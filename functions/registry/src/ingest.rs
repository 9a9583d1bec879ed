//! How artifacts are taken in: who is asked about them, for how long, and how good a model must be.

use std::str::FromStr;
use std::time::Duration;

use shared::config::{Env, FromEnv};
use tokio::time::Instant;

use crate::artifact::Kind;
use crate::evidence::{Card, Evidence, Outcome, Request};
use crate::license::Terms;
use crate::source::Source;
use crate::upstream::{self, Upstream};

/// Seconds for the sources, if nobody says: a third of what API Gateway waits.
const PATIENCE: u64 = 8;
/// The most that leaves time for the store.
const MOST_PATIENCE: u64 = 20;

/// The most that is kept of an artifact's own README and metadata, in bytes.
const MAX_README: usize = 1 << 20;
const MAX_METADATA: usize = 2 << 20;
/// The same of what it only links to.
const MAX_OTHER_README: usize = 100_000;
const MAX_OTHER_METADATA: usize = 10_000;
/// The most tags that are kept, and the longest, in bytes.
const MAX_TAGS: usize = 1000;
const MAX_TAG: usize = 500;

/// How artifacts are taken in.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Where the sources are asked, and as whom.
    pub upstream: upstream::Settings,
    /// How long the sources may take: `INGEST_SECONDS`. With no time, which is the default here, nobody is asked.
    pub patience: Duration,
    /// What every score of a model must reach: `INGEST_GATE`. Without one, any model is taken.
    pub gate: Option<Threshold>,
}

impl FromEnv for Settings {
    fn from_env(env: &mut Env) -> Option<Self> {
        let upstream = upstream::Settings::from_env(env);
        let patience = env.or("INGEST_SECONDS", Patience(PATIENCE));
        let gate = env.optional("INGEST_GATE");
        Some(Self {
            upstream: upstream?,
            patience: Duration::from_secs(patience?.0),
            gate: gate?,
        })
    }
}

/// A score that is good enough, above 0 and up to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Threshold(f64);

impl Threshold {
    /// What the contract's `POST /models/ingest` asks of a model.
    pub const HALF: Self = Self(0.5);

    /// The score.
    pub fn score(self) -> f64 {
        self.0
    }

    /// The stricter one.
    pub(crate) fn or(self, other: Option<Self>) -> Self {
        Self(other.map_or(self.0, |other| self.0.max(other.0)))
    }
}

impl FromStr for Threshold {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let score: f64 = text.parse().unwrap_or(f64::NAN);
        if score > 0.0 && score <= 1.0 {
            Ok(Self(score))
        } else {
            Err("it must be a score above 0 and up to 1, such as 0.5")
        }
    }
}

struct Patience(u64);

impl FromStr for Patience {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(seconds) if seconds <= MOST_PATIENCE => Ok(Self(seconds)),
            _ => Err("it must be 0 to 20 seconds"),
        }
    }
}

/// Who is asked about artifacts that are taken in.
#[derive(Debug)]
pub struct Ingest {
    upstream: Upstream,
    patience: Duration,
    gate: Option<Threshold>,
}

impl Ingest {
    /// Nothing is connected before the first question.
    pub fn new(settings: &Settings) -> Self {
        Self {
            upstream: Upstream::new(&settings.upstream),
            patience: settings.patience,
            gate: settings.gate,
        }
    }

    /// What every score of a model must reach.
    pub(crate) fn gate(&self) -> Option<Threshold> {
        self.gate
    }

    /// What can be found out in time; `None` if nobody is to be asked. It never fails.
    pub(crate) async fn look(&self, source: &Source, kind: Kind) -> Option<Evidence> {
        if self.patience.is_zero() {
            return None;
        }
        let mut evidence = self.upstream.look(source, kind, self.deadline()).await;
        limit(&mut evidence);
        Some(evidence)
    }

    /// The licence of a repository, or how asking for it went wrong.
    pub(crate) async fn license_of(&self, owner: &str, name: &str) -> (Option<Terms>, Request) {
        if self.patience.is_zero() {
            let request = Request {
                outcome: Outcome::Refused,
                detail: Some("nobody is to be asked".to_owned()),
                ..Request::default()
            };
            return (None, request);
        }
        self.upstream.license_of(owner, name, self.deadline()).await
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.patience
    }
}

/// Leaves out what no honest page has so much of: whoever writes a page must not decide how large our records are.
fn limit(evidence: &mut Evidence) {
    if let Some(card) = &mut evidence.hub {
        limit_card(card, MAX_README, MAX_METADATA);
    }
    for card in &mut evidence.datasets {
        // Only how good it is counts.
        limit_card(card, MAX_OTHER_README, MAX_OTHER_METADATA);
        card.files = Vec::new();
    }
    let most = if evidence.hub.is_some() {
        MAX_OTHER_README
    } else {
        MAX_README
    };
    if let Some(project) = &mut evidence.github {
        cut(&mut project.readme, most);
    }
}

fn limit_card(card: &mut Card, readme: usize, metadata: usize) {
    cut(&mut card.readme, readme);
    card.tags.truncate(MAX_TAGS);
    card.tags.retain(|tag| tag.len() <= MAX_TAG);
    card.config_parents.truncate(MAX_TAGS);
    card.config_parents.retain(|parent| parent.len() <= MAX_TAG);
    let mut left = metadata;
    card.card_data.retain(|name, value| {
        let size = name.len() + value.to_string().len();
        let fits = size <= left;
        left -= if fits { size } else { 0 };
        fits
    });
}

fn cut(text: &mut Option<String>, most: usize) {
    if let Some(text) = text {
        text.truncate(text.floor_char_boundary(most));
    }
}

impl Default for Ingest {
    /// Takes everything, and asks nobody.
    fn default() -> Self {
        Self::new(&Settings::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Project;

    #[test]
    fn sources_have_eight_seconds_and_every_model_is_taken_unless_told_otherwise() {
        let settings = Settings::read(Env::default()).unwrap();
        assert_eq!(
            (settings.patience, settings.gate),
            (Duration::from_secs(8), None)
        );
        let told = [("INGEST_SECONDS", "0"), ("INGEST_GATE", "0.5")];
        let settings = Settings::read(Env::new(told)).unwrap();
        assert_eq!(
            (settings.patience, settings.gate),
            (Duration::ZERO, Some(Threshold::HALF))
        );
    }

    #[test]
    fn what_cannot_be_kept_to_is_refused() {
        for (name, value) in [
            ("INGEST_SECONDS", "21"),
            ("INGEST_SECONDS", "-1"),
            ("INGEST_SECONDS", "soon"),
            ("INGEST_GATE", "0"),
            ("INGEST_GATE", "1.1"),
            ("INGEST_GATE", "NaN"),
            ("INGEST_GATE", "half"),
        ] {
            let error = Settings::read(Env::new([(name, value)])).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn no_page_decides_how_large_a_record_is() {
        let page = || Card {
            readme: Some("ü".repeat(2_000_001)),
            tags: vec!["tag".repeat(100); 100_000],
            config_parents: vec!["x".repeat(1000); 100_000],
            card_data: (0..100)
                .map(|number| (format!("key{number}"), "x".repeat(100_000).into()))
                .chain([("license".to_owned(), "mit".into())])
                .collect(),
            ..Card::default()
        };
        let mut evidence = Evidence {
            hub: Some(page()),
            github: Some(Project {
                readme: page().readme,
                ..Project::default()
            }),
            datasets: vec![page(); 3],
            ..Evidence::default()
        };
        limit(&mut evidence);
        let size = serde_json::to_vec(&evidence).unwrap().len();
        assert!(size < 5_000_000, "{size}");
        let card = evidence.hub.unwrap();
        assert_eq!(card.readme.unwrap().len(), 1 << 20);
        assert!(card.card_data.len() > 10);
        let license = evidence.datasets[0].license().expression;
        assert_eq!(license.as_deref(), Some("MIT"), "small metadata is kept");
    }

    #[test]
    fn the_stricter_of_two_thresholds_counts() {
        let strict = Threshold(0.7);
        assert_eq!(Threshold::HALF.or(Some(strict)), strict);
        assert_eq!(strict.or(Some(Threshold::HALF)), strict);
        assert_eq!(Threshold::HALF.or(None), Threshold::HALF);
    }
}

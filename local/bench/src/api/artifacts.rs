//! The artifacts that the registry is asked about: models that differ by a number, each as the registry has written one
//! of them.

use std::time::Duration;

use registry::access::token::{Key, Keys};
use registry::artifact::{Id, Kind};
use registry::audit::{Actor, Trail};
use registry::ingest::{Ingest, Settings};
use registry::record::{Record, Stored};
use registry::registry::{Draft, Registry};
use registry::store::{MemoryObjects, Objects};
use registry::upstream;
use serde_json::json;
use testkit::Upstream;

use crate::Failure;

/// A model and those that are made from it.
const FAMILY: usize = 10;
/// Stands for the number of an artifact, of its parent, and for what its README says.
const NUMBER: &str = "0123456";
const PARENT: &str = "6543210";
const README: &str = "@readme@";
/// READMEs are made of some of so many paragraphs.
const PARAGRAPHS: usize = 4_000;
const WORDS: usize = 32;

/// One record, to make others of.
pub(super) struct Mould {
    text: String,
    id: Id,
    paragraphs: Vec<String>,
}

impl Mould {
    /// Registers a model in memory, with what a Hub on this machine says of it.
    pub(super) async fn cast() -> Result<Self, Failure> {
        let sources = Upstream::start().await;
        let entry = json!({
            "sha": "86b5e0934494bd15c9632b12f734a8a67f723594",
            "downloads": 12_000,
            "likes": 24,
            "lastModified": "2024-02-19T11:06:12.000Z",
            "pipeline_tag": "fill-mask",
            "library_name": "transformers",
            "tags": ["license:apache-2.0", format!("dataset:bench/data-{PARENT}")],
            "cardData": { "license": "apache-2.0", "base_model": format!("bench/model-{PARENT}") },
            "siblings": [
                { "rfilename": "model.safetensors", "size": 440_449_768 },
                { "rfilename": "config.json", "size": 570 },
            ],
        });
        let name = format!("bench/model-{NUMBER}");
        sources.model(&name, &entry, README, &json!({ "model_type": "bert" }));
        let objects = Objects::Memory(MemoryObjects::default());
        let keys = Keys::new(Key::random()?, vec![], "bench", "bench");
        let settings = Settings {
            upstream: upstream::Settings {
                hugging_face: sources.hub().parse()?,
                github: sources.github().parse()?,
                ..upstream::Settings::default()
            },
            patience: Duration::from_mins(1),
            gate: None,
        };
        let ingest = Ingest::new(&settings).into();
        let registry = Registry::new(objects.clone(), Trail::new(objects, keys)).asking(ingest);
        let draft = Draft {
            kind: Kind::Model,
            name: None,
            source: format!("https://huggingface.co/{name}").parse()?,
            user: Actor {
                name: "bench".to_owned(),
                is_admin: false,
            },
        };
        let (record, _) = registry.create(draft).await?;
        let text = String::from_utf8(record.to_bytes())?;
        for part in [NUMBER, PARENT, README] {
            if !text.contains(part) {
                return Err(format!("{part} is not in {text}").into());
            }
        }
        Ok(Self {
            text,
            id: record.id,
            paragraphs: (0..PARAGRAPHS).map(paragraph).collect(),
        })
    }

    /// What the object of an artifact holds.
    pub(super) fn bytes(&self, number: usize) -> Vec<u8> {
        let text = self.text.replace(NUMBER, &number.to_string());
        let text = match parent(number) {
            Some(parent) => text.replace(PARENT, &parent.to_string()),
            // Nobody has registered that one.
            None => text.replace(PARENT, &format!("of-{number}")),
        };
        let text = text.replace(README, &self.readme(number));
        text.replace(self.id.as_str(), &id(number)).into_bytes()
    }

    /// The artifact, as the registry reads it.
    pub(super) fn record(&self, number: usize) -> Result<Record, Failure> {
        let id: Id = id(number).parse()?;
        match Stored::parse(&id, &self.bytes(number))? {
            Stored::Artifact(record) => Ok(*record),
            Stored::Withdrawn { .. } => Err("a record is none".into()),
        }
    }

    fn readme(&self, number: usize) -> String {
        let [one, two, three] =
            [31, 53, 97].map(|factor| self.paragraphs[number * factor % PARAGRAPHS].as_str());
        format!("{one} {two} {three} {}", word(number))
    }
}

/// The number of the artifact that this one was made from, unless it is the first of a family.
pub(super) fn parent(number: usize) -> Option<usize> {
    let parent = number / FAMILY * FAMILY;
    (parent > 0 && parent < number).then_some(parent)
}

/// The id of an artifact. The order of ids is that of numbers.
pub(super) fn id(number: usize) -> String {
    (1_000_000_000 + number * 7919).to_string()
}

/// The key of its object.
pub(super) fn key(number: usize) -> String {
    format!("artifacts/{}/metadata.json", id(number))
}

/// What it is called.
pub(super) fn name(number: usize) -> String {
    format!("model-{number}")
}

/// What is said in its README and nowhere else.
pub(super) fn word(number: usize) -> String {
    format!("needle{number}x")
}

/// Some 200 characters in words of three to eight letters and digits, other ones for each number.
fn paragraph(number: usize) -> String {
    let words = (0..WORDS).map(|word| {
        // Numerical Recipes' quick generator: what is random here need only differ.
        let seed = u64::try_from(number * 7 + word * 13 % 997).unwrap_or_default();
        let mixed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let text = format!("{:016x}", mixed ^ (mixed >> 29));
        text.chars().skip(4).take(3 + word % 6).collect::<String>()
    });
    words.collect::<Vec<_>>().join(" ")
}

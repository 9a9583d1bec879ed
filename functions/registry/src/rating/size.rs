//! Whether a model fits on a device.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{Explained, real, rounded};
use crate::evidence::{Card, Evidence};

/// The four scores, in the fields of the contract.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SizeScore {
    /// A Raspberry Pi.
    pub raspberry_pi: f64,
    /// An NVIDIA Jetson Nano.
    pub jetson_nano: f64,
    /// A desktop computer.
    pub desktop_pc: f64,
    /// A server at AWS.
    pub aws_server: f64,
}

impl SizeScore {
    /// The mean of the four.
    pub fn mean(&self) -> f64 {
        (self.raspberry_pi + self.jetson_nano + self.desktop_pc + self.aws_server) / 4.0
    }
}

/// What a device bears: `1 / (1 + (size / half)^slope)`.
#[derive(Debug, Clone, Copy)]
pub struct Device {
    /// The size in bytes that scores one half.
    pub half: f64,
    /// How suddenly it gets too much.
    pub slope: f64,
}

// Fitted to the samples of registry ratings that are published: of 440 MB .20, .40, .95, 1.00 and of 151 MB .90,
// .95, 1.00, 1.00.
const RASPBERRY_PI: Device = Device {
    half: 290e6,
    slope: 3.3,
};
const JETSON_NANO: Device = Device {
    half: 387e6,
    slope: 3.1,
};
const DESKTOP_PC: Device = Device {
    half: 1.9e9,
    slope: 2.0,
};
const AWS_SERVER: Device = Device {
    half: 20e9,
    slope: 2.0,
};

/// The formats of weights, the one that is loaded first if there are several.
const FORMATS: [&str; 9] = [
    "safetensors",
    "bin",
    "gguf",
    "pt",
    "pth",
    "onnx",
    "h5",
    "msgpack",
    "tflite",
];

const RULE: &str = "1 / (1 + (size / half)^slope) of the weights in the format that is loaded, or of all files if there are no \
    weights; half and slope are 290 MB and 3.3 for a Raspberry Pi, 387 MB and 3.1 for a Jetson Nano, 1.9 GB and 2 for a \
    desktop, 20 GB and 2 for a server; 0 for an unknown size";

impl Device {
    /// How well a model of so many bytes fits.
    pub fn fit(&self, bytes: u64) -> f64 {
        rounded(1.0 / (1.0 + (real(bytes) / self.half).powf(self.slope)))
    }
}

pub(super) fn scores(evidence: &Evidence) -> (SizeScore, Explained) {
    let weights = evidence.hub.as_ref().and_then(weights);
    let bytes = weights
        .map(|(_, bytes)| bytes)
        .or_else(|| evidence.hub.as_ref()?.bytes);
    let scores = bytes.map_or_else(SizeScore::default, |bytes| SizeScore {
        raspberry_pi: RASPBERRY_PI.fit(bytes),
        jetson_nano: JETSON_NANO.fit(bytes),
        desktop_pc: DESKTOP_PC.fit(bytes),
        aws_server: AWS_SERVER.fit(bytes),
    });
    let explained = Explained::new(
        scores.mean(),
        RULE,
        [
            ("bytes", json!(bytes)),
            ("format", json!(weights.map(|(format, _)| format))),
        ],
    );
    (scores, explained)
}

/// The size of the weights in the format that is loaded.
fn weights(card: &Card) -> Option<(&'static str, u64)> {
    FORMATS.into_iter().find_map(|format| {
        let is_of_format = |path: &str| {
            Path::new(path)
                .extension()
                .is_some_and(|end| end.eq_ignore_ascii_case(format))
        };
        let sizes = card
            .files
            .iter()
            .filter(|file| is_of_format(&file.path))
            .filter_map(|file| file.size);
        // Of GGUF, each file is a whole model.
        let bytes = if format == "gguf" {
            sizes.min()
        } else {
            Some(sizes.fold(0, u64::saturating_add))
        };
        bytes
            .filter(|bytes| *bytes > 0)
            .map(|bytes| (format, bytes))
    })
}

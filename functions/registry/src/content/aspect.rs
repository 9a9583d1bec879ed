use std::fmt;
use std::str::FromStr;

use super::FilePath;

/// Which files of an artifact are asked for.
///
/// Each file is of one aspect, by the last extension of its name that is not of a compression (`train.csv.gz` is as
/// `train.csv`): weights and data are what is listed here, code is everything else, so the documentation,
/// configuration and tokenizer of a model as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aspect {
    /// All of them.
    Full,
    /// Parameters of models, and the index of those that are in several files.
    Weights,
    /// Tables, records, and collections of media.
    Datasets,
    /// What is neither.
    Code,
}

const WEIGHTS: [&str; 23] = [
    "bin",
    "caffemodel",
    "ckpt",
    "engine",
    "ggml",
    "gguf",
    "h5",
    "hdf5",
    "keras",
    "llamafile",
    "mlmodel",
    "mlpackage",
    "msgpack",
    "nemo",
    "onnx",
    "ot",
    "params",
    "pb",
    "pdparams",
    "pt",
    "pth",
    "safetensors",
    "tflite",
];
const DATASETS: [&str; 37] = [
    "7z", "arff", "arrow", "avi", "avro", "bmp", "csv", "feather", "flac", "gif", "jpeg", "jpg",
    "jsonl", "lance", "lmdb", "mkv", "mov", "mp3", "mp4", "ndjson", "npy", "npz", "ogg", "orc",
    "parquet", "png", "rar", "sqlite", "tar", "tfrecord", "tgz", "tif", "tiff", "tsv", "wav",
    "webp", "zip",
];
const COMPRESSIONS: [&str; 5] = ["bz2", "gz", "lz4", "xz", "zst"];

impl Aspect {
    /// As clients write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Weights => "weights",
            Self::Datasets => "datasets",
            Self::Code => "code",
        }
    }

    /// Whether a file is of this aspect.
    pub fn has(self, path: &FilePath) -> bool {
        self == Self::Full || self == Self::of(path)
    }

    /// Which one a file is of; never all.
    fn of(path: &FilePath) -> Self {
        let name = path.name().to_ascii_lowercase();
        if name.ends_with(".index.json") {
            // Says in which of several files a tensor is.
            return Self::Weights;
        }
        let mut extensions = name.split('.').skip(1).collect::<Vec<_>>();
        while let Some(last) = extensions.pop() {
            if WEIGHTS.contains(&last) {
                return Self::Weights;
            }
            if DATASETS.contains(&last) {
                return Self::Datasets;
            }
            if !COMPRESSIONS.contains(&last) {
                return Self::Code;
            }
        }
        Self::Code
    }
}

impl fmt::Display for Aspect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Why a text names no aspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the aspect must be full, weights, datasets or code")]
pub struct InvalidAspect;

impl FromStr for Aspect {
    type Err = InvalidAspect;

    fn from_str(text: &str) -> Result<Self, InvalidAspect> {
        match text {
            "" | "full" => Ok(Self::Full),
            "weights" => Ok(Self::Weights),
            "datasets" => Ok(Self::Datasets),
            "code" => Ok(Self::Code),
            _ => Err(InvalidAspect),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_of_one_aspect() {
        for (path, aspect) in [
            ("model.safetensors", Aspect::Weights),
            ("pytorch_model-00001-of-00002.BIN", Aspect::Weights),
            ("model.safetensors.index.json", Aspect::Weights),
            ("onnx/model.onnx", Aspect::Weights),
            ("weights.pth.gz", Aspect::Weights),
            ("data/train.parquet", Aspect::Datasets),
            ("train.csv.gz", Aspect::Datasets),
            ("shards/00000.tar", Aspect::Datasets),
            ("all.tar.gz", Aspect::Datasets),
            ("all.tgz", Aspect::Datasets),
            ("README.md", Aspect::Code),
            ("config.json", Aspect::Code),
            ("train.py", Aspect::Code),
            ("LICENSE", Aspect::Code),
            (".gitattributes", Aspect::Code),
            ("data.csv/notes", Aspect::Code),
            ("notes.gz", Aspect::Code),
        ] {
            let path: FilePath = path.parse().unwrap();
            assert_eq!(Aspect::of(&path), aspect, "{path}");
            assert!(Aspect::Full.has(&path) && aspect.has(&path));
        }
    }

    #[test]
    fn aspects_are_read_as_they_are_written() {
        for aspect in [
            Aspect::Full,
            Aspect::Weights,
            Aspect::Datasets,
            Aspect::Code,
        ] {
            assert_eq!(aspect.as_str().parse(), Ok(aspect));
        }
        assert_eq!("".parse(), Ok(Aspect::Full));
        assert_eq!("Full".parse::<Aspect>(), Err(InvalidAspect));
    }
}

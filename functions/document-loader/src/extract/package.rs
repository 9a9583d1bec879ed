//! Packages of Office Open XML (ECMA-376 part 2): parts, and how they relate.

use std::io::{Read, Seek};

use crate::extract::archive::Archive;
use crate::extract::limits::Limits;
use crate::extract::refusal::Refusal;
use crate::extract::xml::{self, Xml};

/// A package that is read within limits.
pub(crate) struct Package<R> {
    archive: Archive<R>,
}

/// That one part uses another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relationship {
    pub(crate) id: String,
    /// The last segment of its type, such as `styles`. What is before it differs between editions of the standard.
    pub(crate) kind: String,
    /// The name of the other part.
    pub(crate) target: String,
}

impl<R: Read + Seek> Package<R> {
    pub(crate) fn open(source: R, limits: &Limits) -> Result<Self, Refusal> {
        let archive = Archive::open(source, limits)?;
        Ok(Self { archive })
    }

    /// The content of a part.
    pub(crate) fn part(&mut self, name: &str) -> Result<Option<Vec<u8>>, Refusal> {
        self.archive.read(name)
    }

    /// The name of the part that is the document itself, and its content.
    pub(crate) fn main_part(&mut self) -> Result<(String, Vec<u8>), Refusal> {
        let missing = || Refusal::damaged("it has no main part");
        let name = self
            .relationships("")?
            .into_iter()
            .find(|relationship| relationship.kind == "officeDocument")
            .ok_or_else(missing)?
            .target;
        let content = self.part(&name)?.ok_or_else(missing)?;
        Ok((name, content))
    }

    /// The parts that a part uses. The package itself has the name "".
    pub(crate) fn relationships(&mut self, part: &str) -> Result<Vec<Relationship>, Refusal> {
        let (folder, file) = part.rsplit_once('/').unwrap_or(("", part));
        let slash = if folder.is_empty() { "" } else { "/" };
        let Some(content) = self.part(&format!("{folder}{slash}_rels/{file}.rels"))? else {
            return Ok(Vec::new());
        };
        let mut relationships = Vec::new();
        xml::walk(&content, |event| {
            if let Xml::Start(element) = event
                && element.name() == "Relationship"
                && element.attribute("TargetMode").as_deref() != Some("External")
                && let (Some(id), Some(kind), Some(target)) = (
                    element.attribute("Id"),
                    element.attribute("Type"),
                    element.attribute("Target"),
                )
            {
                let kind = kind.rsplit('/').next().unwrap_or_default().to_owned();
                let target = resolve(folder, &target);
                relationships.push(Relationship { id, kind, target });
            }
            Ok(())
        })?;
        Ok(relationships)
    }
}

/// The name of a part that a part in `folder` calls `target`.
fn resolve(folder: &str, target: &str) -> String {
    let mut segments: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => folder
            .split('/')
            .filter(|segment| !segment.is_empty())
            .collect(),
    };
    for segment in target.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    segments.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_relative_to_the_folder_of_the_part() {
        assert_eq!(resolve("word", "styles.xml"), "word/styles.xml");
        assert_eq!(resolve("ppt/slides", "../media/a.png"), "ppt/media/a.png");
        assert_eq!(resolve("word", "/xl/book.xml"), "xl/book.xml");
        assert_eq!(resolve("", "./word/a.xml"), "word/a.xml");
        assert_eq!(resolve("a", "../../../b.xml"), "b.xml");
    }
}

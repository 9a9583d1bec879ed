//! Which page and which sections a character is in.

use std::sync::Arc;

use crate::extract::{Mark, Place};

/// Answers for characters in the order of the text, or nearly: chunks may begin before the end of the one before.
pub(super) struct Places<'m> {
    marks: std::iter::Peekable<std::slice::Iter<'m, Mark>>,
    page: Option<u32>,
    /// Levels and titles, the outermost first.
    sections: Vec<(u8, String)>,
    headings: Arc<[String]>,
}

impl<'m> Places<'m> {
    pub(super) fn new(marks: &'m [Mark]) -> Self {
        Self {
            marks: marks.iter().peekable(),
            page: None,
            sections: Vec::new(),
            headings: Arc::new([]),
        }
    }

    /// The page and the titles of the sections of a character that is not before the last one asked for.
    pub(super) fn at(&mut self, offset: u64) -> (Option<u32>, Arc<[String]>) {
        let mut is_changed = false;
        while let Some(mark) = self.marks.next_if(|mark| mark.offset <= offset) {
            match &mark.place {
                Place::Page(number) => self.page = Some(*number),
                Place::Heading { level, title } => {
                    while self
                        .sections
                        .pop_if(|(above, _)| *above >= *level)
                        .is_some()
                    {}
                    self.sections.push((*level, title.clone()));
                    is_changed = true;
                }
            }
        }
        if is_changed {
            self.headings = self
                .sections
                .iter()
                .map(|(_, title)| title.clone())
                .collect();
        }
        (self.page, Arc::clone(&self.headings))
    }
}

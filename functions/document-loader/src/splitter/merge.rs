//! Puts small parts together again.

use std::collections::VecDeque;

use crate::splitter::Span;

/// Parts that follow each other, of which chunks are made. Holds no more than one chunk of them.
pub(super) struct Merge<'t> {
    text: &'t str,
    size: u64,
    overlap: u64,
    parts: VecDeque<Span>,
    /// The characters in all of them.
    length: u64,
}

impl<'t> Merge<'t> {
    pub(super) fn new(text: &'t str, size: u64, overlap: u64) -> Self {
        Self {
            text,
            size,
            overlap,
            parts: VecDeque::new(),
            length: 0,
        }
    }

    /// Adds the next part. If there is no room for it, what there is becomes a chunk, and of its end as much is kept as
    /// overlap and room allow.
    pub(super) fn push<E>(
        &mut self,
        part: Span,
        take: &mut impl FnMut(Span) -> Result<(), E>,
    ) -> Result<(), E> {
        let length = part.characters.end - part.characters.start;
        if self.length + length > self.size {
            self.take(take)?;
            while self.length > self.overlap || self.length + length > self.size {
                let Some(first) = self.parts.pop_front() else {
                    break;
                };
                self.length -= first.characters.end - first.characters.start;
            }
        }
        self.parts.push_back(part);
        self.length += length;
        Ok(())
    }

    /// Makes a chunk of what is left, and keeps nothing.
    pub(super) fn flush<E>(
        &mut self,
        take: &mut impl FnMut(Span) -> Result<(), E>,
    ) -> Result<(), E> {
        self.take(take)?;
        self.parts.clear();
        self.length = 0;
        Ok(())
    }

    fn take<E>(&self, take: &mut impl FnMut(Span) -> Result<(), E>) -> Result<(), E> {
        let (Some(first), Some(last)) = (self.parts.front(), self.parts.back()) else {
            return Ok(());
        };
        match self.stripped(first.to(last)) {
            Some(span) => take(span),
            None => Ok(()),
        }
    }

    /// Without white space at both ends; nothing if it is nothing else.
    fn stripped(&self, span: Span) -> Option<Span> {
        let text = self.text.get(span.bytes.clone())?;
        let (mut bytes, mut characters) = (span.bytes, span.characters);
        for character in text
            .chars()
            .take_while(|character| is_white_space(*character))
        {
            bytes.start += character.len_utf8();
            characters.start += 1;
        }
        let end = text.chars().rev();
        for character in end.take_while(|character| is_white_space(*character)) {
            bytes.end = bytes.end.checked_sub(character.len_utf8())?;
            characters.end -= 1;
        }
        (bytes.start < bytes.end).then_some(Span { bytes, characters })
    }
}

/// What Python's `str.strip` removes: the white space of Unicode, and four separators of ASCII.
fn is_white_space(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\x1c'..='\x1f')
}

//! Workbooks: XLSX. A sheet is a section, a row of cells a row of a table.

use std::io::{BufReader, Read, Seek};

use calamine::{DataRef, Reader as _, SheetType, Xlsx, XlsxError};

use crate::extract::archive::Archive;
use crate::extract::block::{Block, Composer};
use crate::extract::format::Format;
use crate::extract::limits::Limits;
use crate::extract::refusal::Refusal;
use crate::extract::text::Text;
use crate::extract::writer::Writer;

/// How many empty cells are told between two that are not. Some sheets have a note far to the right.
const EMPTY: u32 = 20;

/// Reads a document.
pub(crate) fn read(source: impl Read + Seek + Clone, limits: &Limits) -> Result<Text, Refusal> {
    // The library has no limits of its own.
    Archive::open(source.clone(), limits)?.check()?;
    let mut workbook = Xlsx::new(BufReader::new(source)).map_err(|error| refusal(&error))?;
    let sheets = workbook.sheets_metadata().to_vec();
    let mut composer = Composer::new(Writer::new(limits));
    for sheet in sheets {
        if sheet.typ == SheetType::WorkSheet {
            read_sheet(&mut workbook, &sheet.name, &mut composer)?;
        }
    }
    composer.finish(Format::Xlsx)
}

/// Reads the cells as they come. What the sheet says of its dimensions may be a lie, and is not asked for.
fn read_sheet(
    workbook: &mut Xlsx<impl Read + Seek>,
    name: &str,
    composer: &mut Composer,
) -> Result<(), Refusal> {
    let mut cells = workbook
        .worksheet_cells_reader(name)
        .map_err(|error| refusal(&error))?;
    let mut row: Vec<String> = Vec::new();
    let (mut number, mut column) = (0, 0);
    // An empty sheet is none.
    let mut title = Some(name.to_owned());
    while let Some(cell) = cells.next_cell().map_err(|error| refusal(&error))? {
        let text = text(cell.get_value());
        if text.is_empty() {
            continue;
        }
        if let Some(title) = title.take() {
            composer.add(Block::Heading(1, title))?;
        }
        let (row_number, column_number) = cell.get_position();
        if row_number != number {
            composer.add(Block::Row(std::mem::take(&mut row)))?;
            (number, column) = (row_number, 0);
        }
        for _ in 0..column_number.saturating_sub(column).min(EMPTY) {
            row.push(String::new());
        }
        row.push(text);
        column = column_number.saturating_add(1);
    }
    composer.add(Block::Row(row))
}

fn text(value: &DataRef<'_>) -> String {
    match value {
        DataRef::Empty | DataRef::Error(_) => String::new(),
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => number.to_string(),
        DataRef::Bool(true) => "TRUE".to_owned(),
        DataRef::Bool(false) => "FALSE".to_owned(),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => {
            text.trim().to_owned()
        }
        DataRef::SharedString(text) => text.trim().to_owned(),
        DataRef::DateTime(moment) => {
            let (year, month, day, hour, minute, second, _) = moment.to_ymd_hms_milli();
            let date = format!("{year:04}-{month:02}-{day:02}");
            let time = format!("{hour:02}:{minute:02}:{second:02}");
            let days = moment.as_f64();
            if moment.is_duration() {
                duration(days)
            } else if days < 1.0 {
                time
            } else if days.fract() == 0.0 {
                date
            } else {
                format!("{date} {time}")
            }
        }
    }
}

/// Hours, minutes and seconds of a duration in days.
fn duration(days: f64) -> String {
    let seconds = (days * 86_400.0).round();
    let (minutes, hours) = ((seconds / 60.0).floor(), (seconds / 3600.0).floor());
    format!("{hours}:{:02}:{:02}", minutes % 60.0, seconds % 60.0)
}

fn refusal(error: &XlsxError) -> Refusal {
    match error {
        XlsxError::Password => Refusal::Encrypted,
        error => Refusal::damaged(error),
    }
}

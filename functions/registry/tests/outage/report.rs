//! What was found wrong, all of it.

use std::sync::Mutex;

use crate::operation::Operation;

#[derive(Debug, Default)]
pub(crate) struct Report(Mutex<Vec<String>>);

/// One operation, and what went wrong on its way.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    report: &'a Report,
    what: String,
}

impl Report {
    pub(crate) fn case(&self, operation: &Operation, trouble: &str) -> Case<'_> {
        let Operation { method, path, .. } = operation;
        Case {
            report: self,
            what: format!("{method} {path}: {trouble}"),
        }
    }

    /// # Panics
    ///
    /// Something was wrong.
    pub(crate) fn end(self) {
        let found = self.0.into_inner().unwrap();
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

impl Case<'_> {
    pub(crate) fn check(&self, is_right: bool, wrong: impl FnOnce() -> String) {
        if !is_right {
            let wrong = format!("{}: {}", self.what, wrong());
            self.report.0.lock().unwrap().push(wrong);
        }
    }
}

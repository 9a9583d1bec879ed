//! document-sync.

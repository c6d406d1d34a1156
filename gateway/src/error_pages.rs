//! Pages in the place of the gateway's own errors, read at the start.

use base_core::diagnose::Diagnostic;
use bytes::Bytes;
use gateway_core::config::ErrorFile;
use std::fs::File;
use std::io::Read;

/// The pages of a frontend.
#[derive(Debug, Default)]
pub struct ErrorPages(Vec<(Vec<u16>, Page)>);

/// What a client is shown.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) content_type: String,
    pub(crate) body: Bytes,
}

impl ErrorPages {
    pub(crate) fn load(files: &[ErrorFile]) -> Result<Self, Diagnostic> {
        let read = |file: &ErrorFile| {
            let wrong = |why: String| file.origin.clone().help(format!("{}: {why}", file.file.display()));
            let mut body = Vec::new();
            let opened = File::open(&file.file).map_err(|error| wrong(error.to_string()))?;
            opened.take(MAX_PAGE + 1).read_to_end(&mut body).map_err(|error| wrong(error.to_string()))?;
            if body.len() as u64 > MAX_PAGE {
                return Err(wrong(format!("it is larger than {} KiB", MAX_PAGE >> 10)));
            }
            let page = Page { content_type: file.content_type.clone(), body: body.into() };
            Ok((file.statuses.clone(), page))
        };
        files.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The page for this status.
    pub(crate) fn page(&self, status: u16) -> Option<&Page> {
        self.0.iter().find(|(statuses, _)| statuses.contains(&status)).map(|(_, page)| page)
    }
}

/// Bytes of a page: it is sent whole, to whoever makes an error, so it had better be small.
const MAX_PAGE: u64 = 64 * 1024;

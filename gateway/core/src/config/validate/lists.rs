//! Lists and maps in files: what they are called, and what is in them.

use super::Result;
use super::values::{name, unique};
use crate::config::schema::{List, Match};
use crate::lists::{Kind, ListFile, Matching};
use crate::rules::Case;
use base_core::diagnose::Source;

pub(super) fn all(source: &Source, acls: Vec<List>, maps: Vec<List>) -> Result<Vec<ListFile>> {
    let mut lists = Vec::<ListFile>::new();
    let acls = acls.into_iter().map(|written| (written, false));
    for (written, values) in acls.chain(maps.into_iter().map(|written| (written, true))) {
        name(source, &written.name)?;
        unique(source, &written.name, "list or map", lists.iter().map(|list| &list.name))?;
        let (matching, no_case) = match written.matching {
            Match::Str => (Matching::Str, false),
            Match::Beg => (Matching::Beg, false),
            Match::End => (Matching::End, false),
            Match::Dom => (Matching::Dom, true),
            Match::Ip => (Matching::Ip, true),
            Match::Reg => (Matching::Reg, false),
        };
        let case = if written.ignore_case || no_case { Case::Ignored } else { Case::Matters };
        lists.push(ListFile {
            name: written.name.into_inner(),
            origin: source.at(written.file.span(), "this file can't be used"),
            file: written.file.into_inner(),
            kind: Kind { values, matching, case },
        });
    }
    Ok(lists)
}

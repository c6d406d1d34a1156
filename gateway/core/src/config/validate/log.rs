//! Where the access log goes.

use super::Result;
use super::values::{in_range, name};
use crate::config::schema::Syslog;
use crate::syslog::{Address, Target};
use base_core::diagnose::Source;

pub(super) fn syslog(source: &Source, written: Vec<Syslog>) -> Result<Vec<Target>> {
    if let Some(extra) = written.get(MAX_TARGETS) {
        let help = format!("at most {MAX_TARGETS}");
        return Err(source.at(extra.address.span(), "one syslog server too many").help(help));
    }
    let target = |written: Syslog| {
        in_range(source, &written.len, 80..=65_507, "len")?;
        name(source, &written.tag)?;
        let text = written.address.get_ref();
        let address = match (text.starts_with('/'), text.parse()) {
            (true, _) => Address::Unix(text.into()),
            (false, Ok(address)) => Address::Udp(address),
            (false, Err(_)) => {
                let error = source.at(written.address.span(), format!("`{text}` is no syslog server"));
                return Err(error.help("such as \"127.0.0.1:514\" or \"/dev/log\""));
            }
        };
        Ok(Target {
            address,
            format: written.format,
            facility: written.facility,
            level: written.level,
            len: written.len.into_inner(),
            tag: written.tag.into_inner(),
        })
    };
    written.into_iter().map(target).collect()
}

/// Each has a thread that sends.
const MAX_TARGETS: usize = 16;

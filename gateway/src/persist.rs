//! Saves stick tables where that is asked for, and fills them when the process starts: each in a file that is
//! replaced at once. Of two processes of a node the one that has taken over saves.

use crate::replace::{replace, sweep};
use crate::state::Gateway;
use gateway_core::config;
use gateway_core::persist::{self, Writer};
use gateway_core::table::{StickTable, Walk};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

/// Fills the tables that have a file. One that can't be used is told, and its table is empty.
pub(crate) fn load(gateway: &Gateway) {
    for (config, table) in tables(gateway) {
        let Some(persist) = &config.persist else { continue };
        let (table_name, file) = (&config.name, persist.file.display());
        sweep(&persist.file);
        let loaded = match read(&persist.file, persist::most_bytes(table, config.size)) {
            Ok(bytes) => {
                let loaded = persist::load(&config.name, table, &bytes, date(), gateway.clock.now());
                loaded.map_err(str::to_owned)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error.to_string()),
        };
        match loaded {
            Ok(entries) => tracing::info!(table = table_name, %file, entries, "the table goes on"),
            Err(error) => tracing::warn!(table = table_name, %file, %error, "the table starts empty"),
        }
    }
}

/// Saves all tables that have a file.
pub(crate) fn save_all(gateway: &Gateway) {
    tables(gateway).for_each(|(config, table)| save(gateway, config, table));
}

/// Saves each table now and then, on a thread where a slow disk delays nobody.
pub(crate) fn start(gateway: &Arc<Gateway>) {
    for (place, config) in gateway.config.tables.iter().enumerate() {
        let Some(persist) = &config.persist else { continue };
        let (gateway, interval) = (Arc::clone(gateway), persist.interval);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(interval).await;
                let gateway = Arc::clone(&gateway);
                let saved = tokio::task::spawn_blocking(move || {
                    save(&gateway, &gateway.config.tables[place], &gateway.tables[place]);
                });
                if let Err(error) = saved.await {
                    tracing::error!(%error, "a table can't be saved");
                }
            }
        });
    }
}

fn tables(gateway: &Gateway) -> impl Iterator<Item = (&config::Table, &StickTable)> {
    gateway.config.tables.iter().zip(gateway.tables.iter().map(AsRef::as_ref))
}

fn save(gateway: &Gateway, config: &config::Table, table: &StickTable) {
    let Some(persist) = &config.persist else { return };
    // The last save comes while another one may run.
    let _alone = gateway.saving.lock().unwrap_or_else(PoisonError::into_inner);
    if gateway.is_succeeded() {
        return;
    }
    if let Err(error) = replace(&persist.file, MODE, |file| write(gateway, config, table, file)) {
        let file = persist.file.display();
        tracing::warn!(table = config.name, %file, %error, "the table can't be saved; the file before stays");
    }
}

fn write(gateway: &Gateway, config: &config::Table, table: &StickTable, file: &mut File) -> io::Result<()> {
    let mut out = Vec::new();
    let mut writer = Writer::begin(&config.name, table, date(), &mut out);
    let (mut walk, now) = (Walk::default(), gateway.clock.now());
    while table.walk(&mut walk, AT_ONCE, now, |row| writer.entry(table, &row, now, &mut out)) {
        if out.len() >= PIECE {
            writer.taken(&out);
            file.write_all(&out)?;
            out.clear();
        }
    }
    writer.end(&mut out);
    file.write_all(&out)
}

fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than may be shows that there are more.
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other("it is larger than the table could be"));
    }
    Ok(bytes)
}

/// Milliseconds since 1970.
fn date() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or(Duration::ZERO).as_millis()).unwrap_or(u64::MAX)
}

/// What a table holds is the process's own.
const MODE: u32 = 0o600;
/// Entries that are written under one lock.
const AT_ONCE: u32 = 256;
/// Bytes that go to the file at once.
const PIECE: usize = 64 * 1024;

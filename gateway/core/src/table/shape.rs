//! How the entries of a table look: in each slot the words of its shard, the key, then what is stored.

use super::Options;
use super::data::Layout;
use super::key::KeyType;
use super::shard::HEAD;

/// How the entries of a table look and how long they live: the same for all its shards.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) key: KeyType,
    pub(super) layout: Layout,
    /// Milliseconds.
    pub(super) expire: u32,
    /// A full table takes no new entries, instead of dropping the oldest.
    pub(super) nopurge: bool,
    /// Whether changes are lined up for peers.
    pub(super) shared: bool,
    /// Words before an entry's data. As [`Self::stride`], asked for many times in a request.
    pub(super) data: usize,
    /// Words of an entry.
    pub(super) stride: usize,
}

impl Shape {
    pub(super) fn new(options: Options) -> Self {
        let Options { key, layout, expire, nopurge, shared, .. } = options;
        let expire = u32::try_from(expire.as_millis()).unwrap_or(u32::MAX).min(LONGEST);
        let length = usize::from(matches!(key, KeyType::String(_)));
        let data = HEAD + length + key.bytes().div_ceil(4);
        let stride = data + layout.words();
        Self { key, layout, expire, nopurge, shared, data, stride }
    }

    /// Whether this is the key at the beginning of these words.
    pub(super) fn holds_key(&self, words: &[u32], key: &[u8]) -> bool {
        let (words, length) = match self.key {
            KeyType::String(_) => (words.get(1..).unwrap_or(&[]), words.first().copied().unwrap_or(0)),
            _ => (words, key.len() as u32),
        };
        length as usize == key.len() && key.chunks(4).zip(words).all(|(chunk, word)| pack(chunk) == *word)
    }

    pub(super) fn write_key(&self, words: &mut [u32], key: &[u8]) {
        let words = match (self.key, words) {
            (KeyType::String(_), [length, rest @ ..]) => {
                *length = key.len() as u32;
                rest
            }
            (_, words) => words,
        };
        for (chunk, word) in key.chunks(4).zip(words) {
            *word = pack(chunk);
        }
    }

    pub(super) fn read_key(&self, words: &[u32], key: &mut Vec<u8>) {
        let (words, length) = match (self.key, words) {
            (KeyType::String(_), [length, rest @ ..]) => (rest, *length as usize),
            (_, words) => (words, self.key.bytes()),
        };
        key.clear();
        key.extend(words.iter().flat_map(|word| word.to_ne_bytes()).take(length));
    }
}

fn pack(chunk: &[u8]) -> u32 {
    match chunk {
        &[a, b, c, d] => u32::from_ne_bytes([a, b, c, d]),
        short => {
            let mut bytes = [0; 4];
            bytes[..short.len()].copy_from_slice(short);
            u32::from_ne_bytes(bytes)
        }
    }
}

/// Milliseconds: a week. Times are kept in 32 bits, which wrap after 49 days.
const LONGEST: u32 = 7 * 86_400_000;

//! Texts that entries refer to by number: names of servers, of which there are few.

/// Texts, numbered from 1 in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    texts: Vec<Box<[u8]>>,
}

impl Dictionary {
    /// The number of `text`, which is added if it is new and there is room; else 0.
    pub(super) fn intern(&mut self, text: &[u8]) -> u32 {
        if text.is_empty() || text.len() > LONGEST {
            return 0;
        }
        if let Some(place) = self.texts.iter().position(|known| &**known == text) {
            return place as u32 + 1;
        }
        if self.texts.len() >= MOST {
            return 0;
        }
        self.texts.push(text.into());
        self.texts.len() as u32
    }

    /// The text of this number.
    pub(super) fn get(&self, number: u32) -> Option<&[u8]> {
        self.texts.get((number as usize).checked_sub(1)?).map(|text| &**text)
    }
}

/// Texts of a table: more than backends have servers. A peer that sends more has the rest left out.
const MOST: usize = 2048;
/// Bytes of a text.
const LONGEST: usize = 256;

//! One entry, as who holds its shard's lock sees it.

use super::data::{DataType, Kind, Layout};
use super::freq::FreqCtr;
use base_core::Time;

/// What is known of one key. What its table does not store reads as zero and is not written.
#[derive(Debug)]
pub struct Entry<'a> {
    pub(super) layout: &'a Layout,
    pub(super) words: &'a mut [u32],
}

impl<'a> Entry<'a> {
    /// An entry outside of any table, over words of which there are at least [`Layout::words`].
    pub fn new(layout: &'a Layout, words: &'a mut [u32]) -> Self {
        Self { layout, words }
    }

    /// Where what is.
    pub fn layout(&self) -> &Layout {
        self.layout
    }

    /// A number, or a text's number in the dictionary.
    #[inline]
    pub fn get(&self, data: DataType) -> u64 {
        self.element(data, 0)
    }

    /// The number at `index` of an array.
    #[inline]
    pub fn element(&self, data: DataType, index: u16) -> u64 {
        match (data.kind(), self.place(data, index).and_then(|at| self.words.get(at..))) {
            (Kind::Number | Kind::Text, Some([value, ..])) => u64::from(*value),
            (Kind::Long, Some([low, high, ..])) => u64::from(*high) << 32 | u64::from(*low),
            _ => 0,
        }
    }

    /// Writes a number; one of 32 bits saturates.
    #[inline]
    pub fn set(&mut self, data: DataType, value: u64) {
        self.set_element(data, 0, value);
    }

    /// Writes the number at `index` of an array.
    #[inline]
    pub fn set_element(&mut self, data: DataType, index: u16, value: u64) {
        let Some(at) = self.place(data, index) else { return };
        match (data.kind(), self.words.get_mut(at..)) {
            (Kind::Number | Kind::Text, Some([word, ..])) => *word = u32::try_from(value).unwrap_or(u32::MAX),
            (Kind::Long, Some([low, high, ..])) => (*low, *high) = (value as u32, (value >> 32) as u32),
            _ => {}
        }
    }

    /// Adds to a number; saturates.
    #[inline]
    pub fn add(&mut self, data: DataType, more: u64) {
        self.set(data, self.get(data).saturating_add(more));
    }

    /// Takes from a number; stops at zero.
    #[inline]
    pub fn sub(&mut self, data: DataType, less: u64) {
        self.set(data, self.get(data).saturating_sub(less));
    }

    /// Events in the period that ends now.
    #[inline]
    pub fn rate(&self, data: DataType, now: Time) -> u32 {
        let Some(stored) = self.layout.get(data) else { return 0 };
        self.frequency(data, 0).read(now, stored.period)
    }

    /// Counts events of a rate.
    #[inline]
    pub fn add_rate(&mut self, data: DataType, events: u32, now: Time) {
        let Some(stored) = self.layout.get(data) else { return };
        let period = stored.period;
        let mut rate = self.frequency(data, 0);
        rate.add_many(events, now, period);
        self.set_frequency(data, 0, rate);
    }

    /// The counters of a rate.
    #[inline]
    pub fn frequency(&self, data: DataType, index: u16) -> FreqCtr {
        match (data.kind(), self.place(data, index).and_then(|at| self.words.get(at..))) {
            (Kind::Rate, Some([tick, current, previous, ..])) => {
                FreqCtr::from_words([*tick, *current, *previous])
            }
            _ => FreqCtr::default(),
        }
    }

    /// Writes the counters of a rate.
    #[inline]
    pub fn set_frequency(&mut self, data: DataType, index: u16, rate: FreqCtr) {
        let Some(at) = self.place(data, index) else { return };
        if let (Kind::Rate, Some(words)) = (data.kind(), self.words.get_mut(at..at + 3)) {
            words.copy_from_slice(&rate.words());
        }
    }

    /// A number of this node's own, which no peer hears of; 0 if the table has no such cell.
    #[inline]
    pub fn cell(&self, number: u16) -> u64 {
        match self.layout.cell(number).and_then(|at| self.words.get(at..)) {
            Some([low, high, ..]) => u64::from(*high) << 32 | u64::from(*low),
            _ => 0,
        }
    }

    /// Writes a number of this node's own.
    #[inline]
    pub fn set_cell(&mut self, number: u16, value: u64) {
        let at = self.layout.cell(number);
        if let Some([low, high, ..]) = at.and_then(|at| self.words.get_mut(at..)) {
            (*low, *high) = (value as u32, (value >> 32) as u32);
        }
    }

    fn place(&self, data: DataType, index: u16) -> Option<usize> {
        let (stored, at) = self.layout.place(data)?;
        (index < stored.elements).then(|| at + usize::from(index) * data.kind().words())
    }
}

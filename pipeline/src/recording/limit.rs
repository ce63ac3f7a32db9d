//! The byte limit: when a recording grows over it, the oldest of what is large goes first.
//!
//! Maps, their key orders, attention, scores, rows and latents go before thumbnails; densities, modes, times, orders and events stay. Content
//! that is stored again (a static pattern, in every layer and step) is held once and is as young as its last use.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest as _, Sha256};

use super::meta::Kind;

/// The first half of a SHA-256.
pub(super) type Hash = [u8; 16];

/// One blob that may be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its number in the file.
    pub(super) id: i64,
    /// What it is.
    pub(super) kind: Kind,
    /// Its size in the file.
    pub(super) bytes: u64,
    hash: Hash,
}

/// Rank, then age: the first is dropped first.
type Age = (u8, u64);

/// What a recording holds.
#[derive(Debug)]
pub(super) struct Shelf {
    limit: u64,
    held: u64,
    clock: u64,
    ages: BTreeMap<Age, Entry>,
    places: HashMap<Hash, (i64, Option<Age>)>,
}

/// Which kind goes first; `None` stays.
fn rank(kind: Kind) -> Option<u8> {
    match kind {
        Kind::Levels
        | Kind::KeyOrder
        | Kind::Attention
        | Kind::Scores
        | Kind::Row
        | Kind::Latents => Some(0),
        Kind::Thumbnails => Some(1),
        Kind::Order => None,
    }
}

/// What a blob is known by; equal bytes of different kinds are two blobs.
pub(super) fn hash(kind: Kind, bytes: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(kind.name());
    hasher.update(bytes);
    let mut hash = Hash::default();
    hash.copy_from_slice(&hasher.finalize()[..16]);
    hash
}

impl Shelf {
    /// Holds at most `limit` bytes.
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, held: 0, clock: 0, ages: BTreeMap::new(), places: HashMap::new() }
    }

    /// The number of a blob with this content, which is young again.
    pub(super) fn find(&mut self, hash: Hash) -> Option<i64> {
        let (id, age) = self.places.get_mut(&hash)?;
        if let Some(age) = age
            && let Some(entry) = self.ages.remove(age)
        {
            self.clock += 1;
            age.1 = self.clock;
            self.ages.insert(*age, entry);
        }
        Some(*id)
    }

    /// Adds a blob; answers with those that must go.
    pub(super) fn add(&mut self, id: i64, kind: Kind, hash: Hash, bytes: u64) -> Vec<Entry> {
        self.clock += 1;
        let age = rank(kind).map(|rank| (rank, self.clock));
        if let Some(age) = age {
            self.ages.insert(age, Entry { id, kind, bytes, hash });
        }
        self.places.insert(hash, (id, age));
        self.count(bytes)
    }

    /// Counts bytes that stay; answers with the blobs that must go for them.
    pub(super) fn count(&mut self, bytes: u64) -> Vec<Entry> {
        self.held += bytes;
        let mut gone = Vec::new();
        while self.held > self.limit
            && let Some((_, entry)) = self.ages.pop_first()
        {
            self.held -= entry.bytes;
            self.places.remove(&entry.hash);
            gone.push(entry);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(shelf: &mut Shelf, id: i64, kind: Kind, bytes: u64) -> Vec<i64> {
        let hash = hash(kind, &id.to_le_bytes());
        shelf.add(id, kind, hash, bytes).iter().map(|entry| entry.id).collect()
    }

    #[test]
    fn the_oldest_large_blob_goes_first_and_thumbnails_last() {
        let mut shelf = Shelf::new(100);
        assert!(add(&mut shelf, 1, Kind::Thumbnails, 20).is_empty());
        assert!(add(&mut shelf, 2, Kind::Levels, 30).is_empty());
        assert!(add(&mut shelf, 3, Kind::Latents, 30).is_empty());
        assert_eq!(shelf.find(hash(Kind::Levels, &2i64.to_le_bytes())), Some(2), "and is young");
        assert_eq!(add(&mut shelf, 4, Kind::Row, 30), [3]);
        assert_eq!(shelf.find(hash(Kind::Latents, &3i64.to_le_bytes())), None);
        assert_eq!(add(&mut shelf, 5, Kind::Order, 80), [2, 4]);
        assert_eq!(add(&mut shelf, 6, Kind::Order, 80), [1]);
        assert!(add(&mut shelf, 8, Kind::Order, 80).is_empty(), "orders stay, whatever the limit");
        assert_eq!(add(&mut shelf, 7, Kind::Levels, 1), [7]);
    }

    #[test]
    fn equal_bytes_of_two_kinds_are_two_blobs() {
        assert_ne!(hash(Kind::Levels, b"x"), hash(Kind::Row, b"x"));
        let mut shelf = Shelf::new(10);
        add(&mut shelf, 1, Kind::Levels, 4);
        assert_eq!(shelf.find(hash(Kind::Row, &1i64.to_le_bytes())), None);
    }
}

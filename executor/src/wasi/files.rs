//! The files that a program can read: a tree in memory, the same everywhere.
//!
//! A program sees one folder, `/`. In it stand the segment's input as `input`, and what the module carries in a custom section of the name
//! [`SECTION`]. So files are part of the module: they have its content address, travel and are checked with it, and a job's format knows
//! nothing of them. [`Files`] makes such a section.
//!
//! The section is a list of files in ascending order of their paths, each: length of the path (u32, little endian), path, length of the
//! content (u32), content. Paths are relative, of parts between single slashes; folders are there because files are in them. There are no links,
//! and nothing can be written.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use wasm_encoder::{CustomSection, Encode, SectionId};

/// The custom section that holds a module's files.
pub const SECTION: &str = "gongsuan:files";
/// The name in the root under which the segment's input is read.
pub const INPUT: &str = "input";
/// Files in a module, at most.
pub const FILES_MAX: usize = 10_000;
/// Bytes in a file's path, at most.
pub const PATH_BYTES_MAX: usize = 1024;
/// Bytes in one part of a path, at most.
pub const NAME_BYTES_MAX: usize = 255;

/// Why a file cannot stand in a module.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// The path is empty, absolute, too long, or has a part that is empty, `.`, `..`, too long or holds a zero byte.
    #[error(
        "the path {path:?} is not relative, of 1 to {PATH_BYTES_MAX} bytes, in parts of 1 to {NAME_BYTES_MAX}, none of them . or .."
    )]
    Path {
        /// The path.
        path: String,
    },
    /// The segment's input stands there.
    #[error("{INPUT:?} in the root is the segment's input")]
    Reserved,
    /// A file stands where a folder has to be, or the other way around, or twice.
    #[error("{path:?} is there already, or is a file and a folder at once")]
    Taken {
        /// The path.
        path: String,
    },
    /// More files than a module may carry.
    #[error("there are {got} files, the limit is {limit}")]
    TooMany {
        /// [`FILES_MAX`].
        limit: usize,
        /// How many.
        got: usize,
    },
    /// Bytes that are not a list of files, in the order of their paths.
    #[error("the section {SECTION} is broken at byte {offset}")]
    Broken {
        /// Where.
        offset: usize,
    },
}

/// Files for a module.
///
/// # Example
/// ```
/// use gongsuan_executor::wasi::Files;
/// let module = wat::parse_str("(module (func (export \"_start\")))").unwrap();
/// let mut files = Files::default();
/// files.insert("words/de.txt", b"Haus".to_vec()).unwrap();
/// let with_files = files.attach(&module);
/// assert!(gongsuan_executor::Metered::new(&with_files).is_ok());
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    /// Adds a file.
    ///
    /// # Errors
    /// [`FilesError`]; nothing is added.
    pub fn insert(&mut self, path: &str, content: Vec<u8>) -> Result<(), FilesError> {
        check_path(path)?;
        let got = self.0.len() + 1;
        if got > FILES_MAX {
            return Err(FilesError::TooMany { limit: FILES_MAX, got });
        }
        let below = format!("{path}/");
        let is_folder =
            self.0.range(below.clone()..).next().is_some_and(|(p, _)| p.starts_with(&below));
        let is_below = path.match_indices('/').any(|(at, _)| self.0.contains_key(&path[..at]));
        if is_folder || is_below || self.0.contains_key(path) {
            return Err(FilesError::Taken { path: path.to_owned() });
        }
        self.0.insert(path.to_owned(), content);
        Ok(())
    }

    /// The module with these files inside: another module, with another content address.
    ///
    /// # Panics
    /// A file of 4 GiB and more.
    #[must_use]
    pub fn attach(&self, module: &[u8]) -> Vec<u8> {
        let mut data = Vec::new();
        for (path, content) in &self.0 {
            for bytes in [path.as_bytes(), content] {
                let length = u32::try_from(bytes.len()).expect("a file is shorter than 4 GiB");
                data.extend(length.to_le_bytes());
                data.extend(bytes);
            }
        }
        let mut out = module.to_vec();
        out.push(SectionId::Custom as u8);
        CustomSection { name: SECTION.into(), data: data.into() }.encode(&mut out);
        out
    }
}

fn check_path(path: &str) -> Result<(), FilesError> {
    let good = |part: &str| {
        (1..=NAME_BYTES_MAX).contains(&part.len())
            && part != "."
            && part != ".."
            && !part.contains('\0')
    };
    if path.len() > PATH_BYTES_MAX || !path.split('/').all(good) {
        return Err(FilesError::Path { path: path.chars().take(PATH_BYTES_MAX).collect() });
    }
    if path == INPUT || path.strip_prefix(INPUT).is_some_and(|rest| rest.starts_with('/')) {
        return Err(FilesError::Reserved);
    }
    Ok(())
}

/// A file or folder, by its place in the tree.
pub(crate) type Node = usize;

/// The root folder.
pub(crate) const ROOT: Node = 0;
/// The segment's input.
pub(crate) const INPUT_NODE: Node = 1;

/// What stands at a place of the tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    /// Names and places of what is in it.
    Folder(BTreeMap<String, Node>),
    /// The segment's input, which the tree does not hold.
    Input,
    /// A part of the section.
    File(Range<usize>),
}

/// A module's files, ready to be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Tree {
    data: Arc<[u8]>,
    nodes: Vec<Entry>,
}

impl Default for Tree {
    /// Nothing but the input.
    fn default() -> Self {
        let root = BTreeMap::from([(INPUT.to_owned(), INPUT_NODE)]);
        Self { data: Arc::default(), nodes: vec![Entry::Folder(root), Entry::Input] }
    }
}

impl Tree {
    /// Reads a section.
    pub(crate) fn read(section: &[u8]) -> Result<Self, FilesError> {
        let mut tree = Self { data: section.into(), ..Self::default() };
        let mut reader = Reader { bytes: section, offset: 0 };
        let mut last: Option<&str> = None;
        let mut got = 0;
        while reader.offset < section.len() {
            let broken = FilesError::Broken { offset: reader.offset };
            let path = &section[reader.next()?];
            let path = std::str::from_utf8(path).map_err(|_| broken.clone())?;
            check_path(path)?;
            if last.is_some_and(|last| last >= path) {
                return Err(broken);
            }
            last = Some(path);
            got += 1;
            if got > FILES_MAX {
                return Err(FilesError::TooMany { limit: FILES_MAX, got });
            }
            let content = reader.next()?;
            tree.add(path, content)?;
        }
        Ok(tree)
    }

    fn add(&mut self, path: &str, content: Range<usize>) -> Result<(), FilesError> {
        let taken = || FilesError::Taken { path: path.to_owned() };
        let (folders, name) =
            path.rsplit_once('/').map_or(("", path), |(folders, name)| (folders, name));
        let mut at = ROOT;
        for part in folders.split('/').filter(|part| !part.is_empty()) {
            let next = self.nodes.len();
            let Entry::Folder(entries) = &mut self.nodes[at] else { return Err(taken()) };
            at = *entries.entry(part.to_owned()).or_insert(next);
            if at == next {
                self.nodes.push(Entry::Folder(BTreeMap::new()));
            }
        }
        let next = self.nodes.len();
        let Entry::Folder(entries) = &mut self.nodes[at] else { return Err(taken()) };
        if entries.insert(name.to_owned(), next).is_some() {
            return Err(taken());
        }
        self.nodes.push(Entry::File(content));
        Ok(())
    }

    /// The section that it was read from.
    #[cfg(feature = "cache")]
    pub(crate) fn section(&self) -> &[u8] {
        &self.data
    }

    pub(crate) fn entry(&self, node: Node) -> &Entry {
        &self.nodes[node]
    }

    /// A file's content; `input` is the segment's.
    pub(crate) fn content<'a>(&'a self, node: Node, input: &'a [u8]) -> Option<&'a [u8]> {
        match self.entry(node) {
            Entry::Folder(_) => None,
            Entry::Input => Some(input),
            Entry::File(range) => Some(&self.data[range.clone()]),
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl Reader<'_> {
    /// The place of the next bytes, behind their length.
    fn next(&mut self) -> Result<Range<usize>, FilesError> {
        let broken = FilesError::Broken { offset: self.offset };
        let length = self.bytes[self.offset..].first_chunk::<4>().ok_or_else(|| broken.clone())?;
        let start = self.offset + 4;
        let end = start.checked_add(u32::from_le_bytes(*length) as usize);
        let end = end.filter(|end| *end <= self.bytes.len()).ok_or(broken)?;
        self.offset = end;
        Ok(start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(files: &[(&str, &str)]) -> Vec<u8> {
        let mut data = Vec::new();
        for (path, content) in files {
            for text in [path, content] {
                data.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
                data.extend(text.as_bytes());
            }
        }
        data
    }

    #[test]
    fn what_is_put_in_is_read_back() {
        let mut files = Files::default();
        files.insert("b/c/d.txt", b"deep".to_vec()).unwrap();
        files.insert("a", b"".to_vec()).unwrap();
        files.insert("b/e", b"beside".to_vec()).unwrap();
        let module = b"\0asm\x01\0\0\0".to_vec();
        let attached = files.attach(&module);
        let data = section(&[("a", ""), ("b/c/d.txt", "deep"), ("b/e", "beside")]);
        assert!(attached.ends_with(&data), "the section ends the module");
        let tree = Tree::read(&data).unwrap();
        let Entry::Folder(root) = tree.entry(ROOT) else { panic!("the root is a folder") };
        assert_eq!(root.keys().map(String::as_str).collect::<Vec<_>>(), ["a", "b", "input"]);
        let Entry::Folder(b) = tree.entry(root["b"]) else { panic!("b is a folder") };
        assert_eq!(tree.content(b["e"], b""), Some(&b"beside"[..]));
        assert_eq!(tree.content(INPUT_NODE, b"in"), Some(&b"in"[..]));
        assert_eq!(tree.content(ROOT, b"in"), None);
    }

    #[test]
    fn bad_lists_are_refused() {
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for (files, wrong) in [
            (vec![("", "")], "path"),
            (vec![("/etc/passwd", "")], "path"),
            (vec![("a/../b", "")], "path"),
            (vec![("a//b", "")], "path"),
            (vec![("a/", "")], "path"),
            (vec![("a\0b", "")], "path"),
            (vec![(long.as_str(), "")], "path"),
            (vec![("input", "")], "segment's input"),
            (vec![("input/x", "")], "segment's input"),
            (vec![("b", ""), ("a", "")], "broken"),
            (vec![("a", ""), ("a", "")], "broken"),
            (vec![("a", ""), ("a/b", "")], "file and a folder"),
        ] {
            let error = Tree::read(&section(&files)).unwrap_err().to_string();
            assert!(error.contains(wrong), "{files:?}: {error}");
        }
        let whole = section(&[("a", "content"), ("b", "more")]);
        for length in 0..whole.len() {
            // A list that ends between two files is a list.
            let ends_between = [0, section(&[("a", "content")]).len()].contains(&length);
            assert_eq!(Tree::read(&whole[..length]).is_ok(), ends_between, "{length}");
        }
        let mut files = Files::default();
        files.insert("a/b", Vec::new()).unwrap();
        for path in ["a", "a/b", "a/b/c", "input", "../a", ""] {
            assert!(files.insert(path, Vec::new()).is_err(), "{path}");
        }
    }
}

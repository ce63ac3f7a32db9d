//! A named array of numbers, and its bytes.

use std::borrow::Cow;

/// An array in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Array {
    /// Its name, without what its file is called.
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) values: Values,
}

/// Numbers of one type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values {
    U8(Vec<u8>),
    U32(Vec<u32>),
    F32(Vec<f32>),
}

impl Array {
    pub(super) fn new(name: String, shape: &[usize], values: Values) -> Self {
        Self { name, shape: shape.into(), values }
    }

    /// The numbers, little-endian.
    pub(super) fn bytes(&self) -> Cow<'_, [u8]> {
        match &self.values {
            Values::U8(values) => values.into(),
            Values::U32(values) => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Values::F32(values) => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    }

    /// What stands before the numbers in a .npy file of version 1.0: magic, length, and a Python dictionary that spaces and a
    /// line end fill up to a multiple of 64 bytes (numpy.lib.format).
    pub(super) fn npy_header(&self) -> Vec<u8> {
        let kind = match self.values {
            Values::U8(_) => "|u1",
            Values::U32(_) => "<u4",
            Values::F32(_) => "<f4",
        };
        // A tuple of one has a comma behind it, and any may.
        let shape: Vec<String> = self.shape.iter().map(|side| format!("{side},")).collect();
        let mut text = format!(
            "{{'descr': '{kind}', 'fortran_order': False, 'shape': ({}), }}",
            shape.join(" ")
        );
        let before = 10;
        let whole = (before + text.len() + 1).next_multiple_of(64);
        text.push_str(&" ".repeat(whole - before - text.len() - 1));
        text.push('\n');
        let length = (text.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00".as_slice(), &length, text.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_what_numpy_writes() {
        let array = Array::new("a".into(), &[2, 3], Values::F32(vec![0.0; 6]));
        let header = array.npy_header();
        assert_eq!(header.len() % 64, 0);
        assert_eq!(header[..10], *b"\x93NUMPY\x01\x00\x76\x00");
        let text = std::str::from_utf8(&header[10..]).unwrap();
        assert_eq!(text.trim_end(), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3,), }");
        assert!(text.ends_with(" \n"));
        let one = Array::new("b".into(), &[7], Values::U8(vec![0; 7]));
        assert!(String::from_utf8_lossy(&one.npy_header()).contains("'shape': (7,)"));
        let words = Array::new("c".into(), &[2], Values::U32(vec![1, 258]));
        assert_eq!(*words.bytes(), [1, 0, 0, 0, 2, 1, 0, 0]);
    }
}

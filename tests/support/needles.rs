//! Many texts looked for at once in much: fast enough also where nothing is optimised.

/// Texts to look for.
#[derive(Debug)]
pub(crate) struct Needles {
    texts: Vec<Vec<u8>>,
    /// Which texts begin with these two bytes.
    starts: Vec<Vec<usize>>,
}

impl Needles {
    /// Texts of two bytes and more.
    pub(crate) fn new(texts: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let texts: Vec<Vec<u8>> = texts.into_iter().collect();
        let mut starts = vec![Vec::new(); 1 << 16];
        for (number, text) in texts.iter().enumerate() {
            starts[place(text[0], text[1])].push(number);
        }
        Self { texts, starts }
    }

    /// Where there is one, and its number.
    pub(crate) fn find(&self, text: &[u8]) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for (at, pair) in text.windows(2).enumerate() {
            for number in &self.starts[place(pair[0], pair[1])] {
                if text[at..].starts_with(&self.texts[*number]) {
                    found.push((at, *number));
                }
            }
        }
        found
    }
}

fn place(first: u8, second: u8) -> usize {
    usize::from(first) << 8 | usize::from(second)
}

#[test]
fn all_are_found_wherever_they_are() {
    let needles = Needles::new(["ab", "abc", "zz"].map(|text| text.as_bytes().to_vec()));
    assert_eq!(needles.find(b"ab.abc.z"), [(0, 0), (3, 0), (3, 1)]);
    assert_eq!(needles.find(b"zzz"), [(0, 2), (1, 2)]);
    assert_eq!(needles.find(b"a"), []);
}

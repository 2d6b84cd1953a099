//! Names of files for names out of a file: nothing that a name says leads out of the directory, hides a file, or stands
//! for a device, on any system that the directory may be copied to.

use std::collections::{HashMap, HashSet};

/// Longest name without its ending, in bytes.
const STEM_MAX: usize = 100;

/// What Windows takes for a device, whatever follows after a dot.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
/// The same with a digit behind.
const NUMBERED_DEVICES: [&str; 2] = ["com", "lpt"];

/// Hands out file names of a directory, each once: also where letters differ by case alone.
#[derive(Debug, Default)]
pub(super) struct FileNames {
    taken: HashSet<String>,
    /// The number to be tried next for a stem and ending that are taken.
    next: HashMap<String, u64>,
}

impl FileNames {
    /// Names that are not handed out.
    pub(super) fn reserving(names: &[&str]) -> Self {
        Self {
            taken: names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            next: HashMap::new(),
        }
    }

    /// A free file name for `name`, which may be any text, with `ending`.
    pub(super) fn take(&mut self, name: &str, ending: &str) -> String {
        let stem = safe_stem(name);
        let first = format!("{stem}.{ending}");
        let key = first.to_ascii_lowercase();
        if self.taken.insert(key.clone()) {
            return first;
        }
        let next = self.next.entry(key).or_insert(2);
        loop {
            let candidate = format!("{stem}-{next}.{ending}");
            *next = next.saturating_add(1);
            if self.taken.insert(candidate.to_ascii_lowercase()) {
                return candidate;
            }
        }
    }
}

/// ASCII letters, digits, `.`, `_` and `-`; everything else is `_`, and so are a leading dot or dash.
fn safe_stem(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let mut stem: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    stem.truncate(STEM_MAX);
    if stem.is_empty() || stem.starts_with(['.', '-']) {
        stem.insert(0, '_');
    }
    if is_device(&stem) {
        stem.insert(0, '_');
    }
    stem
}

fn is_device(stem: &str) -> bool {
    let first = stem.split('.').next().unwrap_or(stem).to_ascii_lowercase();
    let numbered = |device: &str| {
        let digit = first.strip_prefix(device);
        digit.is_some_and(|digit| digit.len() == 1 && digit.bytes().all(|byte| byte.is_ascii_digit()))
    };
    DEVICES.contains(&first.as_str()) || NUMBERED_DEVICES.iter().any(|device| numbered(device))
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    #[test]
    fn hostile_names_become_plain_ones() {
        for (name, stem) in [
            ("layer0.filaments", "layer0.filaments"),
            ("../../etc/passwd", "_.._.._etc_passwd"),
            ("/abs", "_abs"),
            ("a\\b", "a_b"),
            (".hidden", "_.hidden"),
            ("..", "_.."),
            ("-rf", "_-rf"),
            ("", "_"),
            ("a\u{0}\n\u{1b}b", "a___b"),
            ("\u{202e}gpj", "_gpj"),
            ("c:stream", "c_stream"),
            ("NUL", "_NUL"),
            ("con.weights", "_con.weights"),
            ("COM1", "_COM1"),
            ("lpt9.x", "_lpt9.x"),
            ("com10", "com10"),
            ("console", "console"),
            ("gewichte_\u{fc}", "gewichte__"),
        ] {
            assert_eq!(safe_stem(name), stem, "{name:?}");
        }
    }

    #[test]
    fn what_is_taken_gets_a_number_and_case_does_not_tell_apart() {
        let mut names = FileNames::reserving(&["report.json"]);
        assert_eq!(names.take("a/b", "npy"), "a_b.npy");
        assert_eq!(names.take("A_b", "npy"), "A_b-2.npy");
        assert_eq!(names.take("a_b-3", "npy"), "a_b-3.npy");
        assert_eq!(names.take("a:b", "npy"), "a_b-4.npy");
        assert_eq!(names.take("a_b", "bin"), "a_b.bin");
        assert_eq!(names.take("Report", "json"), "Report-2.json");
    }

    quickcheck! {
        fn every_name_is_one_safe_component_and_unique(names: Vec<String>) -> bool {
            let mut files = FileNames::default();
            let mut seen = HashSet::new();
            names.iter().all(|name| {
                let file = files.take(name, "npy");
                let plain = file.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
                let free = seen.insert(file.to_ascii_lowercase());
                plain && free && !file.starts_with(['.', '-']) && file.len() < 130 && !is_device(&file)
            })
        }
    }
}

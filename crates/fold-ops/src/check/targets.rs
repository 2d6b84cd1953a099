//! What a PATH on the command line stands for: a file itself, or every checkpoint of a directory.

use std::path::{Path, PathBuf};

use super::finding::FindingReport;

/// The files that `path` stands for, by name; `path` itself unless it is a directory, whether it exists or not.
///
/// # Errors
/// The directory cannot be listed or holds no checkpoint.
pub(crate) fn expand(path: &Path) -> Result<Vec<PathBuf>, Box<FindingReport>> {
    if !path.is_dir() {
        return Ok(vec![path.into()]);
    }
    let unlisted = |error| Box::new(FindingReport::of_directory(path, Some(&error)));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unlisted)? {
        let found = entry.map_err(unlisted)?.path();
        if found
            .extension()
            .is_some_and(|extension| extension == "fold" || extension == "mind")
            && !found.is_dir()
        {
            files.push(found);
        }
    }
    if files.is_empty() {
        return Err(Box::new(FindingReport::of_directory(path, None)));
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_stands_for_its_checkpoints_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        assert_eq!(expand(dir.path()).unwrap_err().code.as_str(), "FOLD-E0103");
        for name in [
            "b.fold",
            "a.mind",
            "notes.txt",
            "step-00000001.fold.aside-1",
            ".fold-lock",
        ] {
            std::fs::write(at(name), "").unwrap();
        }
        std::fs::create_dir(at("c.fold")).unwrap();
        assert_eq!(expand(dir.path()).unwrap(), [at("a.mind"), at("b.fold")]);
        assert_eq!(expand(&at("absent")).unwrap(), [at("absent")]);
        assert_eq!(expand(&at("notes.txt")).unwrap(), [at("notes.txt")]);
    }
}

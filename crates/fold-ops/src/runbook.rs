//! The runbook, built into the program: one entry per code, as `fold explain` prints it.
//!
//! The text lies in `docs/runbook/codes/`, written for someone who has never seen the system. The tests hold it in step
//! with the codes: a code without an entry and an entry without a code both fail.

use crate::code::Code;

/// The headings of an entry, in their order.
pub const SECTIONS: [&str; 5] = ["Meaning", "Impact", "Diagnosis", "Mitigation", "Prevention"];

macro_rules! entries {
    ($($code:literal)+) => {
        /// Code and text of every entry, ascending.
        const ENTRIES: &[(&str, &str)] = &[
            $(($code, include_str!(concat!(env!("FOLD_RUNBOOK"), "/codes/", $code, ".md"))),)+
        ];
    };
}

entries! {
    "FOLD-E0001" "FOLD-E0002" "FOLD-E0003" "FOLD-E0004" "FOLD-E0005" "FOLD-E0006" "FOLD-E0007" "FOLD-E0008" "FOLD-E0009"
    "FOLD-E0101" "FOLD-E0102" "FOLD-E0103" "FOLD-E0104" "FOLD-E0105" "FOLD-W0107"
    "FOLD-E0201" "FOLD-E0202" "FOLD-E0203" "FOLD-E0204" "FOLD-E0205" "FOLD-E0206" "FOLD-E0207" "FOLD-E0208"
    "FOLD-E0209" "FOLD-E0210" "FOLD-E0211" "FOLD-E0212" "FOLD-E0221" "FOLD-W0222" "FOLD-W0223"
    "FOLD-E0301" "FOLD-W0302" "FOLD-E0303" "FOLD-E0304" "FOLD-E0305" "FOLD-E0306" "FOLD-E0307" "FOLD-E0311"
    "FOLD-E0312" "FOLD-E0313" "FOLD-W0314"
    "FOLD-E0403" "FOLD-E0404" "FOLD-W0405" "FOLD-E0406"
    "FOLD-E0501" "FOLD-E0502" "FOLD-E0503" "FOLD-E0505" "FOLD-E0506"
    "FOLD-E0601" "FOLD-E0602" "FOLD-E0604"
    "FOLD-E0801" "FOLD-E0802" "FOLD-W0803" "FOLD-E0804" "FOLD-E0805" "FOLD-E0806"
    "FOLD-E0901"
}

/// The entry of a code, as Markdown. None where the release was built without one, which its tests do not let pass.
#[must_use]
pub fn entry(code: Code) -> Option<&'static str> {
    let found = ENTRIES.iter().find(|(name, _)| *name == code.as_str());
    found.map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn folder() -> PathBuf {
        PathBuf::from(env!("FOLD_RUNBOOK"))
    }

    /// The pages of a part of the runbook by name, without `.md`.
    fn pages(part: &str) -> BTreeSet<String> {
        let names = fs::read_dir(folder().join(part)).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.map(|name| name.strip_suffix(".md").unwrap().to_owned()).collect()
    }

    /// What is wrong with an entry's form.
    fn complaints(code: Code, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        let title = format!("# {code}: {}", code.meaning());
        if text.lines().next() != Some(title.as_str()) {
            found.push(format!("{code}: the first line must be `{title}`"));
        }
        let headings = text
            .lines()
            .filter_map(|line| line.strip_prefix("## "))
            .collect::<Vec<_>>();
        if headings != SECTIONS {
            found.push(format!("{code}: sections {headings:?} instead of {SECTIONS:?}"));
        }
        for section in text.split("\n## ").skip(1) {
            let (name, body) = section.split_once('\n').unwrap_or((section, ""));
            if body.trim().len() < 40 {
                found.push(format!("{code}: section {name} says nothing"));
            }
        }
        found
    }

    #[test]
    fn every_code_has_an_entry_of_the_right_form() {
        let mut found = Vec::new();
        for code in Code::all() {
            match entry(code) {
                Some(text) => found.extend(complaints(code, text)),
                None => found.push(format!(
                    "{code} has no entry: write docs/runbook/codes/{code}.md and list it in fold-ops/src/runbook.rs"
                )),
            }
        }
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    #[test]
    fn every_entry_has_a_code() {
        let codes = Code::all().iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        let listed = ENTRIES
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect::<BTreeSet<_>>();
        assert_eq!(listed.difference(&codes).collect::<Vec<_>>(), Vec::<&String>::new());
        assert_eq!(
            pages("codes").difference(&codes).collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "a page of docs/runbook/codes is about no code of this release"
        );
    }

    #[test]
    fn a_planted_fault_of_form_is_found() {
        let code = Code::Internal;
        let good = entry(code).unwrap();
        assert!(complaints(code, good).is_empty());
        assert_eq!(complaints(code, &good.replace("## Impact", "### Impact")).len(), 1);
        assert_eq!(complaints(code, &good.replace("# FOLD-E0901", "# FOLD-E0900")).len(), 1);
        assert_eq!(complaints(code, "").len(), 2);
    }

    /// `docs/runbook/README.md`, from the code table and the titles of the pages.
    fn index() -> String {
        let mut text = String::from(
            "# Runbook\n\n\
            For whoever is called when something is wrong, and has never seen the system. `fold explain CODE` prints the \
            entry of a code, without a network. Generated by `UPDATE=1 cargo test -p fold-ops --lib runbook`.\n\n\
            ## What has happened\n\n",
        );
        for page in pages("scenarios") {
            let text_of = fs::read_to_string(folder().join("scenarios").join(format!("{page}.md"))).unwrap();
            let title = text_of.lines().next().unwrap().trim_start_matches("# ").to_owned();
            let _ = writeln!(text, "- [{title}](scenarios/{page}.md)");
        }
        text.push_str("\nAn alert fired: [alerts](alerts.md).\n\n## Codes\n\n| code | severity | class | exit | meaning |\n|---|---|---|---|---|\n");
        for code in Code::all() {
            let (severity, class, exit) = (code.severity(), code.class(), code.exit().number());
            let _ = writeln!(
                text,
                "| [{code}](codes/{code}.md) | {severity} | {class} | {exit} | {} |",
                code.meaning()
            );
        }
        text.push_str("\n## Exit codes\n\n| number | meaning |\n|---|---|\n");
        for exit in crate::ExitCode::ALL {
            let _ = writeln!(text, "| {} | {} |", exit.number(), exit.meaning());
        }
        text.push_str(
            "\nA standard output that cannot be written to, since it is full or its reader has gone, is an input/output error. \
            One that was closed before the program began (`fold verify FILE >&-`) is not seen: what is printed goes nowhere, \
            as into `/dev/null`, and the number is that of the work.\n\
            \nFOLD-E0007 is written of every stop from outside: the number tells SIGINT (130), SIGTERM (143) and, on Linux, \
            SIGHUP (129) apart. Other systems do not say whether SIGHUP is to be ignored, as under `nohup`: what it does is left to \
            them, and 129 is not returned. 75 (try again later) is kept for later releases; nothing ends with it today.\n",
        );
        text
    }

    #[test]
    fn the_index_is_what_the_code_table_gives() {
        let path = folder().join("README.md");
        let expected = index();
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &expected).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap();
        assert!(
            found == expected,
            "docs/runbook/README.md is out of step: UPDATE=1 cargo test -p fold-ops --lib runbook"
        );
    }
}

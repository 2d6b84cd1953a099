//! PyFolds, the safetensors package and NumPy against `fold`: the scripts of docs/interop in a virtual environment.
//!
//! The packages come from wherever pip is set up to get them. Where there is no Python, or they cannot be had, nothing was
//! proven, and that is said.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::checklist::Ended;
use crate::evidence::{self, fold_binary, installed, must, text};

/// What the task, and each script, ends with where it could not be tried.
pub(crate) const SKIPPED: u8 = 77;

/// Where the scripts lie.
const SCRIPTS: &str = "docs/interop";

/// What proves that both directions work.
const PROOFS: [&str; 2] = ["pyfolds_roundtrip.py", "formats.py"];

/// Runs every script; `speed` adds the comparison of times.
fn run_scripts(root: &Path, python: &Path, speed: bool) -> anyhow::Result<Ended> {
    let fold = fold_binary(root)?;
    let mut said = Vec::new();
    let scripts = PROOFS.iter().chain(speed.then_some(&"speed.py"));
    for script in scripts {
        let mut command = Command::new(python);
        command
            .current_dir(root)
            .arg(Path::new(SCRIPTS).join(script))
            .arg(&fold);
        let output = evidence::run(&mut command)?;
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        match output.status.code() {
            Some(0) => said.push(format!("{script}:\n{}", out.trim_end())),
            Some(code) if code == i32::from(SKIPPED) => return Ok(Ended::Skipped(format!("{script}: {}", out.trim()))),
            _ => bail!("{script} ended with {}\n{out}{err}", output.status),
        }
    }
    Ok(Ended::Passed(said.join("\n")))
}

/// Makes the environment where it is not there yet, and runs the scripts in it.
pub(crate) fn run(root: &Path, speed: bool) -> anyhow::Result<Ended> {
    match environment(root, SCRIPTS, "interop")? {
        Ok(python) => {
            let version = "import sys, torch, numpy, safetensors; from importlib.metadata import version; \
                           print('Python', sys.version.split()[0], 'pyfolds', version('pyfolds'), 'torch', \
                           torch.__version__, 'safetensors', safetensors.__version__, 'numpy', numpy.__version__)";
            let (version, _) = must(Command::new(&python).args(["-c", version]))?;
            Ok(match run_scripts(root, &python, speed)? {
                Ended::Passed(said) => Ended::Passed(format!("{version}{said}")),
                skipped => skipped,
            })
        }
        Err(reason) => Ok(Ended::Skipped(reason)),
    }
}

/// The Python of a virtual environment with every package of a folder's requirements.txt; or why there is none. The environment
/// lies under `target`, in a folder of this name.
pub(crate) fn environment(root: &Path, scripts: &str, name: &str) -> anyhow::Result<Result<PathBuf, String>> {
    let requirements = root.join(scripts).join("requirements.txt");
    let folder = evidence::target_dir(root, name).join("venv");
    let python = folder.join(if cfg!(windows) {
        "Scripts/python.exe"
    } else {
        "bin/python"
    });
    if !python.exists() {
        let Some(system) = ["python3", "python"].into_iter().find(|name| installed(name)) else {
            return Ok(Err("there is no python3".into()));
        };
        let made = run_command(Command::new(system).args(["-m", "venv"]).arg(&folder))?;
        if let Err(said) = made {
            // What is left of it must not look like an environment.
            std::fs::remove_dir_all(&folder).ok();
            return Ok(Err(format!("`{system} -m venv` failed: {said}")));
        }
    }
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
    Ok(match run_command(pip.arg(&requirements))? {
        Ok(()) => Ok(python),
        Err(said) => Err(format!(
            "pip cannot install the packages of {scripts}/requirements.txt: {said}"
        )),
    })
}

/// Runs a command; the last thing that it said where it failed.
fn run_command(command: &mut Command) -> anyhow::Result<Result<(), String>> {
    let output = evidence::run(command).context("a command of Python's")?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    let last = said.lines().rfind(|line| !line.trim().is_empty());
    Ok(Err(last.unwrap_or("it said nothing").to_owned()))
}

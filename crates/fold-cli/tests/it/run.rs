//! Training through the binary: what it reports, and that neither threads nor interruptions change a byte.

use std::path::Path;
#[cfg(unix)]
use std::process::Stdio;
#[cfg(unix)]
use std::time::Duration;

#[cfg(unix)]
use super::stdout;
use super::{checkpoints, code, fold, json, stderr, train};

#[test]
fn a_run_reports_its_accuracy_beside_the_controls_and_its_checkpoint_evaluates_to_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let output = train(&out, "2").arg("--json").output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report = json(&output);
    assert_eq!(report["schema"], "fold.train/1");
    for control in [
        "learned",
        "frozen",
        "vote",
        "potentials",
        "potentials_frozen",
        "random_features",
        "kmeans_features",
        "nearest_neighbours",
        "ridge_pixels",
    ] {
        let accuracy = report["accuracy"][control].as_f64().unwrap();
        assert!((0.2..1.0).contains(&accuracy), "{control}: {accuracy}");
    }
    let newest = report["final_checkpoint"].as_str().unwrap();
    let output = fold(&["eval", newest, "--data", "digits", "--json"]).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(json(&output)["accuracy"], report["accuracy"]["learned"]);
}

#[test]
fn one_thread_and_two_leave_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = ["1", "2"].map(|threads| {
        let out = dir.path().join(threads);
        let output = train(&out, "2").args(["--threads", threads]).output().unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        checkpoints(&out)
    });
    assert_eq!(one.len(), 3);
    assert!(one == two);
    for threads in ["0", "257"] {
        let output = train(&dir.path().join("none"), "1")
            .args(["--threads", threads])
            .output()
            .unwrap();
        assert_eq!(
            code(&output),
            2,
            "{threads}: thousands of threads only wait for each other"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_run_killed_at_any_moment_resumes_to_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    assert_eq!(code(&train(&whole, "6").output().unwrap()), 0);
    let expected = checkpoints(&whole);
    let mut killed = 0;
    for turn in 0..8u64 {
        let out = dir.path().join(format!("killed-{turn}"));
        let mut child = train(&out, "6")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(10 + 45 * turn));
        child.kill().unwrap();
        killed += u32::from(!child.wait().unwrap().success());
        let output = train(&out, "6").arg("--resume").output().unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(checkpoints(&out) == expected, "killed after {} ms", 10 + 45 * turn);
    }
    assert!(killed > 0, "every run ended before it was killed");
}

#[test]
fn a_damaged_newest_checkpoint_is_passed_over_aloud_and_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    assert_eq!(code(&train(&out, "2").output().unwrap()), 0);
    let expected = checkpoints(&out);
    let newest = out.join(expected.keys().next_back().unwrap());
    let mut bytes = std::fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&newest, bytes).unwrap();
    let output = train(&out, "2").arg("--resume").output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("passed over") && stderr(&output).contains("step-00000002.fold"));
    assert!(stderr(&output).contains("resumed from") && stderr(&output).contains("step-00000001.fold"));
    assert!(checkpoints(&out) == expected);
}

#[test]
fn the_command_that_verify_names_goes_on_with_the_settings_of_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let output = train(&out, "10").args(["--seed", "5"]).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let expected = checkpoints(&out);
    let newest = out.join("step-00000010.fold");
    let mut bytes = std::fs::read(&newest).unwrap();
    bytes[9000] ^= 1;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&newest, bytes).unwrap();
    let report = json(&fold(&["verify", "--json"]).arg(&out).output().unwrap());
    let files = report["files"].as_array().unwrap();
    let damaged = files.iter().find(|file| file["verdict"] == "damaged").unwrap();
    let command = damaged["findings"][0]["next_command"].as_str().unwrap();
    let arguments: Vec<&str> = command.split(' ').skip(1).collect();
    let output = fold(&arguments).output().unwrap();
    assert_eq!(code(&output), 0, "{command}: {}", stderr(&output));
    assert!(checkpoints(&out) == expected, "{command}");
}

#[test]
fn a_resumption_knows_the_data_and_how_long_the_run_is_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("stripes.npz");
    stripes(&data);
    let begun = |out: &Path, data: &Path, epochs: &str| {
        let mut command = fold(&["train", "--neurons", "24", "--quiet", "--epochs", epochs]);
        command
            .current_dir(dir.path())
            .arg("--data")
            .arg(data)
            .arg("--out")
            .arg(out)
            .output()
            .unwrap()
    };
    let (whole, out) = (dir.path().join("whole"), dir.path().join("run"));
    assert_eq!(code(&begun(&whole, &data, "10")), 0);
    let output = begun(&out, Path::new("stripes.npz"), "10");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    // As it was when a signal ended it after epoch 1.
    for epoch in 2..=10 {
        std::fs::remove_file(out.join(format!("step-{epoch:08}.fold"))).unwrap();
    }
    let resume = || {
        fold(&["train", "--resume", "--quiet", "--out"])
            .arg(&out)
            .output()
            .unwrap()
    };
    let output = resume();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(checkpoints(&out) == checkpoints(&whole));
    // Without what the run tells of itself one has to say it.
    std::fs::remove_file(out.join(".fold-run.json")).unwrap();
    let output = resume();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("give --data"), "{}", stderr(&output));
}

#[test]
fn a_checkpoints_settings_compute_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let [out, again] = ["run", "again"].map(|name| dir.path().join(name));
    let configured = dir.path().join("given.json");
    std::fs::write(&configured, r#"{"winners": 3, "learning_rate": 0.03}"#).unwrap();
    let mut command = train(&out, "2");
    let output = command
        .args(["--seed", "18446744073709551615", "--config"])
        .arg(&configured)
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let settings = dir.path().join("settings.json");
    let mut command = fold(&["extract", "--chunk", "training"]);
    let output = command
        .arg(out.join("step-00000002.fold"))
        .arg("-o")
        .arg(&settings)
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let mut command = fold(&["train", "--data", "digits", "--quiet", "--config"]);
    let output = command.arg(&settings).arg("--out").arg(&again).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(checkpoints(&again) == checkpoints(&out));
}

#[test]
fn a_directory_that_holds_a_run_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    assert_eq!(code(&train(&out, "1").output().unwrap()), 0);
    let before = checkpoints(&out);
    let output = train(&out, "1").args(["--seed", "9"]).output().unwrap();
    assert_eq!(code(&output), 21);
    assert!(stderr(&output).contains("FOLD-E0003"));
    let output = train(&out, "1").args(["--neurons", "30", "--resume"]).output();
    assert_ne!(code(&output.unwrap()), 0, "another configuration was resumed");
    assert!(checkpoints(&out) == before);
}

#[test]
fn wrong_settings_are_usage_errors_that_name_the_setting() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.json");
    let with = |text: &str| {
        std::fs::write(&config, text).unwrap();
        let mut command = train(&dir.path().join("run"), "1");
        command.arg("--config").arg(&config).output().unwrap()
    };
    let output = with(r#"{"learning_rat": 0.1}"#);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("FOLD-E0002") && stderr(&output).contains("learning_rat"));
    let output = with("[10]");
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("FOLD-E0001") && stderr(&output).contains("a JSON object"));
    let output = train(&dir.path().join("run"), "0").output().unwrap();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("train.epochs"), "{}", stderr(&output));
    let output = fold(&["train", "--data", "letters", "--out", "nowhere"])
        .output()
        .unwrap();
    assert_eq!(code(&output), 2);
    assert!(!dir.path().join("run").exists());
}

#[test]
fn a_resumption_without_a_run_says_that_it_starts() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("mistyped");
    let output = train(&out, "1").arg("--resume").output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let told = stderr(&output);
    let line = told.lines().find(|line| line.contains("the run starts anew"));
    assert!(line.is_some_and(|line| line.contains("mistyped")), "{told}");
    assert!(!stderr(&train(&out, "1").arg("--resume").output().unwrap()).contains("anew"));
}

#[cfg(unix)]
#[test]
fn the_command_that_a_run_ends_with_is_one_for_a_shell() {
    let dir = tempfile::tempdir().unwrap();
    for out in ["run", "my runs/$(touch PWNED)", "a'b`touch PWNED`"] {
        let output = train(out.as_ref(), "1").current_dir(dir.path()).output().unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let told = stderr(&output);
        let command = told.lines().find_map(|line| line.strip_prefix("next: ")).unwrap();
        let followed = super::shell(command).current_dir(dir.path()).output().unwrap();
        assert_eq!(code(&followed), 0, "{command}: {}", stderr(&followed));
        assert!(stdout(&followed).contains("2 of 2 files whole"), "{command}");
        assert!(!dir.path().join("PWNED").exists(), "{command}");
    }
    // What cannot be shown faithfully is not put into a command.
    let output = train("a\u{1b}[2J".as_ref(), "1")
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(code(&output), 0);
    assert!(!stderr(&output).contains("next:") && !stderr(&output).contains('\u{1b}'));
}

/// Images of one stripe, as an archive.
fn stripes(path: &Path) {
    use fold_format::interchange::npz::Writer;
    use fold_format::{Dtype, Shape};
    let mut writer = Writer::new(std::fs::File::create(path).unwrap());
    for (part, count) in [("train", 60_u64), ("test", 20)] {
        // One stripe across or along, in one of eight places.
        let pixels = (0..count).flat_map(|image| {
            (0..64).map(move |pixel| {
                let line = if image % 2 == 0 { pixel / 8 } else { pixel % 8 };
                if line == image / 2 % 8 { 255 } else { 0 }
            })
        });
        let shape = Shape::new(&[count, 8, 8]).unwrap();
        let pixels: Vec<u8> = pixels.collect();
        writer.add(&format!("x_{part}"), Dtype::U8, &shape, &pixels).unwrap();
        let labels: Vec<u8> = (0..count).map(|image| (image % 2) as u8).collect();
        let shape = Shape::new(&[count]).unwrap();
        writer.add(&format!("y_{part}"), Dtype::U8, &shape, &labels).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn an_archive_of_arrays_is_a_data_set() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("stripes.npz");
    stripes(&data);
    let data = data.to_str().unwrap();
    let out = dir.path().join("run");
    let mut command = fold(&[
        "train",
        "--data",
        data,
        "--neurons",
        "24",
        "--epochs",
        "2",
        "--json",
        "--out",
    ]);
    let output = command.arg(&out).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report = json(&output);
    assert_eq!(
        (&report["data"], &report["train_images"], &report["test_images"]),
        (&"npz".into(), &60.into(), &20.into())
    );
    let output = fold(&["eval", "--data", data, "--json"]).arg(&out).output().unwrap();
    assert_eq!(json(&output)["accuracy"], report["accuracy"]["learned"]);
    let other = fold(&[
        "train",
        "--data",
        env!("CARGO_BIN_EXE_fold"),
        "--json",
        "--out",
        "nowhere",
    ])
    .current_dir(dir.path())
    .output()
    .unwrap();
    assert_eq!((code(&other), &json(&other)["code"]), (20, &"FOLD-E0805".into()));
    assert!(!dir.path().join("nowhere").exists());
}

#[test]
fn seeds_that_a_double_cannot_hold_are_strings() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let seed = u64::MAX.to_string();
    let arguments = ["--json", "--seed", &seed, "--seeds", "2"];
    let output = train(&out, "1").args(arguments).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report = json(&output);
    assert_eq!(report["seeds"], serde_json::json!([seed, 0]));
    assert_eq!(
        (&report["per_seed"][0]["seed"], &report["per_seed"][1]["seed"]),
        (&seed.clone().into(), &0.into())
    );
    let mut command = fold(&["eval", "--data", "digits", "--json"]);
    let report = json(&command.arg(&out).output().unwrap());
    assert_eq!(report["seed"], seed);
}

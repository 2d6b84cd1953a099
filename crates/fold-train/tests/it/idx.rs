//! A data set from a directory: learned from, saved, gone on with and evaluated as the embedded one.

use std::path::Path;

use fold_train::{DataSet, Error, Resume, Silent, TrainConfig, TrainRequest, evaluate, train};

const SIDE: usize = 12;

/// Stripes across, along or slanting, their place and the noise on them a function of the image's number.
fn image(number: usize) -> (u8, Vec<u8>) {
    let class = number % 3;
    let mut state = number as u64 + 1;
    let pixels = (0..SIDE * SIDE).map(|pixel| {
        let (row, column) = (pixel / SIDE, pixel % SIDE);
        let along = [row, column, row + column][class];
        state = state
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        let noise = (state >> 58) as u8;
        if (along + number / 3).is_multiple_of(4) {
            255 - noise
        } else {
            noise
        }
    });
    (class as u8, pixels.collect())
}

/// Writes the images of some numbers as one part of a data set.
fn write_part(dir: &Path, part: &str, numbers: std::ops::Range<usize>) {
    let header = |dims: &[usize]| {
        let mut file = vec![0, 0, 8, dims.len() as u8];
        dims.iter()
            .for_each(|&len| file.extend_from_slice(&(len as u32).to_be_bytes()));
        file
    };
    let mut images = header(&[numbers.len(), SIDE, SIDE]);
    let mut labels = header(&[numbers.len()]);
    for number in numbers {
        let (label, pixels) = image(number);
        images.extend_from_slice(&pixels);
        labels.push(label);
    }
    std::fs::write(dir.join(format!("{part}-images-idx3-ubyte")), images).unwrap();
    std::fs::write(dir.join(format!("{part}-labels-idx1-ubyte")), labels).unwrap();
}

#[test]
fn a_directory_of_images_is_learned_from_saved_and_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    write_part(dir.path(), "train", 0..120);
    write_part(dir.path(), "t10k", 120..180);
    let data = DataSet::named(dir.path().to_str().unwrap()).unwrap();
    assert_eq!((data.train.count(), data.test.count(), data.classes), (120, 60, 3));
    assert_eq!(data.encoding.dendrites(), 9);
    let request = |out: &str, epochs| TrainRequest {
        data: data.clone(),
        out: dir.path().join(out),
        config: TrainConfig {
            neurons: 24,
            winners: 2,
            epochs,
            ..TrainConfig::default()
        },
        seed: 3,
        more_seeds: Vec::new(),
        resume: Resume::Auto,
        retention: None,
        parity: None,
    };
    let whole = train(&request("whole", 3), &mut Silent).unwrap();
    assert!(whole.accuracy.learned > 0.9, "{:?}", whole.accuracy);
    train(&request("parts", 1), &mut Silent).unwrap();
    let parts = train(&request("parts", 3), &mut Silent).unwrap();
    let bytes = |path| std::fs::read(path).unwrap();
    assert!(bytes(&whole.final_checkpoint) == bytes(&parts.final_checkpoint));
    let eval = evaluate(&whole.final_checkpoint, || Ok(data.clone())).unwrap();
    assert_eq!(eval.accuracy, whole.accuracy.learned);

    let error = evaluate(&whole.final_checkpoint, DataSet::digits).unwrap_err();
    assert!(matches!(error, Error::OtherData { .. }), "{error}");
}

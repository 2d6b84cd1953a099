//! A data set from an archive of arrays: the digits in one are learned from as the embedded ones are.

use std::fs::File;

use fold_ops::interchange::npz::Writer;
use fold_ops::{Checkpoint, Dtype, Shape};
use fold_train::data::Images;
use fold_train::{DataSet, Silent, TrainOutcome, TrainRequest, evaluate, train};

use crate::small;

/// Adds one part of a data set: its images as [N, 8, 8] or [N, 64], its labels as i64 or u8.
fn add(writer: &mut Writer<File>, [x, y]: [&str; 2], images: &Images, flat: bool) {
    let count = images.count() as u64;
    let shape = |extents: &[u64]| Shape::new(extents).unwrap();
    let bytes: Vec<u8> = images.pixels().iter().flat_map(|pixel| pixel.to_le_bytes()).collect();
    let square = if flat {
        shape(&[count, 64])
    } else {
        shape(&[count, 8, 8])
    };
    writer.add(x, Dtype::F32, &square, &bytes).unwrap();
    let labels = images.labels();
    let wide: Vec<u8> = labels
        .iter()
        .flat_map(|&label| i64::from(label).to_le_bytes())
        .collect();
    let (dtype, bytes) = if flat {
        (Dtype::U8, labels)
    } else {
        (Dtype::I64, &wide[..])
    };
    writer.add(y, dtype, &shape(&[count]), bytes).unwrap();
}

/// The tensors of a run's last checkpoint.
fn tensors(outcome: &TrainOutcome) -> Vec<(String, Vec<u8>)> {
    let checkpoint = Checkpoint::open(&outcome.final_checkpoint).unwrap();
    let infos = checkpoint.tensors().unwrap();
    infos
        .map(|info| {
            (
                info.name.to_owned(),
                checkpoint.tensor(info.name).unwrap().as_bytes().to_vec(),
            )
        })
        .collect()
}

#[test]
fn the_digits_in_an_archive_are_learned_as_the_embedded_ones_are() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = small(&dir.path().join("embedded"));
    let path = dir.path().join("digits.npz");
    let mut writer = Writer::new(File::create(&path).unwrap());
    add(&mut writer, ["x_train", "y_train"], &embedded.data.train, false);
    add(&mut writer, ["x_test", "y_test"], &embedded.data.test, true);
    writer.finish().unwrap();
    let data = DataSet::named(path.to_str().unwrap()).unwrap();
    assert_eq!((data.name, data.classes), ("npz", 10));
    assert_eq!((&data.train, &data.test), (&embedded.data.train, &embedded.data.test));
    let archived = TrainRequest {
        data: data.clone(),
        ..small(&dir.path().join("archived"))
    };
    let archived = train(&archived, &mut Silent).unwrap();
    let embedded = train(&embedded, &mut Silent).unwrap();
    assert_eq!(archived.data, "npz");
    assert_eq!(archived.accuracy, embedded.accuracy);
    assert!(tensors(&archived) == tensors(&embedded), "another layer was learned");
    let eval = evaluate(&embedded.final_checkpoint, || Ok(data)).unwrap();
    assert_eq!(eval.accuracy, embedded.accuracy.learned);
}

//! Data sets from a directory: images and labels in the IDX format, as MNIST and those after it are handed round.
//!
//! | file, or the same with `.gz` | content |
//! |---|---|
//! | `train-images-idx3-ubyte`, `t10k-images-idx3-ubyte` | `00 00 08 03`, then N, rows and columns as big-endian u32, then N images of u8 |
//! | `train-labels-idx1-ubyte`, `t10k-labels-idx1-ubyte` | `00 00 08 01`, then N, then N labels of u8 |
//!
//! The bytes may be anything: a size that the header promises is compared with [`BYTES_MAX`] before a byte of it is read, and
//! memory grows with the bytes that are there.
//!
//! # Source
//! The format: Y. LeCun, C. Cortes, C. J. C. Burges, *The MNIST database of handwritten digits*, section "File formats".

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use crate::Error;
use crate::data::{DataSet, Images, TRAINED_MIN};
use crate::encode::{Encoding, PATCH, SIDE_MAX};

/// No file's content may be longer.
pub const BYTES_MAX: u64 = 1 << 30;

/// What is wrong with a file in the IDX format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdxDefect {
    /// It does not begin as a file of this kind does.
    Magic {
        /// How it should.
        expected: [u8; 4],
        /// How it does.
        found: [u8; 4],
    },
    /// It ends before the content that its header promises, or in the header.
    Short {
        /// Bytes that it should have.
        expected: u64,
        /// Bytes that it has.
        found: u64,
    },
    /// It goes on behind the content that its header promises.
    Long {
        /// Bytes that it should have.
        expected: u64,
    },
    /// The header promises more than [`BYTES_MAX`].
    TooLarge,
    /// The compressed stream is damaged.
    Compression,
    /// Too few images: two at least to train on, one held out.
    Few {
        /// How many there should be at least.
        least: usize,
        /// How many there are.
        found: u32,
    },
    /// Images of a size that cannot be encoded.
    Size {
        /// Pixels from top to bottom.
        rows: u32,
        /// Pixels from left to right.
        columns: u32,
    },
    /// The held-out images have another size than those to train on.
    OtherSize {
        /// Pixels along a side of those to train on.
        train: usize,
        /// Of these.
        test: usize,
    },
    /// Another number of labels than of images.
    Count {
        /// Images.
        images: usize,
        /// Labels.
        labels: usize,
    },
    /// A label of the held-out images that none to train on has, nor a larger one.
    Label {
        /// Which one, from 0.
        at: usize,
        /// The label.
        label: u8,
        /// Labels to train on are below this.
        classes: usize,
    },
}

impl fmt::Display for IdxDefect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic { expected, found } => write!(f, "begins with {found:02x?} instead of {expected:02x?}"),
            Self::Short { expected, found } => write!(f, "has {found} bytes, {expected} belong there"),
            Self::Long { expected } => write!(f, "has more than the {expected} bytes that belong there"),
            Self::TooLarge => write!(f, "promises more than {BYTES_MAX} bytes"),
            Self::Compression => f.write_str("the compressed stream is damaged"),
            Self::Few { least, found } => write!(f, "has {found} images, at least {least} belong there"),
            Self::Size { rows, columns } => write!(
                f,
                "images of {rows}x{columns} pixels; both must be the same, a multiple of {PATCH} and at most {SIDE_MAX}"
            ),
            Self::OtherSize { train, test } => {
                write!(
                    f,
                    "images of {test}x{test} pixels, those to train on have {train}x{train}"
                )
            }
            Self::Count { images, labels } => write!(f, "{labels} labels for {images} images"),
            Self::Label { at, label, classes } => {
                write!(f, "label {at} is {label}, those to train on are below {classes}")
            }
        }
    }
}

/// What a file of `D` dimensions holds.
struct Array<const D: usize> {
    path: PathBuf,
    lens: [u32; D],
    bytes: Vec<u8>,
}

impl<const D: usize> Array<D> {
    /// Reads `stem` of `dir`, or else `stem.gz`.
    fn read(dir: &Path, stem: &str) -> Result<Self, Error> {
        let plain = dir.join(stem);
        let packed = dir.join(format!("{stem}.gz"));
        let (path, is_packed) = match plain.exists() || !packed.exists() {
            true => (plain, false),
            false => (packed, true),
        };
        let opened = match std::fs::metadata(&path) {
            Ok(found) if !found.is_file() => Err(io::Error::other("not a regular file")),
            Ok(_) => File::open(&path),
            Err(error) => Err(error),
        };
        let read = opened.map_err(Fault::Io).and_then(|file| match is_packed {
            true => Self::parse(GzDecoder::new(io::BufReader::new(file))),
            false => Self::parse(file),
        });
        match read {
            Ok((lens, bytes)) => Ok(Self { path, lens, bytes }),
            Err(Fault::Defect(defect)) => Err(Error::Idx { path, defect }),
            Err(Fault::Io(error)) if is_packed && is_damage(error.kind()) => Err(Error::Idx {
                path,
                defect: IdxDefect::Compression,
            }),
            Err(Fault::Io(source)) => Err(Error::DataFile { path, source }),
        }
    }

    fn parse(mut source: impl Read) -> Result<([u32; D], Vec<u8>), Fault> {
        let header_len = 4 + 4 * D as u64;
        let mut header = Vec::new();
        source.by_ref().take(header_len).read_to_end(&mut header)?;
        let short = |expected, found: usize| {
            Fault::Defect(IdxDefect::Short {
                expected,
                found: found as u64,
            })
        };
        let (magic, rest) = header
            .split_first_chunk::<4>()
            .ok_or_else(|| short(header_len, header.len()))?;
        // Two zeros, the type u8, the number of dimensions.
        let expected = [0, 0, 8, D as u8];
        if *magic != expected {
            return Err(Fault::Defect(IdxDefect::Magic {
                expected,
                found: *magic,
            }));
        }
        let mut lens = [0; D];
        for (at, len) in lens.iter_mut().enumerate() {
            let four = rest.get(4 * at..).and_then(|rest| rest.first_chunk::<4>());
            *len = u32::from_be_bytes(*four.ok_or_else(|| short(header_len, header.len()))?);
        }
        let content = lens
            .iter()
            .try_fold(1_u64, |product, &len| product.checked_mul(len.into()));
        let content = content
            .filter(|&len| len <= BYTES_MAX)
            .ok_or(Fault::Defect(IdxDefect::TooLarge))?;
        let mut bytes = Vec::new();
        source.take(content + 1).read_to_end(&mut bytes)?;
        let expected = header_len + content;
        match (bytes.len() as u64).cmp(&content) {
            std::cmp::Ordering::Less => Err(short(expected, header.len() + bytes.len())),
            std::cmp::Ordering::Equal => Ok((lens, bytes)),
            std::cmp::Ordering::Greater => Err(Fault::Defect(IdxDefect::Long { expected })),
        }
    }

    fn fault(&self, defect: IdxDefect) -> Error {
        Error::Idx {
            path: self.path.clone(),
            defect,
        }
    }
}

enum Fault {
    Defect(IdxDefect),
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What a decoder answers to bytes that are no whole stream.
fn is_damage(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(kind, InvalidData | InvalidInput | UnexpectedEof)
}

/// Images and labels of one part; `part` as in the files' names, `least` images.
fn part(dir: &Path, part: &str, least: usize) -> Result<(Encoding, Images, [PathBuf; 2]), Error> {
    let images = Array::<3>::read(dir, &format!("{part}-images-idx3-ubyte"))?;
    let labels = Array::<1>::read(dir, &format!("{part}-labels-idx1-ubyte"))?;
    let [count, rows, columns] = images.lens;
    if (count as usize) < least {
        return Err(images.fault(IdxDefect::Few { least, found: count }));
    }
    let encoding = (rows == columns).then(|| Encoding::of_side(rows as usize)).flatten();
    let encoding = encoding.ok_or_else(|| images.fault(IdxDefect::Size { rows, columns }))?;
    if labels.bytes.len() != count as usize {
        return Err(labels.fault(IdxDefect::Count {
            images: count as usize,
            labels: labels.bytes.len(),
        }));
    }
    let pixels = images.bytes.iter().map(|&value| f32::from(value) / 255.0).collect();
    let paths = [images.path, labels.path];
    Ok((encoding, Images::new(pixels, labels.bytes, encoding.pixels())?, paths))
}

impl DataSet {
    /// The data set in a directory of IDX files, as the module says.
    ///
    /// Its name is `idx`, whatever the directory is called; what tells such sets apart is the digest of their content.
    ///
    /// # Errors
    /// [`Error::DataFile`]: a file is absent or cannot be read; [`Error::Idx`]: it is not what the format says.
    pub fn idx(dir: &Path) -> Result<Self, Error> {
        let (encoding, train, _) = part(dir, "train", TRAINED_MIN)?;
        let (test_encoding, test, [test_images, test_labels]) = part(dir, "t10k", 1)?;
        if test_encoding != encoding {
            return Err(Error::Idx {
                path: test_images,
                defect: IdxDefect::OtherSize {
                    train: encoding.side(),
                    test: test_encoding.side(),
                },
            });
        }
        let classes = train.labels().iter().max().map_or(0, |&label| usize::from(label) + 1);
        if let Some(at) = test.labels().iter().position(|&label| usize::from(label) >= classes) {
            return Err(Error::Idx {
                path: test_labels,
                defect: IdxDefect::Label {
                    at,
                    label: test.labels()[at],
                    classes,
                },
            });
        }
        Ok(Self {
            name: "idx",
            train,
            test,
            encoding,
            classes,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const NAMES: [&str; 4] = [
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ];

    fn array(lens: &[u32], bytes: &[u8]) -> Vec<u8> {
        let mut file = vec![0, 0, 8, lens.len() as u8];
        lens.iter().for_each(|len| file.extend_from_slice(&len.to_be_bytes()));
        file.extend_from_slice(bytes);
        file
    }

    /// Three images of 4x4 pixels to train on and two held out, in the order of NAMES.
    fn files() -> [Vec<u8>; 4] {
        let pixels = (0..80).collect::<Vec<u8>>();
        [
            array(&[3, 4, 4], &pixels[..48]),
            array(&[3], &[2, 0, 1]),
            array(&[2, 4, 4], &pixels[48..]),
            array(&[2], &[1, 2]),
        ]
    }

    fn written(files: &[Vec<u8>; 4]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, file) in NAMES.iter().zip(files) {
            std::fs::write(dir.path().join(name), file).unwrap();
        }
        dir
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// What is said when the file of this number is another one.
    fn defect(number: usize, file: Vec<u8>) -> IdxDefect {
        let mut files = files();
        files[number] = file;
        let dir = written(&files);
        match DataSet::idx(dir.path()).map(|data| data.classes) {
            Err(Error::Idx { path, defect }) => {
                assert_eq!(path, dir.path().join(NAMES[number]));
                defect
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn plain_and_packed_files_hold_the_same_images() {
        let dir = written(&files());
        let data = DataSet::idx(dir.path()).unwrap();
        assert_eq!((data.train.count(), data.test.count(), data.classes), (3, 2, 3));
        assert_eq!(data.encoding.side(), 4);
        assert_eq!(data.train.rows().nth(1).unwrap()[..2], [16.0 / 255.0, 17.0 / 255.0]);
        assert_eq!(data.test.labels(), [1, 2]);
        for (name, file) in NAMES.iter().zip(files()) {
            std::fs::remove_file(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(format!("{name}.gz")), packed(&file)).unwrap();
        }
        assert_eq!(DataSet::named(dir.path().to_str().unwrap()).unwrap(), data);
    }

    #[test]
    fn every_cut_and_every_addition_is_noticed() {
        for (number, file) in files().into_iter().enumerate() {
            for len in 0..file.len() {
                match defect(number, file[..len].to_vec()) {
                    IdxDefect::Short { expected, found } => {
                        assert!(found == len as u64 && expected > found, "{number} {len}");
                    }
                    other => panic!("{number} {len}: {other:?}"),
                }
            }
            let expected = file.len() as u64;
            assert_eq!(
                defect(number, [file, vec![0]].concat()),
                IdxDefect::Long { expected },
                "{number}"
            );
        }
    }

    #[test]
    fn a_header_is_believed_only_as_far_as_the_bytes_go() {
        let most = array(&[u32::MAX, u32::MAX, u32::MAX], &[]);
        assert_eq!(defect(0, most), IdxDefect::TooLarge);
        assert_eq!(defect(0, array(&[1 << 24, 8, 12], &[])), IdxDefect::TooLarge);
        // As much as is allowed, promised by 16 bytes: nothing is allocated for it.
        let expected = 16 + BYTES_MAX;
        assert_eq!(
            defect(0, array(&[1 << 20, 32, 32], &[])),
            IdxDefect::Short { expected, found: 16 }
        );
    }

    #[test]
    fn every_rule_has_its_defect() {
        let mut file = files()[1].clone();
        file[2] = 0x0d;
        let (expected, found) = ([0, 0, 8, 1], [0, 0, 0x0d, 1]);
        assert_eq!(defect(1, file), IdxDefect::Magic { expected, found });
        for (number, found, least) in [(2, 0, 1), (0, 0, 2), (0, 1, 2)] {
            let few = defect(number, array(&[found, 4, 4], &vec![0; 16 * found as usize]));
            assert_eq!(few, IdxDefect::Few { least, found });
            let text = format!("has {found} images, at least {least} belong there");
            assert_eq!(few.to_string(), text);
        }
        let pixels = [0; 60];
        for (rows, columns) in [(4, 5), (5, 4), (2, 2), (0, 0)] {
            let file = array(&[3, rows, columns], &pixels[..3 * (rows * columns) as usize]);
            assert_eq!(defect(0, file), IdxDefect::Size { rows, columns });
        }
        let (images, labels) = (3, 2);
        assert_eq!(defect(1, array(&[2], &[0, 1])), IdxDefect::Count { images, labels });
        let (train, test) = (4, 8);
        assert_eq!(
            defect(2, array(&[2, 8, 8], &[0; 128])),
            IdxDefect::OtherSize { train, test }
        );
        let label = IdxDefect::Label {
            at: 1,
            label: 3,
            classes: 3,
        };
        assert_eq!(defect(3, array(&[2], &[1, 3])), label);
        assert_eq!(label.to_string(), "label 1 is 3, those to train on are below 3");
    }

    #[test]
    fn a_damaged_stream_and_an_absent_file_have_their_own_errors() {
        let dir = written(&files());
        let plain = dir.path().join(NAMES[2]);
        let whole = packed(&std::fs::read(&plain).unwrap());
        std::fs::remove_file(&plain).unwrap();
        let error = DataSet::idx(dir.path()).unwrap_err();
        assert!(
            matches!(&error, Error::DataFile { path, .. } if *path == plain),
            "{error}"
        );
        assert_eq!(error.code(), "FOLD-E0103");
        let path = dir.path().join(format!("{}.gz", NAMES[2]));
        for len in 0..whole.len() {
            std::fs::write(&path, &whole[..len]).unwrap();
            let error = DataSet::idx(dir.path()).unwrap_err();
            let Error::Idx { defect, .. } = &error else {
                panic!("{len}: {error}")
            };
            assert_eq!(*defect, IdxDefect::Compression, "{len}");
            assert_eq!(error.code(), "FOLD-E0008");
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert_eq!(DataSet::idx(dir.path()).unwrap_err().code(), "FOLD-E0406");
    }
}

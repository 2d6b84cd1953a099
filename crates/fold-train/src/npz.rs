//! Data sets from an archive of arrays: images and labels under the names that Keras gives them, as in `mnist.npz`.
//!
//! | array | content |
//! |---|---|
//! | `x_train`, `x_test` | square images, two at least to train on and one held out, [N, H, W] or [N, P]: u8, of which 255 is ink, or f32 in [0, 1] |
//! | `y_train`, `y_test` | labels `[N]`: integers from 0 to 255 |
//!
//! What else an archive holds is passed over unread. The bytes may be anything: no array may have more than
//! [`crate::idx::BYTES_MAX`] of them.

use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use fold_ops::interchange::{Array, Fault, npz};
use fold_ops::{Dtype, Escaped, Shape, input_file};

use crate::Error;
use crate::data::{DataSet, Images, TRAINED_MIN};
use crate::encode::{Encoding, PATCH, SIDE_MAX};
use crate::idx::BYTES_MAX;

/// Which pixels there may be.
const PIXELS: &str = "u8 or f32";
/// Which labels there may be.
const LABELS: &str = "integers";

/// What is wrong with an array of an archive.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum NpzDefect {
    /// It is not there.
    Missing,
    /// It has elements of another type.
    Dtype {
        /// Which ones it should have.
        expected: &'static str,
        /// Which ones it has; a type of NumPy's that has no counterpart here as NumPy writes it.
        found: Box<str>,
    },
    /// It has other dimensions.
    Shape {
        /// Which ones it should have.
        expected: &'static str,
        /// Which ones it has.
        found: Shape,
    },
    /// Too few images: two at least to train on, one held out.
    Few {
        /// How many there should be at least.
        least: usize,
        /// How many there are.
        found: u64,
    },
    /// Images of a size that cannot be encoded.
    Size {
        /// Their shape and number.
        found: Shape,
    },
    /// The held-out images have another size than those to train on.
    OtherSize {
        /// Pixels along a side of those to train on.
        expected: usize,
        /// Of these.
        found: usize,
    },
    /// A pixel outside of [0, 1], or no number.
    Pixel {
        /// Which image, from 0.
        image: usize,
        /// Its pixel, from 0.
        pixel: usize,
        /// Its value.
        found: f32,
    },
    /// Another number of labels than of images.
    Count {
        /// Images.
        expected: usize,
        /// Labels.
        found: usize,
    },
    /// A label that cannot be: below 0, above 255, or, of the held-out images, above those to train on.
    Label {
        /// Which one, from 0.
        at: usize,
        /// The largest one that can be.
        max: u8,
        /// The label.
        found: i128,
    },
}

impl fmt::Display for NpzDefect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is not there; expected x_train, y_train, x_test and y_test"),
            Self::Dtype { expected, found } => write!(f, "has elements {}, expected {expected}", Escaped(found)),
            Self::Shape { expected, found } => write!(f, "has shape {found}, expected {expected}"),
            Self::Few { least, found } => write!(f, "has {found} images, expected at least {least}"),
            Self::Size { found } => write!(
                f,
                "has shape {found}, expected square images with a side that is a multiple of {PATCH} and at most {SIDE_MAX}"
            ),
            Self::OtherSize { expected, found } => {
                write!(
                    f,
                    "has images of {found}x{found} pixels, expected {expected}x{expected}"
                )
            }
            Self::Pixel { image, pixel, found } => {
                write!(f, "has {found} as pixel {pixel} of image {image}, expected [0, 1]")
            }
            Self::Count { expected, found } => {
                write!(f, "has {found} labels, expected one for each of {expected} images")
            }
            Self::Label { at, max, found } => write!(f, "has {found} as label {at}, expected 0 to {max}"),
        }
    }
}

/// An open archive.
struct Archive<'a> {
    path: &'a Path,
    arrays: npz::Npz<BufReader<File>>,
}

impl<'a> Archive<'a> {
    fn open(path: &'a Path) -> Result<Self, Error> {
        let file = BufReader::new(input_file::open(path)?);
        let opened = npz::Npz::open(file, BYTES_MAX);
        let arrays = opened.map_err(|source| Error::Archive {
            path: path.into(),
            array: None,
            source,
        })?;
        Ok(Self { path, arrays })
    }

    fn fault(&self, array: &'static str, defect: NpzDefect) -> Error {
        Error::Npz {
            path: self.path.into(),
            array,
            defect: defect.into(),
        }
    }

    /// An array, whose elements should be `expected`.
    fn array(&mut self, name: &'static str, expected: &'static str) -> Result<Array<'static>, Error> {
        match self.arrays.array(name) {
            Ok(Some(array)) => Ok(array),
            Ok(None) => Err(self.fault(name, NpzDefect::Missing)),
            Err(Fault::NpzDtype { descr: found, .. }) => Err(self.fault(name, NpzDefect::Dtype { expected, found })),
            Err(source) => Err(Error::Archive {
                path: self.path.into(),
                array: Some(name),
                source,
            }),
        }
    }

    /// Images and labels of one part.
    ///
    /// - `names`: of the images, and of the labels.   - `least`: images.   - `max`: the largest label.
    fn part(&mut self, names: [&'static str; 2], least: usize, max: u8) -> Result<(Encoding, Images), Error> {
        let [x, y] = names;
        let array = self.array(x, PIXELS)?;
        let encoding = encoding(&array.shape, least).map_err(|defect| self.fault(x, defect))?;
        let pixels = pixels(&array, encoding).map_err(|defect| self.fault(x, defect))?;
        let array = self.array(y, LABELS)?;
        let images = pixels.len() / encoding.pixels();
        let labels = labels(&array, images, max).map_err(|defect| self.fault(y, defect))?;
        Ok((encoding, Images::new(pixels, labels, encoding.pixels())?))
    }
}

/// How images of this shape, with their number in front, are encoded; there must be `least` of them.
fn encoding(shape: &Shape, least: usize) -> Result<Encoding, NpzDefect> {
    let (count, side) = match *shape.extents() {
        [count, rows, columns] => (count, (rows == columns).then_some(rows)),
        [count, pixels] => (count, Some(pixels.isqrt()).filter(|side| side * side == pixels)),
        _ => {
            let (expected, found) = ("[N, H, W] or [N, P]", *shape);
            return Err(NpzDefect::Shape { expected, found });
        }
    };
    if count < least as u64 {
        return Err(NpzDefect::Few { least, found: count });
    }
    let side = side.and_then(|side| usize::try_from(side).ok());
    let size = NpzDefect::Size { found: *shape };
    side.and_then(Encoding::of_side).ok_or(size)
}

/// Pixels [N, P], each in [0, 1].
fn pixels(array: &Array<'_>, encoding: Encoding) -> Result<Vec<f32>, NpzDefect> {
    let pixels: Vec<f32> = match array.dtype {
        Dtype::U8 => array.bytes.iter().map(|&value| f32::from(value) / 255.0).collect(),
        Dtype::F32 => values(&array.bytes, f32::from_le_bytes).collect(),
        other => {
            return Err(NpzDefect::Dtype {
                expected: PIXELS,
                found: other.as_str().into(),
            });
        }
    };
    match pixels.iter().position(|pixel| !(0.0..=1.0).contains(pixel)) {
        None => Ok(pixels),
        Some(at) => Err(NpzDefect::Pixel {
            image: at / encoding.pixels(),
            pixel: at % encoding.pixels(),
            found: pixels[at],
        }),
    }
}

/// Labels of `images` images, at most `max`.
fn labels(array: &Array<'_>, images: usize, max: u8) -> Result<Vec<u8>, NpzDefect> {
    let bytes = &*array.bytes;
    let wide: Vec<i128> = match array.dtype {
        Dtype::U8 => values(bytes, u8::from_le_bytes).map(i128::from).collect(),
        Dtype::I8 => values(bytes, i8::from_le_bytes).map(i128::from).collect(),
        Dtype::U16 => values(bytes, u16::from_le_bytes).map(i128::from).collect(),
        Dtype::I16 => values(bytes, i16::from_le_bytes).map(i128::from).collect(),
        Dtype::U32 => values(bytes, u32::from_le_bytes).map(i128::from).collect(),
        Dtype::I32 => values(bytes, i32::from_le_bytes).map(i128::from).collect(),
        Dtype::U64 => values(bytes, u64::from_le_bytes).map(i128::from).collect(),
        Dtype::I64 => values(bytes, i64::from_le_bytes).map(i128::from).collect(),
        other => {
            return Err(NpzDefect::Dtype {
                expected: LABELS,
                found: other.as_str().into(),
            });
        }
    };
    if array.shape.extents().len() != 1 {
        return Err(NpzDefect::Shape {
            expected: "[N]",
            found: array.shape,
        });
    }
    if wide.len() != images {
        return Err(NpzDefect::Count {
            expected: images,
            found: wide.len(),
        });
    }
    let label = |(at, &found): (usize, &i128)| {
        let label = u8::try_from(found).ok().filter(|&label| label <= max);
        label.ok_or(NpzDefect::Label { at, max, found })
    };
    wide.iter().enumerate().map(label).collect()
}

/// The elements of an array, each of `N` bytes.
fn values<T, const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> impl Iterator<Item = T> {
    bytes.as_chunks::<N>().0.iter().map(move |&bytes| value(bytes))
}

impl DataSet {
    /// The data set in an archive of arrays, as the module says.
    ///
    /// Its name is `npz`, whatever the archive is called; what tells such sets apart is the digest of their content.
    ///
    /// # Errors
    /// [`Error::Ops`]: the file is absent, no regular file or cannot be opened; [`Error::Archive`]: it is no archive of
    /// arrays, or an array in it is damaged; [`Error::Npz`]: an array is missing or not what it must be.
    pub fn npz(path: &Path) -> Result<Self, Error> {
        let mut archive = Archive::open(path)?;
        let (encoding, train) = archive.part(["x_train", "y_train"], TRAINED_MIN, u8::MAX)?;
        let max = train.labels().iter().copied().max().unwrap_or(0);
        let (test_encoding, test) = archive.part(["x_test", "y_test"], 1, max)?;
        if test_encoding != encoding {
            let (expected, found) = (encoding.side(), test_encoding.side());
            return Err(archive.fault("x_test", NpzDefect::OtherSize { expected, found }));
        }
        Ok(Self {
            name: "npz",
            train,
            test,
            encoding,
            classes: usize::from(max) + 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An array of an archive.
    type Member = (&'static str, Dtype, Vec<u64>, Vec<u8>);

    /// Three images of 4x4 pixels to train on and two held out.
    fn members() -> [Member; 4] {
        let pixels = (0..80).collect::<Vec<u8>>();
        let wide = |labels: &[i64]| labels.iter().flat_map(|label| label.to_le_bytes()).collect();
        [
            ("x_train", Dtype::U8, vec![3, 4, 4], pixels[..48].to_vec()),
            ("y_train", Dtype::I64, vec![3], wide(&[2, 0, 1])),
            ("x_test", Dtype::U8, vec![2, 4, 4], pixels[48..].to_vec()),
            ("y_test", Dtype::I64, vec![2], wide(&[1, 2])),
        ]
    }

    fn written<'a>(path: &Path, members: impl IntoIterator<Item = &'a Member>) {
        let mut writer = npz::Writer::new(File::create(path).unwrap());
        for (name, dtype, shape, bytes) in members {
            writer.add(name, *dtype, &Shape::new(shape).unwrap(), bytes).unwrap();
        }
        writer.finish().unwrap();
    }

    fn read(members: &[Member]) -> Result<DataSet, Error> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.npz");
        written(&path, members);
        DataSet::named(path.to_str().unwrap())
    }

    /// What is said when the array of this number is another one.
    fn defect(number: usize, dtype: Dtype, shape: &[u64], bytes: Vec<u8>) -> NpzDefect {
        let mut members = members();
        let name = members[number].0;
        members[number] = (name, dtype, shape.to_vec(), bytes);
        match read(&members) {
            Err(error @ Error::Npz { .. }) => {
                assert_eq!((error.code(), error.exit().number()), ("FOLD-E0008", 2));
                assert!(error.to_string().contains(name), "{error}");
                match error {
                    Error::Npz { array, defect, .. } if array == name => *defect,
                    other => panic!("{other}"),
                }
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_allowed_type_and_shape_gives_the_same_images() {
        let data = read(&members()).unwrap();
        assert_eq!((data.train.count(), data.test.count(), data.classes), (3, 2, 3));
        assert_eq!((data.name, data.encoding.side()), ("npz", 4));
        assert_eq!(data.train.rows().nth(1).unwrap()[..2], [16.0 / 255.0, 17.0 / 255.0]);
        assert_eq!((data.train.labels(), data.test.labels()), (&[2, 0, 1][..], &[1, 2][..]));
        let mut other = members();
        let pixels = other[0].3.iter().map(|&value| f32::from(value) / 255.0);
        other[0].3 = pixels.flat_map(f32::to_le_bytes).collect();
        (other[0].1, other[0].2) = (Dtype::F32, vec![3, 16]);
        (other[1].1, other[1].3) = (Dtype::U8, vec![2, 0, 1]);
        (other[3].1, other[3].3) = (Dtype::I16, vec![1, 0, 2, 0]);
        assert_eq!(read(&other).unwrap(), data);
        let mut more = members().to_vec();
        more.insert(0, ("names", Dtype::Bool, vec![1], vec![1]));
        assert_eq!(read(&more).unwrap(), data);
    }

    #[test]
    fn every_rule_has_its_defect() {
        let (expected, found) = (PIXELS, "f64".into());
        assert_eq!(
            defect(0, Dtype::F64, &[3, 4, 4], vec![0; 384]),
            NpzDefect::Dtype { expected, found }
        );
        let (expected, found) = (LABELS, "f32".into());
        assert_eq!(
            defect(3, Dtype::F32, &[2], vec![0; 8]),
            NpzDefect::Dtype { expected, found }
        );
        for shape in [&[48][..], &[3, 4, 4, 1]] {
            let found = Shape::new(shape).unwrap();
            let expected = "[N, H, W] or [N, P]";
            assert_eq!(
                defect(0, Dtype::U8, shape, vec![0; 48]),
                NpzDefect::Shape { expected, found }
            );
        }
        let found = Shape::new(&[3, 1]).unwrap();
        let expected = "[N]";
        assert_eq!(
            defect(1, Dtype::U8, &[3, 1], vec![0; 3]),
            NpzDefect::Shape { expected, found }
        );
        for (number, found, least) in [(2, 0, 1), (0, 0, 2), (0, 1, 2)] {
            let few = defect(number, Dtype::U8, &[found, 4, 4], vec![0; 16 * found as usize]);
            assert_eq!(few, NpzDefect::Few { least, found });
            assert_eq!(
                few.to_string(),
                format!("has {found} images, expected at least {least}")
            );
        }
        for shape in [&[3, 4, 8][..], &[3, 5, 5], &[3, 17], &[3, 132, 132], &[3, 0]] {
            let found = Shape::new(shape).unwrap();
            let bytes = vec![0; shape.iter().product::<u64>() as usize];
            assert_eq!(defect(0, Dtype::U8, shape, bytes), NpzDefect::Size { found });
        }
        let (expected, found) = (4, 8);
        assert_eq!(
            defect(2, Dtype::U8, &[2, 8, 8], vec![0; 128]),
            NpzDefect::OtherSize { expected, found }
        );
        let (expected, found) = (3, 4);
        assert_eq!(
            defect(1, Dtype::U8, &[4], vec![0; 4]),
            NpzDefect::Count { expected, found }
        );
        for (number, dtype, bytes, found, max) in [
            (1, Dtype::I8, vec![0, 255, 0], -1, 255),
            (1, Dtype::U16, vec![0, 0, 0, 1, 0, 0], 256, 255),
            (3, Dtype::U8, vec![2, 3], 3, 2),
        ] {
            let shape = [if number == 1 { 3 } else { 2 }];
            assert_eq!(
                defect(number, dtype, &shape, bytes),
                NpzDefect::Label { at: 1, max, found }
            );
        }
        let label = defect(3, Dtype::U64, &[2], [[0; 8], [0xff; 8]].concat());
        assert_eq!(
            label.to_string(),
            "has 18446744073709551615 as label 1, expected 0 to 2"
        );
    }

    #[test]
    fn a_type_that_nothing_here_has_is_a_defect_of_its_array() {
        let mut members = members();
        (members[0].1, members[0].3) = (Dtype::F64, vec![0; 384]);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.npz");
        written(&path, &members);
        let mut bytes = std::fs::read(&path).unwrap();
        let find = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).position(|found| found == part);
        let start = find(&bytes, b"\x93NUMPY").unwrap();
        let header = usize::from(u16::from_le_bytes([bytes[start + 8], bytes[start + 9]]));
        let member = start..start + 10 + header + 384;
        let sum = |bytes: &[u8]| {
            let mut crc = flate2::Crc::new();
            crc.update(bytes);
            crc.sum().to_le_bytes()
        };
        let before = sum(&bytes[member.clone()]);
        let at = find(&bytes, b"'<f8'").unwrap();
        bytes[at..at + 5].copy_from_slice(b"'<c8'");
        let after = sum(&bytes[member]);
        while let Some(at) = find(&bytes, &before) {
            bytes[at..at + 4].copy_from_slice(&after);
        }
        std::fs::write(&path, bytes).unwrap();
        let error = DataSet::named(path.to_str().unwrap()).unwrap_err();
        assert_eq!((error.code(), error.exit().number()), ("FOLD-E0008", 2));
        assert!(
            error.to_string().contains("x_train") && error.to_string().contains("<c8"),
            "{error}"
        );
    }

    #[test]
    fn a_pixel_is_from_0_to_1() {
        for wrong in [-0.1, 1.1, f32::NAN, f32::INFINITY] {
            let mut values = [0.5_f32; 48];
            values[16 + 3] = wrong;
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            match defect(0, Dtype::F32, &[3, 16], bytes) {
                NpzDefect::Pixel {
                    image: 1,
                    pixel: 3,
                    found,
                } => assert_eq!(found.to_bits(), wrong.to_bits()),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_missing_array_a_broken_archive_and_an_absent_one_have_their_own_errors() {
        for (number, member) in members().iter().enumerate() {
            let others: Vec<Member> = members().into_iter().filter(|other| other.0 != member.0).collect();
            match read(&others) {
                Err(Error::Npz { array, defect, .. }) => {
                    assert_eq!((array, *defect), (member.0, NpzDefect::Missing));
                }
                other => panic!("{number}: {other:?}"),
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.npz");
        let absent = DataSet::named(path.to_str().unwrap()).unwrap_err();
        assert_eq!((absent.code(), absent.exit().number()), ("FOLD-E0103", 10), "{absent}");
        written(&path, &members());
        let whole = std::fs::read(&path).unwrap();
        for len in 0..whole.len() {
            std::fs::write(&path, &whole[..len]).unwrap();
            let error = DataSet::npz(&path).unwrap_err();
            assert!(matches!(error, Error::Archive { .. }), "{len}: {error}");
            assert_eq!((error.code(), error.exit().number()), ("FOLD-E0805", 20), "{len}");
        }
        let mut damaged = whole;
        let at = damaged.len() / 4;
        damaged[at] ^= 1;
        std::fs::write(&path, damaged).unwrap();
        let error = DataSet::npz(&path).unwrap_err();
        assert!(error.to_string().contains("data.npz"), "{error}");
    }
}

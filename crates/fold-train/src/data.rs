//! Data sets: images with labels, split once and for all into a part to train on and a part held out.
//!
//! The digits are embedded in the program, so that training needs no network and no path. Not here: other data sets
//! (`idx`, `npz`), what a neuron gets to see of an image (`encode`).

use std::fmt;
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;

use crate::Error;
use crate::encode::Encoding;
use crate::readout::MOST_CLASSES;

/// Lines of the digits that are trained on; the rest is held out.
const TRAIN_LINES: usize = 1200;
/// Lines of the digits.
const LINES: usize = 1797;
/// Largest pixel value.
const PIXEL_MAX: u8 = 16;
/// Digits.
const CLASSES: usize = 10;
/// No digit's line is longer; bounds what is decompressed.
const LINE_MAX_BYTES: u64 = 256;

static DIGITS: &[u8] = include_bytes!("../data/digits.csv.gz");

/// Images with their labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Images {
    pixels: Vec<f32>,
    labels: Vec<u8>,
    pixel_count: usize,
}

impl Images {
    /// Images of `pixel_count` = P pixels.
    ///
    /// - `pixels`: [N, P], row-major, each in [0, 1]; 1 is ink.   - `labels`: `[N]`.
    ///
    /// ```
    /// use fold_train::DataSet;
    /// use fold_train::data::Images;
    /// use fold_train::encode::Encoding;
    ///
    /// # fn main() -> Result<(), fold_train::Error> {
    /// let (blank, full) = ([0.0; 64], [1.0; 64]);
    /// let data = DataSet {
    ///     name: "blank or full",
    ///     train: Images::new([blank, full].concat(), vec![0, 1], 64)?,
    ///     test: Images::new(full.to_vec(), vec![1], 64)?,
    ///     encoding: Encoding::DIGITS,
    ///     classes: 2,
    /// };
    /// data.check()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Images`]: the pixels are not N x P, or one of them lies outside of [0, 1].
    pub fn new(pixels: Vec<f32>, labels: Vec<u8>, pixel_count: usize) -> Result<Self, Error> {
        let expected = labels.len().checked_mul(pixel_count);
        if pixel_count == 0 || expected != Some(pixels.len()) {
            return Err(Error::Images {
                defect: ImagesDefect::Count {
                    pixels: pixels.len(),
                    labels: labels.len(),
                    pixel_count,
                },
            });
        }
        if let Some(at) = pixels.iter().position(|pixel| !(0.0..=1.0).contains(pixel)) {
            return Err(Error::Images {
                defect: ImagesDefect::Pixel { at, value: pixels[at] },
            });
        }
        Ok(Self {
            pixels,
            labels,
            pixel_count,
        })
    }

    /// Pixels [N, P], row-major, each in [0, 1]; 1 is ink.
    #[must_use]
    pub fn pixels(&self) -> &[f32] {
        &self.pixels
    }

    /// One image per item, `[P]`.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.pixels.chunks_exact(self.pixel_count)
    }

    /// The class of each image, `[N]`.
    #[must_use]
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// N.
    #[must_use]
    pub fn count(&self) -> usize {
        self.labels.len()
    }

    /// P.
    #[must_use]
    pub fn pixel_count(&self) -> usize {
        self.pixel_count
    }

    /// The same pixels under other labels: what shows whether a computation has looked at the labels.
    ///
    /// None where the number of labels is not N.
    #[must_use]
    pub fn relabelled(&self, labels: Vec<u8>) -> Option<Self> {
        (labels.len() == self.labels.len()).then(|| Self { labels, ..self.clone() })
    }

    /// The images [from, to), both cut to N.
    #[must_use]
    pub fn slice(&self, from: usize, to: usize) -> Self {
        let to = to.min(self.count());
        let from = from.min(to);
        Self {
            pixels: self.pixels[from * self.pixel_count..to * self.pixel_count].to_vec(),
            labels: self.labels[from..to].to_vec(),
            pixel_count: self.pixel_count,
        }
    }

    /// These images, then `other`'s. None where these have not as many pixels.
    #[must_use]
    pub fn followed_by(mut self, other: &Self) -> Option<Self> {
        self.pixels.extend_from_slice(&other.pixels);
        self.labels.extend_from_slice(&other.labels);
        (self.pixel_count == other.pixel_count).then_some(self)
    }
}

/// Why pixels and labels are no images.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ImagesDefect {
    /// There are not as many pixels as that many labelled images have.
    Count {
        /// Pixels given.
        pixels: usize,
        /// Labels given, one per image.
        labels: usize,
        /// Pixels of an image.
        pixel_count: usize,
    },
    /// A pixel outside of [0, 1].
    Pixel {
        /// Which one, from 0.
        at: usize,
        /// Its value.
        value: f32,
    },
}

impl fmt::Display for ImagesDefect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count {
                pixels,
                labels,
                pixel_count,
            } => write!(f, "{pixels} pixels are not {labels} images of {pixel_count} pixels"),
            Self::Pixel { at, value } => write!(f, "pixel {at} is {value}, which has to be in [0, 1]"),
        }
    }
}

/// A data set with its fixed split.
#[derive(Debug, Clone, PartialEq)]
pub struct DataSet {
    /// Its name, as given to `--data`.
    pub name: &'static str,
    /// What is learned from.
    pub train: Images,
    /// What is held out; nothing is ever chosen by it.
    pub test: Images,
    /// The images' size, and how neurons get to see them.
    pub encoding: Encoding,
    /// Number of classes C; labels are below it.
    pub classes: usize,
}

/// What is wrong with a data set's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Defect {
    /// The compressed stream ends early, has a wrong checksum, or is no stream.
    Compression,
    /// The bytes are not text.
    NotText,
    /// A line has another number of fields.
    FieldCount {
        /// How many a line has.
        expected: usize,
        /// How many this one has.
        found: usize,
    },
    /// A field is not a whole number from 0 to its largest value.
    Field {
        /// Which one, from 0.
        field: usize,
        /// The largest value allowed.
        max: u8,
    },
    /// There are fewer or more lines.
    LineCount {
        /// How many there should be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compression => f.write_str("the compressed stream is damaged"),
            Self::NotText => f.write_str("not text"),
            Self::FieldCount { expected, found } => write!(f, "{found} fields instead of {expected}"),
            Self::Field { field, max } => write!(f, "field {field} is not a whole number from 0 to {max}"),
            Self::LineCount { expected, found } => write!(f, "{found} lines instead of {expected}"),
        }
    }
}

impl DataSet {
    /// Whether it can be learned from, which holds of every data set that is loaded: images of the encoding's size, two at least to
    /// train on and one held out, labels below `classes`, and at most 256 of these. What is put together by hand may be else.
    ///
    /// # Errors
    /// [`Error::DataSet`] with the first thing that is wrong.
    pub fn check(&self) -> Result<(), Error> {
        let fault = |what| Err(Error::DataSet { name: self.name, what });
        if !(1..=MOST_CLASSES).contains(&self.classes) {
            return fault(format!(
                "{} classes, of which there are 1 to {MOST_CLASSES}",
                self.classes
            ));
        }
        for (part, images, least) in [("to train on", &self.train, 2), ("held out", &self.test, 1)] {
            let (count, pixels) = (images.count(), self.encoding.pixels());
            if count < least {
                return fault(format!("{count} images {part}, of which at least {least} belong there"));
            }
            if images.pixel_count() != pixels || images.pixels().len() != count * pixels {
                let found = images.pixel_count();
                return fault(format!(
                    "images {part} of {found} pixels, where the encoding has {pixels}"
                ));
            }
            let foreign = |label: &u8| usize::from(*label) >= self.classes;
            if let Some(at) = images.labels().iter().position(foreign) {
                let label = images.labels()[at];
                return fault(format!(
                    "label {label} of image {at} {part}, which has to be below {}",
                    self.classes
                ));
            }
        }
        Ok(())
    }

    /// The name of the embedded digits.
    pub const DIGITS: &str = "digits";

    /// The data set that `--data` names: `digits`, or a directory, whose IDX files it then is, or an npz archive.
    ///
    /// # Errors
    /// [`Error::UnknownData`]; [`Error::Data`] where the embedded bytes are damaged; as [`DataSet::idx`] and
    /// [`DataSet::npz`].
    pub fn named(name: &str) -> Result<Self, Error> {
        match name {
            Self::DIGITS => Self::digits(),
            dir if Path::new(dir).is_dir() => Self::idx(Path::new(dir)),
            file if file.ends_with(".npz") || Path::new(file).exists() => Self::npz(Path::new(file)),
            _ => Err(Error::UnknownData { name: name.into() }),
        }
    }

    /// The embedded digits: 1200 images of 8x8 pixels to train on, 597 held out, in the order of the file.
    ///
    /// # Errors
    /// [`Error::Data`] where the embedded bytes are damaged.
    ///
    /// # Source
    /// Alpaydin and Kaynak 1998, doi:10.24432/C50P49, CC BY 4.0; see `data/README.md`.
    pub fn digits() -> Result<Self, Error> {
        Self::parse_digits(DIGITS)
    }

    fn parse_digits(compressed: &[u8]) -> Result<Self, Error> {
        let fault = |line, defect| Error::Data {
            data: "digits",
            line,
            defect,
        };
        let mut bytes = Vec::new();
        GzDecoder::new(compressed)
            .take(LINES as u64 * LINE_MAX_BYTES)
            .read_to_end(&mut bytes)
            .map_err(|_| fault(0, Defect::Compression))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| fault(0, Defect::NotText))?;
        let mut all = Images {
            pixels: Vec::new(),
            labels: Vec::new(),
            pixel_count: Encoding::DIGITS.pixels(),
        };
        for (line, fields) in (1..).zip(text.lines()) {
            let found = fields.split(',').count();
            if found != all.pixel_count + 1 {
                return Err(fault(
                    line,
                    Defect::FieldCount {
                        expected: all.pixel_count + 1,
                        found,
                    },
                ));
            }
            for (field, text) in fields.split(',').enumerate() {
                let is_label = field == all.pixel_count;
                let max = if is_label { CLASSES as u8 - 1 } else { PIXEL_MAX };
                match text.parse::<u8>() {
                    Ok(value) if value > max => return Err(fault(line, Defect::Field { field, max })),
                    Ok(value) if is_label => all.labels.push(value),
                    Ok(value) => all.pixels.push(f32::from(value) / f32::from(PIXEL_MAX)),
                    Err(_) => return Err(fault(line, Defect::Field { field, max })),
                }
            }
        }
        if all.count() != LINES {
            return Err(fault(
                0,
                Defect::LineCount {
                    expected: LINES,
                    found: all.count(),
                },
            ));
        }
        Ok(Self {
            name: Self::DIGITS,
            train: all.slice(0, TRAIN_LINES),
            test: all.slice(TRAIN_LINES, LINES),
            encoding: Encoding::DIGITS,
            classes: CLASSES,
        })
    }
}

/// Images to train on, at least: to choose the readout's lambda each is left out, and one must be left.
pub(crate) const TRAINED_MIN: usize = 2;

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn compressed(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn text() -> String {
        let mut text = String::new();
        GzDecoder::new(DIGITS).read_to_string(&mut text).unwrap();
        text
    }

    fn defect(bytes: &[u8]) -> (usize, Defect) {
        match DataSet::parse_digits(bytes) {
            Err(Error::Data {
                data: "digits",
                line,
                defect,
            }) => (line, defect),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_split_is_the_documented_one() {
        let data = DataSet::digits().unwrap();
        assert_eq!((data.train.count(), data.test.count()), (1200, 597));
        assert_eq!(data.train.pixels().len(), 1200 * 64);
        // The first line of the file, and the first held-out one.
        assert_eq!(
            data.train.rows().next().unwrap()[..6],
            [0.0, 0.0, 5.0 / 16.0, 13.0 / 16.0, 9.0 / 16.0, 1.0 / 16.0]
        );
        assert_eq!(data.train.labels()[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let first_held_out = text()
            .lines()
            .nth(1200)
            .unwrap()
            .rsplit(',')
            .next()
            .unwrap()
            .parse::<u8>()
            .unwrap();
        assert_eq!(data.test.labels()[0], first_held_out);
        assert_eq!(
            data.train.clone().followed_by(&data.test).unwrap().slice(1200, 1797),
            data.test
        );
        let mut per_class = [0; CLASSES];
        for &label in data.train.labels().iter().chain(data.test.labels()) {
            per_class[usize::from(label)] += 1;
        }
        assert_eq!(per_class, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    }

    #[test]
    fn every_field_is_checked_against_its_own_range() {
        let lines = text();
        let replace = |line: usize, field: usize, with: &str| {
            let changed = lines.lines().enumerate().map(|(k, text)| {
                let mut fields: Vec<&str> = text.split(',').collect();
                if k + 1 == line {
                    fields[field] = with;
                }
                fields.join(",")
            });
            defect(&compressed(&changed.collect::<Vec<_>>().join("\n")))
        };
        assert_eq!(replace(1797, 63, "17"), (1797, Defect::Field { field: 63, max: 16 }));
        assert_eq!(replace(1, 64, "10"), (1, Defect::Field { field: 64, max: 9 }));
        assert_eq!(replace(5, 0, "-1"), (5, Defect::Field { field: 0, max: 16 }));
        assert_eq!(replace(5, 0, "1.5"), (5, Defect::Field { field: 0, max: 16 }));
        assert_eq!(replace(5, 0, ""), (5, Defect::Field { field: 0, max: 16 }));
        assert_eq!(
            replace(7, 3, "1,2"),
            (
                7,
                Defect::FieldCount {
                    expected: 65,
                    found: 66
                }
            )
        );
    }

    #[test]
    fn a_cut_file_is_noticed_wherever_it_is_cut() {
        let lines = text();
        let short = lines.lines().take(1796).collect::<Vec<_>>().join("\n");
        assert_eq!(
            defect(&compressed(&short)),
            (
                0,
                Defect::LineCount {
                    expected: 1797,
                    found: 1796
                }
            )
        );
        let long = format!("{}\n{}", lines.trim_end(), lines.lines().next().unwrap());
        assert_eq!(
            defect(&compressed(&long)),
            (
                0,
                Defect::LineCount {
                    expected: 1797,
                    found: 1798
                }
            )
        );
        for len in [0, 1, DIGITS.len() / 2, DIGITS.len() - 1] {
            assert_eq!(defect(&DIGITS[..len]), (0, Defect::Compression), "{len}");
        }
    }

    #[test]
    fn an_unknown_name_is_refused() {
        assert!(matches!(DataSet::named("fashion"), Err(Error::UnknownData { .. })));
    }

    #[test]
    fn what_cannot_be_learned_from_is_said() {
        let data = DataSet::digits().unwrap();
        data.check().unwrap();
        let refused = |change: &dyn Fn(&mut DataSet)| {
            let mut data = data.clone();
            change(&mut data);
            data.check().unwrap_err().to_string()
        };
        assert!(refused(&|data| data.train = data.train.slice(0, 1)).contains("1 images to train on"));
        assert!(refused(&|data| data.test = data.test.slice(5, 5)).contains("0 images held out"));
        assert!(refused(&|data| data.classes = 9).contains("below 9"));
        assert!(refused(&|data| data.classes = 257).contains("257 classes"));
        assert!(refused(&|data| data.encoding = Encoding::of_side(4).unwrap()).contains("64 pixels"));
        let small = Images::new(vec![0.0; 32], vec![0, 1], 16).unwrap();
        assert_eq!(data.train.clone().followed_by(&small), None);
    }

    #[test]
    fn images_are_made_of_as_many_pixels_as_they_have_and_of_no_others() {
        let made = |pixels: &[f32], labels: &[u8], pixel_count| {
            Images::new(pixels.to_vec(), labels.to_vec(), pixel_count).map(|images| images.count())
        };
        assert_eq!(made(&[0.0, 0.5, 1.0, -0.0], &[7, 255], 2).unwrap(), 2);
        assert_eq!(made(&[], &[], 4).unwrap(), 0);
        let refused = |pixels: &[f32], labels: &[u8], pixel_count| {
            let error = made(pixels, labels, pixel_count).unwrap_err();
            assert_eq!(error.code(), "FOLD-E0008");
            error.to_string()
        };
        for (pixels, labels, pixel_count) in [
            (3, 2, 2),
            (5, 2, 2),
            (4, 1, 2),
            (0, 0, 0),
            (0, 1, 0),
            (1, 2, usize::MAX),
        ] {
            let text = refused(&vec![0.0; pixels], &vec![0; labels], pixel_count);
            assert!(
                text.contains(&format!("{pixels} pixels are not {labels} images")),
                "{text}"
            );
        }
        for value in [-0.1, 1.1, f32::NAN, f32::INFINITY] {
            assert!(refused(&[0.0, value], &[0, 0], 1).contains(&format!("pixel 1 is {value}")));
        }
    }
}

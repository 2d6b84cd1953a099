//! From pixels to presynaptic events: an ON and an OFF line per pixel.
//!
//! ```text
//! x_on = p        x_off = 1 - p          p in [0, 1], 1 is ink
//! ```
//!
//! A value is the expected number of events of its line in the one step for which an image is shown (a rate code). The OFF
//! line lets a synapse vote for the *absence* of ink, and makes the total input of every image the same: one event per pixel.
//!
//! The lines are laid out for the layer's shared wiring [D, S = 32]: dendrite d sees the d-th patch of 4x4 pixels of the image,
//! in reading order, with the ON lines on its synapses 0..16 and the OFF lines on 16..32. A digit of 8x8 pixels has D = 4
//! patches, its quadrants; an image of 28x28 pixels has D = 49.
//!
//! # Source
//! ON and OFF lines of a rate: Nessler, Pfeiffer, Buesing, Maass 2013, doi:10.1371/journal.pcbi.1003037 (a population code
//! that keeps the total input constant). The patches are a choice of this project.

/// Pixels along each side of a dendrite's patch.
pub const PATCH: usize = 4;
/// S: synapses per dendrite, 16 ON and 16 OFF.
pub const SYNAPSES: u32 = 32;
/// Pixels along the side of the largest image: 1024 dendrites.
pub const SIDE_MAX: usize = 128;

/// The views of an image whose potentials are summed: as it is, and moved by one pixel down, up, right and left, as rows and columns.
pub const VIEWS: [(isize, isize); 5] = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)];

/// Pixels of a patch: its ON lines, and as many OFF lines.
const HALF: usize = PATCH * PATCH;

/// How square images of one size are laid out on input lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding {
    side: usize,
}

impl Encoding {
    /// Images of 8x8 pixels.
    pub const DIGITS: Self = Self { side: 8 };

    /// Images of `side` x `side` pixels; none unless whole patches fill them and `side` is at most [`SIDE_MAX`].
    #[must_use]
    pub fn of_side(side: usize) -> Option<Self> {
        let fits = side > 0 && side <= SIDE_MAX && side.is_multiple_of(PATCH);
        fits.then_some(Self { side })
    }

    /// Pixels along each side of an image.
    #[must_use]
    pub fn side(self) -> usize {
        self.side
    }

    /// P: pixels of an image.
    #[must_use]
    pub fn pixels(self) -> usize {
        self.side * self.side
    }

    /// D: dendrites, one per patch.
    #[must_use]
    pub fn dendrites(self) -> u32 {
        (self.pixels() / HALF) as u32
    }

    /// M = D * S: input lines, two per pixel.
    #[must_use]
    pub fn lines(self) -> usize {
        2 * self.pixels()
    }

    /// The ON line of `pixel` (row * side + column, below P); its OFF line is 16 further.
    #[must_use]
    pub fn on_line(self, pixel: usize) -> usize {
        let (row, column) = (pixel / self.side, pixel % self.side);
        let dendrite = row / PATCH * (self.side / PATCH) + column / PATCH;
        let synapse = row % PATCH * PATCH + column % PATCH;
        dendrite * 2 * HALF + synapse
    }

    /// Writes the events of one image.
    ///
    /// - `pixels`: `[P]`, each in [0, 1].   - `lines`: `[M]`, overwritten.
    ///
    /// Shorter slices are encoded as far as they go.
    pub fn encode(self, pixels: &[f32], lines: &mut [f32]) {
        for (pixel, &p) in pixels.iter().enumerate().take(self.pixels()) {
            let on = self.on_line(pixel);
            if let Some(line) = lines.get_mut(on) {
                *line = p;
            }
            if let Some(line) = lines.get_mut(on + HALF) {
                *line = 1.0 - p;
            }
        }
    }

    /// The events of some images, [N, M], in memory that is used again.
    ///
    /// - `images`: one `[P]` per image.   - `lines`: overwritten.
    pub fn encode_into<'i>(self, images: impl IntoIterator<Item = &'i [f32]>, lines: &mut Vec<f32>) {
        lines.clear();
        for pixels in images {
            let start = lines.len();
            lines.resize(start + self.lines(), 0.0);
            self.encode(pixels, &mut lines[start..]);
        }
    }

    /// Writes an image moved by whole pixels; what moves in from outside is empty.
    ///
    /// - `pixels`, `moved`: `[P]`, the second overwritten.   - `by`: rows down and columns to the right.
    pub fn shift(self, pixels: &[f32], by: (isize, isize), moved: &mut [f32]) {
        for (at, moved) in moved.iter_mut().enumerate() {
            let from = |to: usize, by: isize| to.checked_add_signed(-by).filter(|&from| from < self.side);
            let place = from(at / self.side, by.0).zip(from(at % self.side, by.1));
            let pixel = place.and_then(|(row, column)| pixels.get(row * self.side + column));
            *moved = pixel.copied().unwrap_or(0.0);
        }
    }

    /// What a neuron looks for, as an image: W_on - W_off of its synapses, `[P]` in the order of the pixels.
    ///
    /// - `weights`: one neuron's row `[D * S]`.
    #[must_use]
    pub fn receptive_field(self, weights: &[f32]) -> Vec<f32> {
        let at = |line: usize| weights.get(line).copied().unwrap_or(0.0);
        (0..self.pixels())
            .map(|pixel| at(self.on_line(pixel)) - at(self.on_line(pixel) + HALF))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    fn image(encoding: Encoding, bytes: &[u8]) -> Vec<f32> {
        (0..encoding.pixels())
            .map(|k| f32::from(bytes.get(k).copied().unwrap_or(k as u8) % 17) / 16.0)
            .collect()
    }

    fn encodings() -> impl Iterator<Item = Encoding> {
        [4, 8, 28].into_iter().filter_map(Encoding::of_side)
    }

    quickcheck! {
        fn events_are_probabilities_with_a_constant_sum(bytes: Vec<u8>) -> bool {
            encodings().all(|encoding| {
                let mut lines = vec![f32::NAN; encoding.lines()];
                encoding.encode(&image(encoding, &bytes), &mut lines);
                lines.iter().all(|x| (0.0..=1.0).contains(x)) && lines.iter().sum::<f32>() == encoding.pixels() as f32
            })
        }

        fn the_image_can_be_read_back(bytes: Vec<u8>) -> bool {
            encodings().all(|encoding| {
                let pixels = image(encoding, &bytes);
                let mut lines = Vec::new();
                encoding.encode_into([&pixels[..]], &mut lines);
                // A neuron whose weights are the events sees p - (1 - p).
                encoding.receptive_field(&lines) == pixels.iter().map(|p| p - (1.0 - p)).collect::<Vec<_>>()
            })
        }
    }

    #[test]
    fn a_shift_moves_rows_and_columns_and_brings_in_nothing() {
        let encoding = Encoding::of_side(4).unwrap();
        let pixels: Vec<f32> = (1..=16u8).map(f32::from).collect();
        let shifted = |by| {
            let mut moved = vec![f32::NAN; 16];
            encoding.shift(&pixels, by, &mut moved);
            moved
        };
        assert_eq!(shifted((0, 0)), pixels);
        assert_eq!(shifted((1, 0))[..8], [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(shifted((0, -1))[..4], [2.0, 3.0, 4.0, 0.0]);
        assert_eq!(shifted((-1, 1))[..4], [0.0, 5.0, 6.0, 7.0]);
        assert_eq!(shifted((4, 0)), [0.0; 16]);
    }

    #[test]
    fn a_dendrite_sees_its_patch_and_nothing_else() {
        for encoding in encodings() {
            let across = encoding.side() / PATCH;
            for dendrite in 0..encoding.dendrites() as usize {
                let (top, left) = (dendrite / across * PATCH, dendrite % across * PATCH);
                let mut seen = Vec::new();
                for row in top..top + PATCH {
                    for column in left..left + PATCH {
                        seen.push(encoding.on_line(row * encoding.side() + column));
                    }
                }
                let first = dendrite * SYNAPSES as usize;
                assert_eq!(seen, (first..first + 16).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn only_sides_of_whole_patches_are_encoded() {
        let sides = (0..200).filter(|&side| Encoding::of_side(side).is_some());
        assert!(sides.eq((4..=128).step_by(4)));
        assert_eq!(Encoding::of_side(8), Some(Encoding::DIGITS));
        assert_eq!(Encoding::DIGITS.dendrites(), 4);
    }
}

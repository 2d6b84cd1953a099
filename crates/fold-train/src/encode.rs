//! From pixels to presynaptic events: an ON and an OFF line per pixel.
//!
//! ```text
//! x_on = p        x_off = 1 - p          p in [0, 1], 1 is ink
//! ```
//!
//! A value is the expected number of events of its line in the one step for which an image is shown (a rate code). The OFF
//! line lets a synapse vote for the *absence* of ink, and makes the total input of every image the same: 64 events.
//!
//! The lines are laid out for the layer's shared wiring [D = 4, S = 32]: dendrite d sees the d-th quadrant of the image (4x4
//! pixels, in reading order), with the ON lines on its synapses 0..16 and the OFF lines on 16..32.
//!
//! # Source
//! ON and OFF lines of a rate: Nessler, Pfeiffer, Buesing, Maass 2013, doi:10.1371/journal.pcbi.1003037 (a population code
//! that keeps the total input constant). The quadrants are a choice of this project.

/// D: dendrites, one per quadrant.
pub const DENDRITES: u32 = 4;
/// S: synapses per dendrite, 16 ON and 16 OFF.
pub const SYNAPSES: u32 = 32;
/// M = D * S: input lines.
pub const LINES: usize = (DENDRITES * SYNAPSES) as usize;
/// P: pixels of the images that this code is for.
pub const PIXELS: usize = 64;

const SIDE: usize = 8;
const QUADRANT: usize = SIDE / 2;
const HALF: usize = QUADRANT * QUADRANT;

/// The ON line of `pixel` (row * 8 + column, below 64); its OFF line is 16 further.
#[must_use]
pub fn on_line(pixel: usize) -> usize {
    let (row, column) = (pixel / SIDE, pixel % SIDE);
    let dendrite = row / QUADRANT * 2 + column / QUADRANT;
    let synapse = row % QUADRANT * QUADRANT + column % QUADRANT;
    dendrite * 2 * HALF + synapse
}

/// Writes the events of one image.
///
/// - `pixels`: `[64]`, each in [0, 1].   - `lines`: `[128]`, overwritten.
///
/// Shorter slices are encoded as far as they go.
pub fn encode(pixels: &[f32], lines: &mut [f32]) {
    for (pixel, &p) in pixels.iter().enumerate().take(PIXELS) {
        let on = on_line(pixel);
        if let Some(line) = lines.get_mut(on) {
            *line = p;
        }
        if let Some(line) = lines.get_mut(on + HALF) {
            *line = 1.0 - p;
        }
    }
}

/// The events of many images, [N, 128], from pixels [N, 64].
#[must_use]
pub fn encode_all(pixels: &[f32]) -> Vec<f32> {
    let mut lines = vec![0.0; pixels.len() / PIXELS * LINES];
    for (pixels, lines) in pixels.chunks_exact(PIXELS).zip(lines.chunks_exact_mut(LINES)) {
        encode(pixels, lines);
    }
    lines
}

/// What a neuron looks for, as an image: W_on - W_off of its synapses, `[64]` in the order of the pixels.
///
/// - `weights`: one neuron's row `[D * S]`.
#[must_use]
pub fn receptive_field(weights: &[f32]) -> Vec<f32> {
    let at = |line: usize| weights.get(line).copied().unwrap_or(0.0);
    (0..PIXELS)
        .map(|pixel| at(on_line(pixel)) - at(on_line(pixel) + HALF))
        .collect()
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    fn image(bytes: &[u8]) -> Vec<f32> {
        (0..PIXELS)
            .map(|k| f32::from(bytes.get(k).copied().unwrap_or(k as u8) % 17) / 16.0)
            .collect()
    }

    quickcheck! {
        fn events_are_probabilities_with_a_constant_sum(bytes: Vec<u8>) -> bool {
            let mut lines = vec![f32::NAN; LINES];
            encode(&image(&bytes), &mut lines);
            lines.iter().all(|x| (0.0..=1.0).contains(x)) && lines.iter().sum::<f32>() == PIXELS as f32
        }

        fn the_image_can_be_read_back(bytes: Vec<u8>) -> bool {
            let pixels = image(&bytes);
            let lines = encode_all(&pixels);
            // A neuron whose weights are the events sees p - (1 - p).
            receptive_field(&lines) == pixels.iter().map(|p| p - (1.0 - p)).collect::<Vec<_>>()
        }
    }

    #[test]
    fn a_dendrite_sees_its_quadrant_and_nothing_else() {
        for (dendrite, (top, left)) in [(0, 0), (0, 4), (4, 0), (4, 4)].into_iter().enumerate() {
            let mut seen = Vec::new();
            for row in top..top + 4 {
                for column in left..left + 4 {
                    seen.push(on_line(row * 8 + column));
                }
            }
            let first = dendrite * SYNAPSES as usize;
            assert_eq!(seen, (first..first + 16).collect::<Vec<_>>());
        }
    }
}

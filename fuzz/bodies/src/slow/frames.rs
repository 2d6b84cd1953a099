//! Section 4: frames of compressed chunks, decoded by another implementation of zstd than the first reader's.

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{Broken, need, number};

/// The rule that only a decoder can hold a frame against. Two implementations of zstd may draw the line through broken
/// frames elsewhere; what both decode must be the same.
pub const DECODER: Broken = "a frame decodes to its content";

const BEHIND: Broken = "behind a zstd frame are skippable frames alone";

/// The top bit of an entry of the frame table.
const STORED_RAW: u64 = 1 << 63;

/// How a chunk is cut into frames, as its record says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framing {
    pub(super) log2: u8,
    pub(super) shuffle_width: usize,
    pub(super) count: usize,
    /// Bytes of all frames, F.
    pub(super) frames_len: usize,
}

/// The frame fields of a chunk record whose encoding is not raw.
pub(super) fn framing(
    record: &[u8],
    content_len: u128,
    stored_len: u128,
    directory_len: u128,
) -> Result<Framing, Broken> {
    let (encoding, log2, width) = (record[7], record[88], record[89]);
    need(encoding <= 2, "a chunk's encoding is raw, zstd or shuffle-zstd")?;
    need((12..=20).contains(&log2), "frame_log2 is 12 to 20")?;
    let widths: &[u8] = if encoding == 1 { &[0] } else { &[2, 4, 8] };
    need(widths.contains(&width), "shuffle_width goes with the encoding")?;
    let count = u128::from(number(record, 96, 8));
    need(
        count == content_len.div_ceil(1 << log2),
        "frame_count is that of the content",
    )?;
    let frames_len = stored_len.checked_sub(directory_len + 8 * count);
    let frames_len = frames_len.ok_or("frames, table and directory are the stored bytes")?;
    need(frames_len <= content_len, "frames are not longer than their content")?;
    need(
        content_len <= 64 * frames_len,
        "frames are not shorter than 1/64 of their content",
    )?;
    Ok(Framing {
        log2,
        shuffle_width: usize::from(width),
        count: count as usize,
        frames_len: frames_len as usize,
    })
}

/// Bytes `from..to` of a chunk's content, from the frames that they lie in.
pub(super) fn content(
    framing: &Framing,
    content_len: usize,
    from: usize,
    to: usize,
    stored: impl Fn(usize, usize) -> Result<Vec<u8>, Broken>,
) -> Result<Vec<u8>, Broken> {
    if from == to {
        return Ok(Vec::new());
    }
    let frame_len = 1 << framing.log2;
    let entry = |frame: usize| {
        let at = framing.frames_len + 8 * frame;
        Ok(number(&stored(at, at + 8)?, 0, 8))
    };
    let first = from / frame_len;
    let mut decoded = Vec::new();
    for frame in first..=(to - 1) / frame_len {
        let start = if frame == 0 { 0 } else { entry(frame - 1)? & !STORED_RAW };
        let (end, raw) = (entry(frame)? & !STORED_RAW, entry(frame)? & STORED_RAW != 0);
        need(start < end, "a frame begins where the one before ends")?;
        need(
            end <= framing.frames_len as u64,
            "a frame ends in front of the frame table",
        )?;
        let last = frame + 1 == framing.count;
        need(
            !last || end == framing.frames_len as u64,
            "the last frame ends with the frames",
        )?;
        let len = frame_len.min(content_len - frame * frame_len);
        let bytes = stored(start as usize, end as usize)?;
        if raw {
            need(bytes.len() == len, "a raw frame is as long as its content")?;
            decoded.extend(bytes);
        } else {
            need(bytes.len() < len, "a frame is shorter than its content")?;
            need(
                64 * bytes.len() >= len,
                "a frame is not shorter than 1/64 of its content",
            )?;
            decoded.extend(unshuffled(&decompressed(&bytes, len)?, framing.shuffle_width));
        }
    }
    let begin = first * frame_len;
    Ok(decoded[from - begin..to - begin].to_vec())
}

fn decompressed(bytes: &[u8], len: usize) -> Result<Vec<u8>, Broken> {
    let mut rest = bytes;
    let mut decoder = FrameDecoder::new();
    decoder.init(&mut rest).map_err(|_| DECODER)?;
    need(
        decoder.content_size() == len as u64,
        "a frame declares the size of its content",
    )?;
    decoder
        .decode_blocks(&mut rest, BlockDecodingStrategy::UptoBytes(len + 1))
        .map_err(|_| DECODER)?;
    let content = decoder.collect().unwrap_or_default();
    need(decoder.is_finished() && content.len() == len, DECODER)?;
    while !rest.is_empty() {
        let skipped = rest.len() >= 8 && number(rest, 0, 4) >> 4 == 0x0184_d2a5;
        need(skipped, BEHIND)?;
        rest = rest.get(8 + number(rest, 4, 4) as usize..).ok_or(BEHIND)?;
    }
    Ok(content)
}

/// Element by element, its bytes from as many planes.
fn unshuffled(planes: &[u8], width: usize) -> Vec<u8> {
    if width == 0 {
        return planes.to_vec();
    }
    let elements = planes.len() / width;
    let bytes = (0..elements * width).map(|at| planes[at % width * elements + at / width]);
    bytes.chain(planes[elements * width..].iter().copied()).collect()
}

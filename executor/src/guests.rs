//! The programs that come with the project, as committed WebAssembly; their sources are in `executor/guests`, and
//! `scripts/guests --check` rebuilds and compares them byte by byte.

use gongsuan_types::job::{JOB_VERSION, JobSpec, Limits, MapInput, Shape};
use gongsuan_types::{Fuel, Hash};

use crate::METER_VERSION;

/// Ray-traces one tile of a scene: reads [`RaytraceScene::to_input`], writes the tile's pixels as rows of RGB bytes.
pub const RAYTRACE: &[u8] = include_bytes!("../guests/raytrace/raytrace.wasm");

/// One lane of a capacity challenge: reads and writes what [`crate::verify::capacity::Challenge`] says.
pub const CAPACITY: &[u8] = include_bytes!("../guests/capacity/capacity.wasm");

/// Counts the words of a text; with the argument `merge`, adds up such counts.
pub const WORDS: &[u8] = include_bytes!("../guests/words/words.wasm");

/// A predicate: accepts what [`WORDS`] writes, as far as that can be seen without counting.
pub const WORDS_ACCEPT: &[u8] = include_bytes!("../guests/words/accept.wasm");

/// Conway's Game of Life: reads a board, writes the board as many generations later as its argument says.
pub const LIFE: &[u8] = include_bytes!("../guests/life/life.wasm");

/// A picture in tiles, one tile for each segment, row by row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RaytraceScene {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
    /// Tiles from left to right.
    pub columns: u32,
    /// Tiles from top to bottom.
    pub rows: u32,
    /// Chooses colours and arrangement.
    pub seed: u64,
    /// Rays through each pixel, at least.
    pub samples: u32,
}

impl Default for RaytraceScene {
    /// 1600 × 1000 pixels in 8 × 8 tiles.
    fn default() -> Self {
        Self { width: 1600, height: 1000, columns: 8, rows: 8, seed: 2025, samples: 4 }
    }
}

/// A rectangle of pixels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tile {
    /// The left edge.
    pub x: u32,
    /// The top edge.
    pub y: u32,
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

impl Tile {
    /// Bytes of its pixels.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.width as usize * self.height as usize * 3
    }
}

impl RaytraceScene {
    /// How many tiles there are.
    #[must_use]
    pub fn tiles(&self) -> u32 {
        self.columns * self.rows
    }

    /// The tile that segment `index` renders. Where the picture does not divide evenly, tiles differ by a pixel.
    #[must_use]
    pub fn tile(&self, index: u32) -> Tile {
        let edge = |length: u32, parts: u32, at: u32| {
            let edge = u64::from(length) * u64::from(at) / u64::from(parts.max(1));
            u32::try_from(edge).unwrap_or(length)
        };
        let (column, row) = (index % self.columns.max(1), index / self.columns.max(1));
        let (x, right) =
            (edge(self.width, self.columns, column), edge(self.width, self.columns, column + 1));
        let (y, bottom) =
            (edge(self.height, self.rows, row), edge(self.height, self.rows, row + 1));
        Tile { x, y, width: right - x, height: bottom - y }
    }

    /// What every segment reads: six numbers as text.
    #[must_use]
    pub fn to_input(&self) -> Vec<u8> {
        let Self { width, height, columns, rows, seed, samples } = self;
        format!("{width} {height} {columns} {rows} {seed} {samples}\n").into_bytes()
    }

    /// The job that renders the picture, with limits that fit it.
    #[must_use]
    pub fn to_job(&self, seed: Hash) -> JobSpec {
        let largest = (0..self.tiles()).map(|index| self.tile(index).bytes()).max().unwrap_or(0);
        JobSpec {
            version: JOB_VERSION,
            module: Hash::of_content(RAYTRACE),
            meter: METER_VERSION,
            args: Vec::new(),
            shape: Shape::Map {
                segments: self.tiles(),
                input: MapInput::Shared(Hash::of_content(&self.to_input())),
            },
            limits: Limits {
                fuel: Fuel(4_000_000_000),
                memory_pages: 64,
                output_bytes: u32::try_from(largest).unwrap_or(u32::MAX),
            },
            seed,
        }
    }

    /// Puts a tile's pixels where they belong in a picture of `width * height * 3` bytes. Pixels that do not fit are
    /// left out.
    pub fn place(&self, picture: &mut [u8], index: u32, pixels: &[u8]) {
        let tile = self.tile(index);
        let row_bytes = tile.width as usize * 3;
        for (row, from) in
            pixels.chunks_exact(row_bytes.max(1)).take(tile.height as usize).enumerate()
        {
            let start = ((tile.y as usize + row) * self.width as usize + tile.x as usize) * 3;
            if let Some(to) = picture.get_mut(start..start + row_bytes) {
                to.copy_from_slice(from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_every_pixel_once() {
        let scene =
            RaytraceScene { width: 101, height: 67, columns: 7, rows: 3, ..Default::default() };
        let mut picture = vec![0; 101 * 67 * 3];
        for index in 0..scene.tiles() {
            let pixels = vec![1; scene.tile(index).bytes()];
            let mut once = vec![0; picture.len()];
            scene.place(&mut once, index, &pixels);
            picture.iter_mut().zip(&once).for_each(|(sum, part)| *sum += part);
        }
        assert!(picture.iter().all(|sum| *sum == 1));
    }
}

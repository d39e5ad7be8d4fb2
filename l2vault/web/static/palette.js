// Colours. Liquidity: cividis, which those who are colour-blind see as others do. States of coverage: Okabe and Ito.

export const STATE_COLOURS = {
  recorded: "#009E73", quiet: "#56B4E9", disputed: "#CC79A7", unverifiable: "#F0E442", missing: "#D55E00", unknown: "#999999",
};
// Missing is also the tallest, so that grey prints tell it.
export const STATE_HEIGHTS = { recorded: 0.5, quiet: 0.5, disputed: 0.8, unverifiable: 0.6, missing: 1, unknown: 0.7 };

const CIVIDIS = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838"];
export const EMPTY = "#000a1c";
const NUMBER = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

// 256 colours, as the words that ImageData holds (little endian: ABGR). 0 is what is empty.
export const TABLE = new Uint32Array(256);
{
  const stops = CIVIDIS.map(NUMBER);
  const word = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  TABLE[0] = word(NUMBER(EMPTY));
  for (let i = 1; i < 256; i++) {
    const at = (i - 1) / 254 * (stops.length - 1), low = Math.min(stops.length - 2, Math.floor(at)), part = at - low;
    TABLE[i] = word(stops[low].map((value, c) => Math.round(value + (stops[low + 1][c] - value) * part)));
  }
}

// The sizes between which the colours run: percentiles of the cells that hold anything.
export function limits(sizes, contrast) {
  const some = [];
  const step = Math.max(1, Math.floor(sizes.length / 60_000));
  for (let i = 0; i < sizes.length; i += step) if (sizes[i] > 0) some.push(sizes[i]);
  if (!some.length) return { low: 1, high: 10 };
  some.sort((a, b) => a - b);
  const at = (share) => some[Math.min(some.length - 1, Math.floor(share * some.length))];
  const low = at(Math.min(0.9, 0.1 + 0.1 * Math.max(0, contrast))), high = at(0.997);
  return { low, high: Math.max(high, low * 1.5) };
}

// By the logarithm of the size; more contrast leaves the bright end to fewer cells.
export function colourer({ low, high }, contrast) {
  const bottom = Math.log(low), scale = 1 / (Math.log(high) - bottom), power = 1 + 0.4 * Math.max(0, contrast);
  const steps = new Uint8Array(1024).map((_, i) => 1 + Math.min(254, Math.floor(254.999 * (i / 1023) ** power)));
  return (size) => (size > 0 ? TABLE[steps[Math.max(0, Math.min(1023, ((Math.log(size) - bottom) * scale * 1023) | 0))]] : TABLE[0]);
}

// Columns `from` to `to` into the pixels of a picture `width` wide whose first column is `first`. Rows are up to down in a
// picture, and from low to high prices in the data.
export function paint(pixels, grid, { from, to, first, width }, colour) {
  const { rows, size } = grid;
  for (let c = from; c < to; c++) {
    for (let r = 0; r < rows; r++) {
      const value = size[c * rows + r];
      pixels[(rows - 1 - r) * width + c - first] = value === value ? colour(value) : 0; // nothing is drawn beyond reach
    }
  }
}

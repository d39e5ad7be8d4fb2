// The lanes below the heatmap, in its columns of time: volumes with cumulative delta, imbalance and spread, basis with
// funding and open interest. A lane says what it shows at the cursor, or else of the newest column. Nothing is filled in.

import { signed, size as sizeText } from "./text.js";
import { xOf } from "./view.js";

export const LANE = 46;
export const BAND_BPS = 10;
const JOINED_MS = 6_000; // two values of the context so near are one line
const KNOWN_MS = 20_000; // for so long a value of the context is told as that of the time
const NAMES = { all: ["volume", "balance", "context"], volume: ["volume"], none: [] };
export const LANE_CHOICES = Object.keys(NAMES);
const BUY = "#56B4E9", SELL = "#FF7A2F";

// As many as fit while the heatmap keeps two thirds of the height.
export const lanesOf = (choice, height) => NAMES[choice].slice(0, Math.max(0, Math.floor((height * 0.33) / LANE)));

// The share of what rests below mid less what rests above it, within 10 bps, in one column of cells: -1 to 1. NaN where
// not all of that was seen, or where the cells are too high to tell.
export function imbalanceOf(grid, column) {
  const mid = (grid.best_bid[column] + grid.best_ask[column]) / 2, reach = mid * BAND_BPS / 1e4, step = grid.price_step;
  const row = (p) => Math.floor((p - grid.price_from) / step + 1e-6);
  const low = row(mid - reach), middle = row(grid.best_bid[column]) + 1, high = row(mid + reach);
  if (!(mid > 0) || step > reach / 4 || low < 0 || high >= grid.rows) return NaN;
  let below = 0, above = 0;
  const cell = column * grid.rows;
  for (let r = low; r <= high; r++) { if (r < middle) below += grid.size[cell + r]; else above += grid.size[cell + r]; }
  return (below - above) / (below + above);
}

// What was traded, basis, funding and open interest by bins of time, to which live trades and context are added.
export class Beside {
  constructor(said) {
    Object.assign(this, said);
    for (const name of ["bought", "sold", "basis_bps", "funding_rate", "open_interest_usd"]) this[name] = said[name] ?? [];
  }

  at(t) { return Math.floor((t - this.start_ms) / this.bin_ms); }

  // After the newest trade of what was read; between two live ones nothing was traded.
  addTrades(trades, isGapless) {
    for (const [t, , value, side] of trades) {
      const bin = this.at(t);
      if (bin < 0 || t <= (this.newest_ms ?? -1)) continue;
      for (let b = this.bought.length; b <= bin; b++) { this.bought[b] = this.sold[b] = isGapless ? 0 : null; }
      const own = side === "buy" ? this.bought : this.sold, other = side === "buy" ? this.sold : this.bought;
      own[bin] = (own[bin] ?? 0) + value;
      other[bin] ??= 0;
    }
  }

  addContext(context) {
    const bin = context ? this.at(context.t) : -1;
    if (bin < 0) return;
    const { mark, index, funding, open_interest: interest } = context;
    if (mark && index) this.basis_bps[bin] = (mark.price / index.price - 1) * 1e4;
    if (funding) this.funding_rate[bin] = Number(funding.rate);
    if (interest?.usd) this.open_interest_usd[bin] = Number(interest.usd);
  }
}

export function drawLanes(g, chart) {
  const { box, lanes } = chart;
  lanes.forEach((name, i) => {
    const lane = { x: box.x, y: chart.lanesTop + i * LANE + 2, w: box.w, h: LANE - 4 };
    g.fillStyle = chart.ink.ground;
    g.fillRect(lane.x, lane.y, lane.w, lane.h);
    g.save();
    g.beginPath(); g.rect(lane.x, lane.y, lane.w, lane.h); g.clip();
    const said = { volume: volumes, balance, context: beside }[name](g, chart, lane);
    g.restore();
    label(g, chart, lane, said);
    chart.say(g, { volume: "volume", balance: "balance", context: "basis, OI" }[name], box.w + 8, lane.y + lane.h / 2, "left", chart.ink.faint);
  });
}

// Values of bins in view as one for each pixel at most: [x, width, values...] by `fold` of some bins.
function* binsInView(chart, startMs, binMs, count) {
  const { view, box } = chart, wide = binMs / (view.t1 - view.t0) * box.w, group = Math.max(1, Math.ceil(1 / wide));
  const first = Math.max(0, Math.floor((view.t0 - startMs) / binMs / group) * group);
  for (let b = first; b < count; b += group) {
    const x = xOf(view, box, startMs + b * binMs);
    if (x > box.w) return;
    yield [x, wide * group, b, Math.min(count, b + group)];
  }
}

const sumOf = (values, from, to) => {
  let sum = null;
  for (let b = from; b < to; b++) if (values[b] !== null && values[b] !== undefined) sum = (sum ?? 0) + values[b];
  return sum;
};
const lastOf = (values, from, to) => {
  for (let b = to - 1; b >= from; b--) { const v = values[b]; if (v !== null && v !== undefined && v === v) return v; }
  return null;
};

function volumes(g, chart, lane) {
  const data = chart.beside;
  if (!data) return ["volume: reading ..."];
  if (data.too_long) return ["volume: zoom in to a day or less"];
  const bars = [];
  let most = 0, delta = 0, least = 0, top = 0;
  for (const [x, w, from, to] of binsInView(chart, data.start_ms, data.bin_ms, data.bought.length)) {
    const bought = sumOf(data.bought, from, to), sold = sumOf(data.sold, from, to);
    if (bought === null && sold === null) { bars.push(null); continue; }
    delta += (bought ?? 0) - (sold ?? 0);
    least = Math.min(least, delta); top = Math.max(top, delta);
    most = Math.max(most, bought ?? 0, sold ?? 0);
    bars.push({ x, w, bought: bought ?? 0, sold: sold ?? 0, delta, from: data.start_ms + from * data.bin_ms, ms: (to - from) * data.bin_ms });
  }
  if (!most) return [data.unread_hours?.length ? "volume: reading ..." : "volume: no trades are recorded here"];
  const middle = lane.y + lane.h / 2, half = lane.h / 2 - 1, up = new Path2D(), down = new Path2D(), line = new Path2D();
  let isDown = false;
  const y = (value) => lane.y + 2 + (top - value) / (top - least || 1) * (lane.h - 4);
  for (const bar of bars) {
    if (!bar) { isDown = false; continue; }
    const w = Math.max(1, bar.w - (bar.w > 4 ? 1 : 0)), b = bar.bought / most * half, s = bar.sold / most * half;
    up.rect(bar.x, middle - b, w, b); down.rect(bar.x, middle, w, s);
    if (isDown) line.lineTo(bar.x + bar.w, y(bar.delta)); else line.moveTo(bar.x + bar.w, y(bar.delta));
    isDown = true;
  }
  g.fillStyle = BUY; g.fill(up); g.fillStyle = SELL; g.fill(down);
  stroked(g, chart, line, chart.ink.text);
  const at = chart.cursorTime(), seen = bars.filter(Boolean), own = at === null ? seen.at(-1) : seen.find((bar) => bar.from <= at && at < bar.from + bar.ms);
  if (!own) return ["volume: not known here"];
  return [["bought", BUY], [sizeText(own.bought)], ["sold", SELL], [sizeText(own.sold)], ["cumulative delta in view"], [signedSize(own.delta)]];
}

const signedSize = (value) => (value < 0 ? "\u2212" : "+") + sizeText(Math.abs(value));

function balance(g, chart, lane) {
  const { grid } = chart;
  if (!grid) return ["imbalance, spread: reading ..."];
  const middle = lane.y + lane.h / 2, half = lane.h / 2 - 2, fill = new Path2D(), line = new Path2D(), spreads = [];
  let isDown = false, most = 0;
  for (const [x, w, from, to] of binsInView(chart, grid.start_ms, grid.bin_ms, grid.columns)) {
    const value = lastOf(grid.imbalance, from, to), bid = lastOf(grid.best_bid, from, to), ask = lastOf(grid.best_ask, from, to);
    if (value !== null) fill.rect(x, value > 0 ? middle - value * half : middle, Math.max(1, w), Math.abs(value) * half);
    const spread = bid === null || ask === null ? null : (ask - bid) / (ask + bid) * 2e4;
    most = Math.max(most, spread ?? 0);
    spreads.push([x, w, spread]);
  }
  g.fillStyle = chart.ink.balance; g.fill(fill);
  g.fillStyle = chart.ink.line; g.fillRect(lane.x, middle, lane.w, 1);
  for (const [x, w, spread] of spreads) {
    if (spread === null) { isDown = false; continue; }
    const y = lane.y + lane.h - 3 - spread / (most || 1) * (lane.h - 6);
    if (isDown) line.lineTo(x, y); else line.moveTo(x, y);
    line.lineTo(x + w, y);
    isDown = true;
  }
  stroked(g, chart, line, chart.ink.spread);
  const at = chart.cursorTime(), column = at === null ? grid.columns - 1 : chart.columnAt(at);
  const own = grid.imbalance[column], bid = grid.best_bid[column], ask = grid.best_ask[column];
  const isSeen = column >= 0 && column < grid.columns && bid === bid;
  return [
    [`imbalance within ${BAND_BPS} bps`, chart.ink.balance], [isSeen && own === own ? `${signed(own * 100, 0)} %` : grid.of === "max" ? "with the mean (x)" : isSeen ? "not seen whole" : "not known here"],
    ["spread", chart.ink.spread], [isSeen ? `${((ask - bid) / (ask + bid) * 2e4).toFixed(3)} bps` : "-"],
  ];
}

function beside(g, chart, lane) {
  const data = chart.beside;
  if (!data) return ["basis, open interest: reading ..."];
  if (data.too_long) return ["basis, open interest: zoom in to a day or less"];
  const series = [["basis_bps", chart.ink.basis], ["open_interest_usd", chart.ink.interest]];
  const count = Math.max(data.basis_bps.length, data.open_interest_usd.length);
  let isAny = false;
  for (const [name, colour] of series) {
    const points = [];
    for (const [x, w, from, to] of binsInView(chart, data.start_ms, data.bin_ms, count)) points.push([x, w, lastOf(data[name], from, to)]);
    const values = points.map((point) => point[2]).filter((value) => value !== null);
    if (!values.length) continue;
    isAny = true;
    const low = Math.min(...values), high = Math.max(...values), line = new Path2D();
    let last = null;
    for (const [x, w, value] of points) {
      if (value === null) continue;
      const y = lane.y + 3 + (high - value) / (high - low || 1) * (lane.h - 6);
      // A line of context comes only where anything was new.
      if (last !== null && x - last <= Math.max(1.5 * w, JOINED_MS / data.bin_ms * w)) line.lineTo(x, y); else line.moveTo(x, y);
      line.lineTo(x + w, y);
      last = x;
    }
    stroked(g, chart, line, colour);
  }
  if (!isAny) return [data.unread_hours?.length ? "basis, open interest: reading ..." : "basis, funding, open interest: not recorded here"];
  const at = chart.cursorTime(), to = at === null ? count : data.at(at) + 1, from = Math.max(0, to - Math.max(1, Math.ceil(KNOWN_MS / data.bin_ms)));
  const [basis, funding, interest] = ["basis_bps", "funding_rate", "open_interest_usd"].map((name) => lastOf(data[name], from, to));
  return [
    ["basis", chart.ink.basis], [basis === null ? "-" : `${signed(basis, 2)} bps`], ["funding"], [funding === null ? "-" : `${signed(funding * 100, 4)} %`],
    [lane.w < 420 ? "OI" : "open interest", chart.ink.interest], [interest === null ? "-" : `${sizeText(interest)} USD`],
  ];
}

function stroked(g, chart, path, colour) {
  g.lineWidth = 2.6; g.strokeStyle = chart.ink.ground; g.stroke(path);
  g.lineWidth = 1.3; g.strokeStyle = colour; g.stroke(path);
}

function label(g, chart, lane, said) {
  const parts = typeof said[0] === "string" ? [[said[0]]] : said;
  g.font = "11px system-ui, 'DejaVu Sans', sans-serif";
  const widths = parts.map(([text]) => g.measureText(text).width), sumOfAll = () => widths.reduce((sum, w) => sum + w + 6, 6);
  while (parts.length > 2 && sumOfAll() > lane.w) { parts.length -= 2; widths.length -= 2; } // a name and its value
  const total = sumOfAll();
  g.globalAlpha = 0.78; g.fillStyle = chart.ink.panel; g.fillRect(lane.x + 2, lane.y + 1, total, 15); g.globalAlpha = 1;
  let x = lane.x + 6;
  parts.forEach(([text, colour], i) => { chart.say(g, text, x, lane.y + 8.5, "left", colour ?? chart.ink.text); x += widths[i] + 6; });
}

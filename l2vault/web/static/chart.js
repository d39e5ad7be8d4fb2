// The heatmap on Canvas 2D: cells, the strip of coverage, axes, crosshair; `marks` draws over the cells, `lanes` below them.
// Knows what it is given and nothing of the server. A frame costs a dozen calls of drawImage for the cells, however many there are.

import { drawLanes, imbalanceOf, LANE, lanesOf } from "./lanes.js";
import { drawBest, drawHoleNames, drawHoles, drawTrades, drawWallName, drawWalls, drawZones } from "./marks.js";
import { STATE_COLOURS, STATE_HEIGHTS, colourer, limits, paint } from "./palette.js";
import { clock, price as priceText, shortClock } from "./text.js";
import { niceStep, priceAt, timeAt, timeStep, xOf, yOf } from "./view.js";

const AXIS = 76, STRIP = 18, TIMES = 22;
const TAG = 16; // from the mid's tag: a price nearer to it would be half hidden
const HOUR_MS = 3_600_000;
const SPARE = 600; // columns for live lines, before the window is asked for again
const PIECE = 256; // columns of one picture: a browser copies the whole of one that was drawn and then changed

export class Chart {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.pieces = []; // pictures of the cells, PIECE columns each
    this.view = null;
    this.grid = null;
    this.walls = [];
    this.ended = [];
    this.zones = [];
    this.newestMs = null;
    this.largest = null; // the largest level of the newest book, which is named where no wall stands
    this.trades = [];
    this.beside = null;
    this.mid = null;
    this.firstMs = null;
    this.cursor = null; // a place under the mouse
    this.otherTime = null; // the time under the mouse on another chart
    this.laneChoice = "all";
    this.lanes = [];
    this.contrast = 2;
    this.decimals = 1;
    this.found = null;
    this.hatches = new Map();
    this.work = { drawn: 0, painted: 0 };
    this.dirty = false;
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
  }

  resize() {
    const ratio = window.devicePixelRatio || 1, box = this.canvas.getBoundingClientRect();
    this.ratio = ratio;
    this.canvas.width = Math.max(1, Math.round(box.width * ratio));
    this.canvas.height = Math.max(1, Math.round(box.height * ratio));
    this.width = box.width;
    this.height = box.height;
    this.lanes = lanesOf(this.laneChoice, box.height);
    this.box = { x: 0, y: 0, w: Math.max(10, box.width - AXIS), h: Math.max(10, box.height - STRIP - TIMES - this.lanes.length * LANE) };
    this.lanesTop = this.box.h + STRIP;
    this.timesTop = this.lanesTop + this.lanes.length * LANE;
    this.ask();
  }

  ask() {
    if (this.dirty) return;
    this.dirty = true;
    requestAnimationFrame(() => { this.dirty = false; this.draw(); });
  }

  setGrid(grid) {
    const { rows, read_to_ms: readTo } = grid, capacity = grid.columns + SPARE;
    // Behind what was read nothing is known yet, which is another thing than beyond reach.
    const columns = readTo === null ? grid.columns : Math.max(1, Math.min(grid.columns, Math.ceil((readTo - grid.start_ms) / grid.bin_ms)));
    const size = new Float32Array(capacity * rows).fill(NaN);
    size.set(grid.size.subarray(0, columns * rows));
    const grown = (from, Kind, fill) => { const all = new Kind(capacity).fill(fill); all.set(from.subarray(0, columns)); return all; };
    this.grid = {
      ...grid, columns, capacity, size, codes: grown(grid.codes, Uint8Array, 0),
      best_bid: grown(grid.best_bid, Float64Array, NaN), best_ask: grown(grid.best_ask, Float64Array, NaN), imbalance: new Float32Array(capacity).fill(NaN),
      books: new Uint16Array(capacity).fill(1, 0, columns), holes: grid.coverage.holes.slice(),
    };
    // The largest levels of cells are no sums of what rested.
    if (grid.of !== "max") for (let c = 0; c < columns; c++) this.grid.imbalance[c] = imbalanceOf(this.grid, c);
    this.recolour();
  }

  recolour() {
    const { grid } = this;
    if (!grid) return;
    this.limits = limits(grid.size.subarray(0, grid.columns * grid.rows), this.contrast);
    this.colour = colourer(this.limits, this.contrast);
    this.pieces = Array.from({ length: Math.ceil(grid.capacity / PIECE) }, (_, i) => this.piece(this.pieces[i], i * PIECE, grid.rows));
    this.paintColumns(0, grid.columns);
  }

  piece(before, first, rows) {
    const canvas = before?.canvas ?? document.createElement("canvas");
    [canvas.width, canvas.height] = [PIECE, rows];
    const context = canvas.getContext("2d"), image = context.createImageData(PIECE, rows);
    return { canvas, context, image, first, pixels: new Uint32Array(image.data.buffer) };
  }

  paintColumns(from, to) {
    for (const { context, image, first, pixels } of this.pieces) {
      const begin = Math.max(from, first), end = Math.min(to, first + PIECE);
      if (begin >= end) continue;
      paint(pixels, this.grid, { from: begin, to: end, first, width: PIECE }, this.colour);
      context.putImageData(image, 0, 0, begin - first, 0, end - begin, this.grid.rows);
      this.work.painted += end - begin;
      this.ask();
    }
  }

  columnAt(t) { return Math.floor((t - this.grid.start_ms) / this.grid.bin_ms); }

  get endMs() { return this.grid ? this.grid.start_ms + this.grid.columns * this.grid.bin_ms : 0; }

  // A live book into its column: the mean of the books that came in it, or the largest level of all of them. False where it has no room: ask for a window.
  addBook(book, usd) {
    const { grid } = this;
    if (!grid) return false;
    const column = this.columnAt(book.book_ms);
    if (column < 0 || column >= grid.capacity) return false;
    if (!book.bids.length || !book.asks.length) return true;
    const low = book.bids.at(-1)[0], high = book.asks.at(-1)[0], { rows, price_from: from, price_step: step } = grid;
    const isNear = book.bids[0][0] > from && book.asks[0][0] < from + rows * step;
    if (!isNear) return false;
    const sums = new Float32Array(rows).fill(NaN);
    const bottom = book.bids.length < book.depth ? 0 : Math.max(0, Math.floor((low - from) / step + 1e-6));
    const top = book.asks.length < book.depth ? rows - 1 : Math.min(rows - 1, Math.floor((high - from) / step + 1e-6));
    sums.fill(0, bottom, top + 1);
    const isMost = grid.of === "max";
    for (const side of [book.bids, book.asks]) {
      for (const [price, qty] of side) {
        const row = Math.floor((price - from) / step + 1e-6);
        if (row < 0 || row >= rows) continue;
        sums[row] = isMost ? Math.max(sums[row], usd(price, qty)) : sums[row] + usd(price, qty);
      }
    }
    const before = grid.books[column];
    const cell = column * rows;
    for (let r = 0; r < rows; r++) {
      const was = grid.size[cell + r];
      const isBoth = before && was === was && sums[r] === sums[r];
      grid.size[cell + r] = !isBoth ? sums[r] : isMost ? Math.max(was, sums[r]) : was + (sums[r] - was) / (before + 1);
    }
    grid.books[column] = before + 1;
    grid.best_bid[column] = book.bids[0][0];
    grid.best_ask[column] = book.asks[0][0];
    grid.codes[column] = 1;
    if (!isMost) grid.imbalance[column] = imbalanceOf(grid, column);
    const begin = Math.min(column, grid.columns);
    grid.columns = Math.max(grid.columns, column + 1);
    this.paintColumns(begin, grid.columns);
    return true;
  }

  // Columns without a line: the book before stood on where that is proved. Where it is not, nothing is drawn.
  standOn(fromMs, toMs, code = 2) {
    const { grid } = this;
    if (!grid) return;
    const first = Math.max(1, this.columnAt(fromMs)), last = Math.min(grid.columns - 1, this.columnAt(toMs - 1));
    for (let c = first; c <= last; c++) {
      if (grid.codes[c] || !grid.codes[c - 1] || this.isInHole(grid.start_ms + c * grid.bin_ms)) continue;
      grid.size.copyWithin(c * grid.rows, (c - 1) * grid.rows, c * grid.rows);
      grid.best_bid[c] = grid.best_bid[c - 1];
      grid.best_ask[c] = grid.best_ask[c - 1];
      grid.imbalance[c] = grid.imbalance[c - 1];
      grid.codes[c] = code;
      this.paintColumns(c, c + 1);
    }
  }

  isInHole(t) { return this.grid.holes.some(([from, to]) => from <= t && t < to); }

  // Spans between live columns of which no line has come and nothing is proved: not read yet, which is no hole and not beyond reach.
  unknown() {
    const { grid } = this, spans = [];
    for (let c = 0; c < grid.columns; c++) {
      if (grid.books[c] || grid.codes[c]) continue;
      const from = grid.start_ms + c * grid.bin_ms;
      if (spans.at(-1)?.[1] === from) spans.at(-1)[1] += grid.bin_ms; else spans.push([from, from + grid.bin_ms]);
    }
    return spans;
  }

  // Holes of a later span than the window's.
  addHoles(coverage) {
    if (!this.grid) return;
    const before = this.grid.holes.filter((hole) => hole[0] < coverage.from);
    const later = coverage.holes.filter((hole) => hole[1] > this.grid.start_ms);
    const last = before.at(-1);
    if (last && last[1] > coverage.from && later[0] && later[0][0] <= coverage.from) later.shift();
    this.grid.holes = [...before, ...later];
    this.ask();
  }

  holeAt(t) { return this.grid?.holes.find(([from, to]) => from <= t && t < to) ?? null; }

  stateAt(t) {
    const hole = this.holeAt(t);
    if (hole) return { state: hole[2], cause: hole[3], hole };
    const column = this.grid ? this.columnAt(t) : -1;
    const code = column >= 0 && column < (this.grid?.columns ?? 0) ? this.grid.codes[column] : 0;
    return { state: code ? this.grid.states[code - 1] : "not read yet", cause: "" };
  }

  // What stands in a cell: its bounds and size; undefined beyond the window.
  cellAt(t, p) {
    const { grid } = this;
    if (!grid) return undefined;
    const column = this.columnAt(t), row = Math.floor((p - grid.price_from) / grid.price_step + 1e-9);
    if (column < 0 || column >= grid.columns || row < 0 || row >= grid.rows) return undefined;
    const low = grid.price_from + row * grid.price_step;
    return {
      low, high: low + grid.price_step, t: grid.start_ms + column * grid.bin_ms, ms: grid.bin_ms,
      size: grid.size[column * grid.rows + row],
    };
  }

  bounds(t0, t1) {
    const { grid } = this;
    let low = Infinity, high = -Infinity, bestLow = Infinity, bestHigh = -Infinity;
    const from = Math.max(0, this.columnAt(t0)), to = Math.min(grid.columns - 1, this.columnAt(t1));
    for (let c = from; c <= to; c++) {
      if (grid.best_bid[c] !== grid.best_bid[c]) continue;
      bestLow = Math.min(bestLow, grid.best_bid[c]);
      bestHigh = Math.max(bestHigh, grid.best_ask[c]);
      const cell = c * grid.rows;
      for (let r = 0; r < grid.rows; r++) if (grid.size[cell + r] === grid.size[cell + r]) { low = Math.min(low, r); break; }
      for (let r = grid.rows - 1; r >= 0; r--) if (grid.size[cell + r] === grid.size[cell + r]) { high = Math.max(high, r); break; }
    }
    if (low > high) return null;
    return { p0: grid.price_from + low * grid.price_step, p1: grid.price_from + (high + 1) * grid.price_step, bestLow, bestHigh };
  }

  draw() {
    const { context: g, view, box } = this;
    const css = getComputedStyle(document.documentElement);
    const ink = (name) => css.getPropertyValue(`--${name}`).trim();
    this.ink = { ground: ink("ground"), panel: ink("panel"), text: ink("ink"), faint: ink("faint"), line: ink("line"), beyond: ink("beyond"), dot: ink("dot"), accent: ink("accent"), balance: ink("balance"), spread: ink("spread"), basis: ink("basis"), interest: ink("interest") };
    g.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    g.fillStyle = this.ink.panel;
    g.fillRect(0, 0, this.width, this.height);
    if (!view) return;
    this.work.drawn += 1;
    g.save();
    g.beginPath();
    g.rect(box.x, box.y, box.w, box.h);
    g.clip();
    this.drawCells(g);
    drawHoles(g, this);
    drawZones(g, this);
    drawBest(g, this);
    drawWalls(g, this);
    drawTrades(g, this);
    drawWallName(g, this);
    drawHoleNames(g, this);
    g.restore();
    this.drawStrip(g);
    drawLanes(g, this);
    this.drawAxes(g);
    this.drawCursor(g);
  }

  drawCells(g) {
    const { view, box, grid } = this;
    g.fillStyle = this.ink.ground;
    g.fillRect(box.x, box.y, box.w, box.h);
    if (!grid) { this.say(g, "reading ...", box.w / 2, box.h / 2, "center", this.ink.faint); return; }
    const x = xOf(view, box, grid.start_ms), w = xOf(view, box, this.endMs) - x;
    g.fillStyle = this.beyond(g); // where nothing was drawn no book reached
    g.fillRect(x, box.y, w, box.h);
    const top = yOf(view, box, grid.price_from + grid.rows * grid.price_step), bottom = yOf(view, box, grid.price_from);
    g.imageSmoothingEnabled = false;
    const edge = (column) => Math.round(xOf(view, box, grid.start_ms + column * grid.bin_ms) * this.ratio) / this.ratio; // no seams
    for (const { canvas, first } of this.pieces) {
      const columns = Math.min(PIECE, grid.columns - first), left = edge(first), right = edge(first + columns);
      if (columns <= 0 || right <= box.x || left >= box.w || right <= left) continue;
      g.drawImage(canvas, 0, 0, columns, grid.rows, left, top, right - left, bottom - top);
    }
    const unread = this.unknown();
    for (const hour of grid.unread_hours ?? []) if (unread.at(-1)?.[1] === hour) unread.at(-1)[1] += HOUR_MS; else unread.push([hour, hour + HOUR_MS]);
    for (const [begin, end] of unread) {
      const from = Math.max(box.x, xOf(view, box, begin)), to = Math.min(box.w, xOf(view, box, end));
      if (to <= from) continue;
      g.fillStyle = this.ink.panel;
      g.fillRect(from, box.y, to - from, box.h);
      if (to - from > 60) this.say(g, "reading ...", (from + to) / 2, box.y + 30, "center");
    }
  }

  drawStrip(g) {
    const { view, box, grid } = this, top = box.y + box.h + 2, tall = STRIP - 4;
    g.fillStyle = this.ink.ground;
    g.fillRect(box.x, top, box.w, tall);
    if (!grid) return;
    g.save();
    g.beginPath(); g.rect(box.x, top, box.w, tall); g.clip();
    const bar = (from, to, state, least) => {
      const x = xOf(view, box, from), w = Math.max(least, xOf(view, box, to) - x), h = tall * STATE_HEIGHTS[state];
      g.fillStyle = STATE_COLOURS[state];
      g.fillRect(x, top + (tall - h) / 2, w, h);
    };
    let begin = Math.max(0, this.columnAt(view.t0));
    const last = Math.min(grid.columns, this.columnAt(view.t1) + 1);
    for (let c = begin + 1; c <= last; c++) {
      if (c < last && grid.codes[c] === grid.codes[begin]) continue;
      if (grid.codes[begin]) bar(grid.start_ms + begin * grid.bin_ms, grid.start_ms + c * grid.bin_ms, grid.states[grid.codes[begin] - 1], 1);
      begin = c;
    }
    for (const [from, to, kind] of grid.holes) if (to > view.t0 && from < view.t1) bar(from, to, kind, 2.5);
    g.restore();
  }

  drawAxes(g) {
    const { view, box } = this;
    g.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    g.textBaseline = "middle";
    g.strokeStyle = this.ink.line; g.lineWidth = 1;
    g.beginPath(); g.moveTo(box.w + 0.5, 0); g.lineTo(box.w + 0.5, box.h); g.stroke();
    const step = niceStep(view.p1 - view.p0, box.h / 48), mid = this.mid === null ? NaN : yOf(view, box, this.mid);
    for (let p = Math.ceil(view.p0 / step) * step; this.grid && p < view.p1; p += step) {
      const y = yOf(view, box, p);
      g.fillStyle = this.ink.line; g.fillRect(box.w, y, 5, 1);
      if (y > 7 && y < box.h - 4 && !(Math.abs(y - mid) < TAG)) this.say(g, priceText(p, this.decimals), box.w + 8, y, "left", this.ink.faint);
    }
    const every = timeStep(view.t1 - view.t0, box.w / 90), y = this.timesTop + TIMES / 2;
    for (let t = Math.ceil(view.t0 / every) * every; t < view.t1; t += every) {
      const x = xOf(view, box, t);
      g.fillStyle = this.ink.line; g.fillRect(x, this.timesTop, 1, 4);
      if (x > 30 && x < box.w - 10) this.say(g, shortClock(t, every), x, y, "center", this.ink.faint);
    }
    this.say(g, "UTC", box.w + 8, y, "left", this.ink.faint);
    this.say(g, "coverage", box.w + 8, box.h + STRIP / 2 + 1, "left", this.ink.faint);
    if (mid >= 0 && mid <= box.h) this.tag(g, priceText(this.mid, this.decimals), box.w + 2, mid, this.ink.accent, this.ink.panel, AXIS - 4);
  }

  cursorTime() { return this.cursor && this.cursor.x <= this.box.w ? timeAt(this.view, this.box, this.cursor.x) : this.otherTime; }

  drawCursor(g) {
    const { cursor, view, box } = this, t = this.cursorTime();
    if (t === null || t < view.t0 || t > view.t1) return;
    const x = xOf(view, box, t), isOwn = cursor && cursor.y <= box.h;
    g.strokeStyle = "#fff"; g.lineWidth = 1; g.globalCompositeOperation = "difference"; g.setLineDash([4, 3]);
    g.beginPath();
    g.moveTo(x + 0.5, 0); g.lineTo(x + 0.5, this.timesTop);
    if (isOwn) { g.moveTo(0, cursor.y + 0.5); g.lineTo(box.w, cursor.y + 0.5); }
    g.stroke();
    g.setLineDash([]); g.globalCompositeOperation = "source-over";
    if (isOwn) this.tag(g, priceText(priceAt(view, box, cursor.y), this.decimals), box.w + 2, cursor.y, this.ink.text, this.ink.panel, AXIS - 4);
    this.tag(g, clock(t, true), Math.min(box.w - 132, Math.max(0, x - 66)), this.timesTop + TIMES / 2, this.ink.text, this.ink.panel, 132);
  }

  tag(g, text, x, y, ground, ink, width) {
    g.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    const w = width ?? g.measureText(text).width + 10;
    g.fillStyle = ground; g.fillRect(x, y - 9, w, 18);
    g.fillStyle = ink; g.textAlign = "left"; g.textBaseline = "middle"; g.fillText(text, x + 5, y + 0.5);
  }

  say(g, text, x, y, align, colour = this.ink.text) {
    g.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    g.textAlign = align; g.textBaseline = "middle"; g.fillStyle = colour; g.fillText(text, x, y);
  }

  hatch(g, kind) {
    return this.pattern(g, `hole ${kind}`, (h, n) => {
      h.fillStyle = this.ink.panel; h.fillRect(0, 0, n, n);
      h.strokeStyle = STATE_COLOURS[kind] ?? "#999"; h.lineWidth = n / 5;
      for (const shift of [-n, 0, n]) { h.beginPath(); h.moveTo(shift - 1, n + 1); h.lineTo(shift + n + 1, -1); h.stroke(); }
    });
  }

  beyond(g) {
    return this.pattern(g, "beyond", (h, n) => {
      h.fillStyle = this.ink.beyond; h.fillRect(0, 0, n, n);
      h.fillStyle = this.ink.dot; h.fillRect(2, 2, 1, 1); h.fillRect(7, 7, 1, 1);
    });
  }

  pattern(g, name, paintTile) {
    const key = `${name} ${this.ink.panel}`;
    if (!this.hatches.has(key)) {
      const tile = document.createElement("canvas");
      tile.width = tile.height = 10;
      paintTile(tile.getContext("2d"), 10);
      this.hatches.set(key, g.createPattern(tile, "repeat"));
    }
    return this.hatches.get(key);
  }
}

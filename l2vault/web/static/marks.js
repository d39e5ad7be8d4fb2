// What is drawn over the cells: holes, best prices, walls and how they ended, trades. Knows what the chart has, no server.

import { ENDS, price as priceText, size as sizeText, span as spanText } from "./text.js";
import { xOf, yOf } from "./view.js";

const FOUND = "#ff5cf4";
const NEAR_PX = 6;

// Over the whole height, in the colour of their state. Before the first line there is no hole: nothing was begun.
export function drawHoles(g, chart) {
  const { view, box, grid, firstMs } = chart;
  for (const [from, to, kind] of grid?.holes ?? []) {
    const x = xOf(view, box, Math.max(from, firstMs ?? from)), end = xOf(view, box, to);
    if (end < box.x || x > box.x + box.w || to <= (firstMs ?? from)) continue;
    const left = Math.max(box.x - 1, x);
    g.fillStyle = chart.hatch(g, kind);
    g.fillRect(left, box.y, Math.max(1.5, Math.min(end, box.w + 1) - left), box.h);
  }
  const begin = firstMs === null ? 0 : xOf(view, box, firstMs);
  if (begin > 1) {
    g.fillStyle = chart.ink.ground;
    g.fillRect(box.x, box.y, Math.min(box.w, begin), box.h);
    if (begin > 150) chart.say(g, "before the first line of the vault", Math.min(box.w, begin) / 2, box.h / 2, "center", chart.ink.faint);
  }
}

// The name and cause of each hole that has room for it, and of the last one, which always has its tag.
export function drawHoleNames(g, chart) {
  const { view, box, grid, firstMs } = chart;
  const holes = (grid?.holes ?? []).filter(([, to]) => to > view.t0 && to > (firstMs ?? 0));
  holes.forEach(([from, to, kind, cause], i) => {
    const x = xOf(view, box, Math.max(from, firstMs ?? from)), w = xOf(view, box, to) - x;
    if (x > box.w || (w < 150 && i < holes.length - 1)) return;
    const text = `hole, ${spanText(to - from)}: ${kind}${cause ? `, ${cause}` : ""}`;
    g.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    const wide = g.measureText(text).width + 10;
    chart.tag(g, text, Math.max(4, Math.min(box.w - wide - 4, x + w / 2 - wide / 2)), box.y + 14, chart.ink.panel, chart.ink.text, wide);
  });
}

export function drawBest(g, chart) {
  const { view, box, grid } = chart;
  if (!grid) return;
  const from = Math.max(0, chart.columnAt(view.t0)), to = Math.min(grid.columns, chart.columnAt(view.t1) + 2);
  for (const [best, colour] of [[grid.best_bid, "#56B4E9"], [grid.best_ask, "#FF7A2F"]]) {
    const path = new Path2D();
    let isDown = false;
    for (let c = from; c < to; c++) {
      const value = best[c];
      if (value !== value) { isDown = false; continue; }
      const x = xOf(view, box, grid.start_ms + c * grid.bin_ms), y = yOf(view, box, value);
      if (isDown) path.lineTo(x, y); else path.moveTo(x, y);
      path.lineTo(xOf(view, box, grid.start_ms + (c + 1) * grid.bin_ms), y);
      isDown = true;
    }
    g.lineWidth = 3; g.strokeStyle = "#000a"; g.stroke(path);
    g.lineWidth = 1.4; g.strokeStyle = colour; g.stroke(path);
  }
}

// Zones lie ahead: between the newest line and the right edge.
export function drawZones(g, chart) {
  const { view, box, zones, newestMs } = chart, x = Math.max(box.x, xOf(view, box, newestMs ?? view.t1)) + 1;
  if (x >= box.w) return;
  for (const zone of zones) {
    const top = yOf(view, box, zone.price_to), tall = Math.max(1, yOf(view, box, zone.price_from) - top);
    g.globalAlpha = 0.15 + 0.45 * zone.persistence; // how much of its time it was large
    g.fillStyle = zone.side === "bid" ? "#56B4E9" : "#FF7A2F";
    g.fillRect(x, top, box.w - x, Math.max(1, tall - 1));
  }
  g.globalAlpha = 1;
  if (zones.length && box.w - x > 40) chart.say(g, "zones", (x + box.w) / 2, box.y + 10, "center", chart.ink.faint);
}

// A bar for each time in which a wall was in sight: none goes over what nobody saw. One that ended has the mark of its end.
export function drawWalls(g, chart) {
  for (const wall of chart.ended) bars(g, chart, wall, { tall: 2, colour: "#c9d1da" });
  for (const wall of chart.ended) endMark(g, chart, wall);
  for (const wall of chart.walls) if (wall.track !== chart.found) bars(g, chart, wall, { tall: 4, colour: "#fff" });
  const found = foundOf(chart);
  if (found) bars(g, chart, found, { tall: 6, colour: FOUND });
}

const foundOf = (chart) => [...chart.walls, ...chart.ended].find((wall) => wall.track === chart.found);

// The name of the wall that was found, or of the largest: over the trades, which would hide it.
export function drawWallName(g, chart) {
  const found = foundOf(chart), named = found ?? chart.walls[0] ?? chart.largest;
  if (named) name(g, chart, named, found ? FOUND : "#fff");
}

function name(g, chart, wall, colour) {
  const { view, box } = chart, y = yOf(view, box, wall.price) - 18, [from, to] = [wall.lives[0][0], wall.lives.at(-1)[1]].map((t) => xOf(view, box, t));
  if (to < 0 || from > box.w || y < -10 || y > box.h) return;
  const words = `${colour === FOUND ? "" : wall.isLevel ? "largest level: " : "largest wall: "}${wall.side} ${priceText(wall.price, chart.decimals)}  ${sizeText(wall.size_end)}`;
  g.font = "11px system-ui, 'DejaVu Sans', sans-serif";
  const wide = g.measureText(words).width + 10;
  chart.tag(g, words, Math.max(4, Math.min(box.w - wide - 4, from)), Math.max(10, y), colour, "#000", wide);
}

function bars(g, chart, wall, { tall, colour }) {
  const { view, box } = chart;
  for (const [from, to, price] of wall.lives) {
    const x = Math.max(box.x, xOf(view, box, from)), end = Math.min(box.w, xOf(view, box, to)), y = yOf(view, box, price);
    if (end < box.x || x > box.w || y < box.y - 4 || y > box.h + 4) continue;
    g.fillStyle = "#000"; g.fillRect(x - 1, y - tall / 2 - 1, Math.max(4, end - x) + 2, tall + 2);
    g.fillStyle = colour; g.fillRect(x, y - tall / 2, Math.max(4, end - x), tall);
  }
}

function endMark(g, chart, wall) {
  const { view, box } = chart, mark = ENDS[wall.end]?.[0], [, to, price] = wall.lives.at(-1);
  const x = xOf(view, box, to), y = yOf(view, box, price);
  if (!mark || x < 0 || x > box.w || y < 0 || y > box.h) return;
  g.font = "bold 13px system-ui, 'DejaVu Sans', sans-serif"; g.textAlign = "center"; g.textBaseline = "middle";
  g.lineWidth = 3; g.strokeStyle = "#000"; g.strokeText(mark, x + 5, y); g.fillStyle = "#fff"; g.fillText(mark, x + 5, y);
}

// The wall whose bar lies under a place of the screen; the standing ones first.
export function wallAt(chart, x, y) {
  const { view, box } = chart;
  const isHit = (wall) => wall.lives.some(([from, to, price]) => {
    const left = xOf(view, box, from), right = Math.max(left + 4, xOf(view, box, to));
    return x >= left - NEAR_PX && x <= right + NEAR_PX && Math.abs(y - yOf(view, box, price)) <= NEAR_PX;
  });
  return chart.walls.find(isHit) ?? chart.ended.find(isHit) ?? null;
}

// What was traded near each other in time is one circle, at the mean price: single trades would hide the prices.
export function drawTrades(g, chart) {
  const { view, box } = chart, wide = 14, sums = new Map();
  for (const [t, price, value, side] of chart.trades) {
    if (t < view.t0 || t > view.t1) continue;
    const slot = Math.floor(xOf(view, box, t) / wide), key = side === "buy" ? slot : -1 - slot;
    const sum = sums.get(key) ?? { x: (slot + 0.5) * wide, value: 0, paid: 0, side };
    sum.value += value; sum.paid += value * price;
    sums.set(key, sum);
  }
  const most = Math.max(1, ...[...sums.values()].map((sum) => sum.value));
  for (const { x, value, paid, side } of [...sums.values()].sort((one, other) => other.value - one.value)) {
    const r = Math.min(11, 4 + box.w / 130) * Math.sqrt(value / most);
    if (r < 1.5) continue;
    g.beginPath();
    g.arc(side === "buy" ? x - 2 : x + 2, yOf(view, box, paid / value), r, 0, 7);
    g.fillStyle = side === "buy" ? "#56B4E9b0" : "#FF7A2Fb0";
    g.fill();
    g.lineWidth = 1; g.strokeStyle = "#000"; g.stroke();
  }
}

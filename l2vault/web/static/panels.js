// What stands beside the chart: the ladder, walls, zones, the legend, the state of the recorder. Text out of the vault is
// only ever set as text.

import { EMPTY, STATE_COLOURS } from "./palette.js";
import { clock, price as priceText, size as sizeText, span } from "./text.js";

export const element = (name, text = "", kind = "") => {
  const made = document.createElement(name);
  if (text !== "") made.textContent = text;
  if (kind) made.className = kind;
  return made;
};

// Levels of a side summed up in steps of price, best first: [price, usd, orders, cumulative usd].
export function grouped(levels, step, isBid, usd, count) {
  const rows = [];
  let total = 0;
  for (const [price, qty, orders] of levels) {
    const at = isBid ? Math.floor(price / step + 1e-9) * step : Math.ceil(price / step - 1e-9) * step;
    const last = rows.at(-1);
    if (!last || Math.abs(last[0] - at) > step / 2) {
      if (rows.length === count) break;
      rows.push([at, 0, 0, 0]);
    }
    const row = rows.at(-1), value = usd(price, qty);
    total += value;
    row[1] += value; row[2] = orders === null ? null : row[2] === null ? null : row[2] + orders; row[3] = total;
  }
  return rows;
}

export function showLadder(table, book, { usd, step, decimals, count, quote }) {
  const body = table.tBodies[0], rows = [];
  const sides = [["ask", grouped(book.asks, step, false, usd, count).reverse()], ["bid", grouped(book.bids, step, true, usd, count)]];
  const most = Math.max(1, ...sides.flatMap(([, some]) => some.map((row) => row[1])));
  const deepest = Math.max(1, ...sides.flatMap(([, some]) => some.map((row) => row[3])));
  for (const [side, some] of sides) {
    for (const [price, value, orders, total] of some) {
      const row = element("tr", "", side);
      row.append(element("td", priceText(price, decimals)), barred(sizeText(value), value / most), barred(sizeText(total), total / deepest), element("td", orders ?? "-"));
      rows.push(row);
    }
    if (side === "ask") {
      const spread = element("tr", "", "spread"), cell = element("td");
      cell.colSpan = 4;
      const bid = book.bids[0]?.[0], ask = book.asks[0]?.[0];
      cell.textContent = bid && ask ? `${priceText(bid, decimals)} / ${priceText(ask, decimals)}   spread ${((ask - bid) / (ask + bid) * 2e4).toFixed(3)} bps` : "one side is empty";
      spread.append(cell);
      rows.push(spread);
    }
  }
  body.replaceChildren(...rows);
  document.getElementById("size-head").textContent = quote;
}

function barred(text, share) {
  const cell = element("td"), bar = element("div", "", "bar");
  bar.style.width = `${Math.round(100 * share)}%`;
  cell.append(bar, element("span", text, "text"));
  return cell;
}

export function showWalls(box, note, said, { decimals, onFind, book, usd }) {
  note.textContent = `${clock(said.from).slice(0, 5)} to ${clock(said.to).slice(0, 5)} UTC`;
  const rows = said.walls.slice(0, 12).map((wall) => row(
    wall.side, priceText(wall.price, decimals), `${sizeText(wall.size_end)}`,
    `${wall.orders.toFixed(1)} orders, since ${clock(wall.t_from)}, ${wall.standing_bps === null ? "" : `${wall.standing_bps.toFixed(1)} bps off, `}${Math.round(wall.times_usual ?? 0)} times usual${wall.moves ? `, moved ${wall.moves}x` : ""}`,
    () => onFind(wall),
  ));
  if (rows.length) {
    if (said.left_out) rows.push(element("div", `and ${said.left_out} more`, "quiet"));
    box.replaceChildren(...rows);
    return;
  }
  const least = sizeText(said.threshold?.threshold);
  box.replaceChildren(element("div", `No wall stands: none has ${least}, ${said.threshold?.times_usual ?? 20} times what is usual, for 10 s.`, "quiet"));
  if (!book) return;
  box.append(element("div", "Largest levels of the newest book:", "quiet"));
  const all = [["bid", book.bids], ["ask", book.asks]].flatMap(([side, levels]) => levels.map(([price, qty, orders]) => ({ side, price, orders, size: usd(price, qty) })));
  for (const each of all.sort((a, b) => b.size - a.size).slice(0, 5)) {
    box.append(row(each.side, priceText(each.price, decimals), sizeText(each.size), `${each.orders ?? "?"} order${each.orders === 1 ? "" : "s"}`, () => onFind({ ...each, size_end: each.size, track: `level ${each.price}`, lives: [[book.book_ms, book.book_ms, each.price]], isLevel: true })));
  }
}

export function showZones(box, note, said, { decimals, onFind }) {
  note.textContent = `${clock(said.from).slice(0, 5)} to ${clock(said.to).slice(0, 5)} UTC`;
  const rows = said.zones.map((zone) => row(
    zone.side, `${priceText(zone.price_from, decimals)} to ${priceText(zone.price_to, decimals)}`, sizeText(zone.size),
    `${zone.tests ? `held ${zone.holds} of ${zone.tests} tests` : "not tested"}, large ${(100 * zone.persistence).toFixed(0)} % of its time, seen ${(100 * zone.seen_share).toFixed(0)} %`,
    () => onFind(zone),
  ));
  box.replaceChildren(...(rows.length ? rows : [element("div", "None ahead of the price.", "quiet")]));
}

function row(side, price, size, detail, onClick) {
  const made = element("button", "", "row");
  const isShort = detail.length < 16;
  if (isShort) made.className = "row short";
  made.append(element("b", `${side} `, `${side} tag`), element("b", `${price}  `), element("b", size), isShort ? "" : element("br"), element("small", detail));
  made.onclick = onClick;
  return made;
}

export function showLegend(box, limits) {
  const items = [["var(--beyond)", "dotted: beyond the levels seen"], [EMPTY, "empty"]].map(([colour, text]) => mark(colour, text));
  const scale = element("div", limits ? `dark to bright: ${sizeText(limits.low)} to ${sizeText(limits.high)} a cell` : "", "quiet");
  for (const [state, colour] of Object.entries(STATE_COLOURS)) items.push(mark(colour, state));
  items.push(mark("#56B4E9", "best bid, buys"), mark("#FF7A2F", "best ask, sells"), mark("#ffffff", "wall"));
  box.replaceChildren(scale, ...items, element("div", "Hatched: a hole, in the colour of its state. Nothing is known there.", "quiet"));
}

function mark(colour, text) {
  const made = element("span"), square = element("i");
  square.style.background = colour;
  made.append(square, text);
  return made;
}

// How old the newest line is, what the recorder says of itself, the last hole.
export function showState({ age, recorder, hole }, { status, isConnected, newestMs, nowMs }) {
  const old = newestMs === null ? null : nowMs - newestMs;
  age.textContent = !isConnected ? "no connection to the screen" : old === null ? "no line yet" : old < 10_000 ? `live, ${(old / 1000).toFixed(1)} s` : `newest line ${span(old)} old`;
  age.className = `pill ${!isConnected ? "bad" : old !== null && old < 10_000 ? "good" : "warn"}`;
  const said = status?.recorder;
  const isRecording = said?.state !== "no recorder";
  const days = isRecording && typeof said?.disk_days_left === "number" ? `, disk full in ${said.disk_days_left.toFixed(0)} days` : "";
  recorder.textContent = isRecording ? `recorder: ${said ? said.state : "unknown"}${days}` : "no recorder";
  recorder.title = said?.reasons?.join("\n") || "By meta/okx/health.json, which the recorder replaces every 5 s; l2vault status says more.";
  recorder.className = `pill ${said?.state === "healthy" ? "good" : said?.state === "not healthy" ? "bad" : "warn"}`;
  const last = status?.last_hole;
  hole.hidden = !status;
  hole.textContent = last ? `last hole ${clock(last.from)}, ${span(last.to - last.from)}: ${last.kind}${last.cause ? ` (${last.cause})` : ""}` : "no hole in the last day";
  hole.className = `pill ${last && nowMs - last.to < 60_000 ? "bad" : ""}`;
  hole.disabled = !last;
}

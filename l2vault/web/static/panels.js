// What stands beside the chart: the ladder, walls, zones, the legend, the state of the recorder. Text out of the vault is
// only ever set as text.

import { KEYS } from "./hands.js";
import { EMPTY, STATE_COLOURS } from "./palette.js";
import { clock, ENDS, endOf, ordersOf, price as priceText, signed, size as sizeText, span, why } from "./text.js";

export const element = (name, text = "", kind = "") => {
  const made = document.createElement(name);
  if (text !== "") made.textContent = text;
  if (kind) made.className = kind;
  return made;
};

// Levels of a side summed up in steps of price, best first: [price, usd, orders, cumulative usd]. Where a full side
// (`depth` levels, behind which more may lie) runs out of levels, its last step is "at least": see `cutOff`.
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

// The row of which only the nearer part was seen, -1 without one: a step ends at its farther edge.
function cutOff(rows, levels, { depth, count, step }) {
  const isOut = rows.length > 0 && rows.length < count && levels.length >= depth;
  return isOut && Math.abs(levels.at(-1)[0] - rows.at(-1)[0]) > step * 1e-6 ? rows.length - 1 : -1;
}

export function showLadder(table, book, { usd, step, decimals, count, quote }) {
  const body = table.tBodies[0], rows = [];
  const sides = [["ask", grouped(book.asks, step, false, usd, count)], ["bid", grouped(book.bids, step, true, usd, count)]];
  for (const [side, some] of sides) {
    some.forEach((row, at) => { row[4] = at === cutOff(some, book[`${side}s`], { depth: book.depth, count, step }) ? "\u2265 " : ""; });
  }
  sides[0][1].reverse();
  const most = Math.max(1, ...sides.flatMap(([, some]) => some.map((row) => row[1])));
  const deepest = Math.max(1, ...sides.flatMap(([, some]) => some.map((row) => row[3])));
  for (const [side, some] of sides) {
    for (const [price, value, orders, total, least] of some) {
      const row = element("tr", "", side);
      row.append(element("td", priceText(price, decimals)), barred(least + sizeText(value), value / most), barred(least + sizeText(total), total / deepest), element("td", orders ?? "-"));
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

// The largest levels of a book, as walls to be found.
export function largestLevels(book, usd, count) {
  const all = [["bid", book.bids], ["ask", book.asks]].flatMap(([side, levels]) => levels.map(([price, qty, orders]) => ({ side, price, orders, size: usd(price, qty) })));
  return all.sort((a, b) => b.size - a.size).slice(0, count).map((each) => ({ ...each, size_end: each.size, track: `level ${each.price}`, lives: [[book.book_ms, book.book_ms, each.price]], isLevel: true }));
}

const times = (value) => (value === null || value === undefined ? "?" : value < 1000 ? String(Math.round(value)) : sizeText(value));
const counted = (orders) => `${orders ?? "?"} order${orders === 1 ? "" : "s"}`;

export function showWalls(box, note, said, { decimals, onFind, book, usd }) {
  note.textContent = `${clock(said.from).slice(0, 5)} to ${clock(said.to).slice(0, 5)} UTC`;
  const rows = said.walls.slice(0, 12).map((wall) => row(
    wall.side, priceText(wall.price, decimals), `${sizeText(wall.size_end)}`,
    `${ordersOf(wall)}, since ${clock(wall.t_from)}, ${wall.standing_bps === null ? "" : `${wall.standing_bps.toFixed(1)} bps off, `}${times(wall.times_usual)} times usual${wall.moves ? `, moved ${wall.moves}x` : ""}`,
    () => onFind(wall),
  ));
  if (said.left_out) rows.push(element("div", `and ${said.left_out} more`, "quiet"));
  if (!rows.length) rows.push(element("div", `No wall by the rule: none has ${sizeText(said.threshold?.threshold)}, ${said.threshold?.times_usual ?? 20} times what is usual, for 10 s.`, "quiet"));
  if (!said.walls.length && book) {
    rows.push(element("div", "Largest levels of the newest book:", "quiet"));
    for (const each of largestLevels(book, usd, 5)) rows.push(row(each.side, priceText(each.price, decimals), sizeText(each.size), counted(each.orders), () => onFind(each)));
  }
  const ended = said.ended.filter((wall) => ENDS[wall.end]?.[0]).sort((a, b) => b.t_to - a.t_to).slice(0, 4);
  if (ended.length) rows.push(element("div", "Ended last:", "quiet"));
  for (const wall of ended) rows.push(row(wall.side, priceText(wall.price, decimals), sizeText(wall.size_end), `${ENDS[wall.end][0]} ${clock(wall.t_to)} ${endOf(wall)}`, () => onFind(wall)));
  box.replaceChildren(...rows);
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

export function showLegend(box, limits, of) {
  const items = [["var(--beyond)", "dotted: beyond the levels seen"], [EMPTY, "empty"]].map(([colour, text]) => mark(colour, text));
  const scale = element("div", limits ? `dark to bright: ${sizeText(limits.low)} to ${sizeText(limits.high)} ${of === "max" ? "in the largest level of a cell" : "a cell"}` : "", "quiet");
  for (const [state, colour] of Object.entries(STATE_COLOURS)) items.push(mark(colour, state));
  items.push(mark("#56B4E9", "best bid, buys"), mark("#FF7A2F", "best ask, sells"), mark("#ffffff", "wall"), mark("#c9d1da", "wall that ended"));
  const ends = Object.values(ENDS).filter(([sign]) => sign).map(([sign, words]) => `${sign} ${words}`).join(", ");
  box.replaceChildren(scale, ...items, element("div", `At the end of a wall: ${ends}.`, "quiet"), element("div", "Hatched: a hole, in the colour of its state. Nothing is known there.", "quiet"));
}

function mark(colour, text) {
  const made = element("span"), square = element("i");
  square.style.background = colour;
  made.append(square, text);
  return made;
}

// What a stranger asks first: the largest wall that stands, the last hole and why.
export function glanceAt(pane) {
  const { walls, book, status, usd, decimals, quote } = pane, wall = walls?.walls[0] ?? null, level = !wall && walls && book ? largestLevels(book, usd, 1)[0] : null;
  const hole = status?.last_hole ?? null, place = wall ?? level, mid = pane.chart.mid;
  const bps = wall?.standing_bps ?? (place && mid ? Math.abs(place.price / mid - 1) * 1e4 : null);
  const away = bps === null ? "" : `, ${bps.toFixed(1)} bps ${place.side === "bid" ? "below" : "above"} the price`;
  const since = wall?.t_from ?? (level ? pane.since.get(level.price) || null : null), nowMs = pane.wallsOf && walls ? walls.to : Math.max(walls?.to ?? 0, pane.newestMs ?? 0);
  const stood = since ? `, for ${span(nowMs - since)} (since ${clock(since)})` : "";
  return {
    wall: place && [`${place.side} ${priceText(place.price, decimals)}`, `${sizeText(place.size_end)} ${quote} in ${wall ? ordersOf(wall) : counted(level.orders)}${stood}${away}${wall ? `; ${times(wall.times_usual)} times what is usual at that distance` : ""}`],
    title: wall || !place ? `Largest standing wall${pane.wallsOf && walls ? `, at ${clock(walls.to).slice(0, 5)}` : ""}` : "No wall stands; the largest level",
    wallNote: wall ? "" : place ? "Too small, or too new, to be called a wall." : walls ? "No book to look at." : "reading ...", place,
    hole: hole && [`${clock(hole.from)}, for ${span(hole.to - hole.from)}`, `${hole.kind}${hole.cause ? ` (${hole.cause})` : ""}: ${why(hole.cause)}`],
    holeNote: hole ? "" : status ? "None in the last day." : "reading ...",
    side: place?.side,
  };
}

export function showGlance(box, said, { onFind, onHole }) {
  const form = JSON.stringify([said.title, said.side, said.wallNote, said.holeNote]);
  if (box.dataset.form !== form) { // else the button that is about to be clicked stays, and says what is new
    box.dataset.form = form;
    const item = (name, title, words, note, kind) => {
      const made = element(words ? "button" : "div", "", "glance");
      made.dataset.name = name;
      made.append(element("small", title));
      if (words) made.append(element("b", "", kind), element("span"));
      if (note) made.append(element("span", note, "quiet"));
      return made;
    };
    box.replaceChildren(item("wall", said.title, said.wall, said.wallNote, `${said.side} tag`), item("hole", "Last hole", said.hole, said.holeNote, "hole"));
  }
  for (const made of box.children) {
    const words = said[made.dataset.name];
    if (!words) continue;
    made.children[1].textContent = words[0];
    made.children[2].textContent = words[1];
    made.onclick = made.dataset.name === "wall" ? () => onFind(said.place) : onHole;
  }
}

// Of the newest line of context.
export function showMarket(box, note, context, { decimals, nowMs }) {
  note.textContent = context ? `${clock(context.t)} UTC` : "";
  if (!context) { box.replaceChildren(element("div", "No mark price, funding or open interest was recorded in the last minute.", "quiet")); return; }
  const { mark, index, funding, open_interest: interest } = context, left = funding ? Number(funding.time) - nowMs : 0;
  const rows = [
    ["Basis", mark && index && `${signed((mark.price / index.price - 1) * 1e4, 2)} bps`, mark && index && `${priceText(Number(mark.price), decimals)} over ${priceText(Number(index.price), decimals)}`],
    ["Funding", funding && `${signed(funding.rate * 100, 4)} %`, funding && (left > 0 ? `settles in ${span(left)}` : "")],
    ["Open interest", interest && (interest.usd ? `${sizeText(Number(interest.usd))} USD` : `${interest.contracts} contracts`), interest?.coin ? `${sizeText(Number(interest.coin))} coins` : ""],
  ].map(([name, value, detail]) => {
    const made = element("div", "", "fact");
    made.append(element("span", name), element("b", value || "not known"), element("small", detail || ""));
    return made;
  });
  box.replaceChildren(...rows);
}

export function showHelp(dialog) {
  if (dialog.open) { dialog.close(); return; }
  const table = element("table");
  for (const [keys, what] of KEYS) {
    const made = element("tr"), cell = element("td");
    for (const key of keys.split(" ")) cell.append(element("kbd", key), " ");
    made.append(cell, element("td", what));
    table.append(made);
  }
  dialog.replaceChildren(element("h2", "Keys; times are UTC, of the exchange"), table);
  dialog.showModal();
}

// How old the newest line is, what the recorder says of itself, the last loss of a feed, the last hole. `part` gives the
// element of a name.
export function showState(part, { status, isConnected, newestMs, nowMs }) {
  const old = newestMs === null ? null : nowMs - newestMs, put = (id, text, kind, title = "") => {
    const made = part(id);
    if (made.textContent !== text) made.textContent = text;
    made.className = `pill ${kind}`;
    made.title = title;
  };
  const isLive = old !== null && old < 10_000;
  put("age", !isConnected ? "no connection to the screen" : old === null ? "no line yet" : isLive ? `live, newest line ${(Math.max(0, old) / 1000).toFixed(1)} s old` : `newest line ${span(old)} old`, !isConnected ? "bad" : isLive ? "good" : "warn");
  const said = status?.recorder, isThere = Boolean(said) && said.state !== "no recorder";
  const reasons = said?.reasons?.join("\n") || "By meta/okx/health.json, which the recorder replaces every 5 s; l2vault status says more.";
  put("recorder", isThere ? `recorder ${said.state}` : said ? "no recorder" : "recorder: unknown", said?.state === "healthy" ? "good" : said?.state === "not healthy" ? "bad" : "warn", reasons);
  const lag = said?.lag_ms, feeds = said?.feeds ?? [], up = feeds.filter(([, state]) => state === "up").length, wanted = said?.feeds_wanted ?? 0;
  for (const id of ["lag", "feeds", "loss", "disk"]) part(id).hidden = !isThere;
  put("lag", typeof lag === "number" ? `lag ${lag.toFixed(lag < 10 ? 1 : 0)} ms` : "lag unknown", "", "From OKX's time to the recorder's receiving, median of the last minute, by this machine's clock.");
  put("feeds", `feeds ${up} of ${wanted}`, up >= wanted ? "" : up ? "warn" : "bad", feeds.map(([number, state, reason]) => `feed ${number}: ${state}${reason ? `, ${reason}` : ""}`).join("\n"));
  const loss = said?.last_loss;
  put("loss", loss ? `last loss ${clock(Date.parse(loss.at))}: ${loss.cause}, feed ${loss.feed}${loss.is_covered ? ", covered" : ""}` : "no loss in this run", loss && !loss.is_covered ? "warn" : "", loss ? `${why(loss.cause)}${loss.is_covered ? "; another feed held the book, so nothing is missing" : ""}` : "");
  const days = said?.disk_days_left;
  put("disk", typeof days === "number" ? `disk full in ${days < 10 ? days.toFixed(1) : days.toFixed(0)} days` : said?.disk_bounded_by ? "disk: bounded" : "disk: days unknown", typeof days === "number" && days < 2 ? "bad" : "", said?.unpushed_bytes ? `${sizeText(said.unpushed_bytes)}B wait for l2vault push, and nothing of them is deleted before.` : said?.disk_bounded_by ? `The setting ${said.disk_bounded_by} deletes or archives before the disk is full.` : "");
  const last = status?.last_hole, hole = part("hole");
  hole.hidden = !status;
  put("hole", last ? `last hole ${clock(last.from)}, ${span(last.to - last.from)}: ${last.kind}${last.cause ? ` (${last.cause})` : ""}` : "no hole in the last day", last && nowMs - last.to < 60_000 ? "bad" : "", last ? `${why(last.cause)}; a click goes there (h)` : "");
  hole.disabled = !last;
}

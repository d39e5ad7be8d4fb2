// The page: what is shown, asked for and kept in step. The address names instrument, moment and view.

import { Chart } from "./chart.js";
import { KEYS, listen } from "./hands.js";
import { element, showLadder, showLegend, showState, showWalls, showZones } from "./panels.js";
import { cells, follow, json, openSession } from "./server.js";
import { clock, price as priceText, size as sizeText, span as spanText } from "./text.js";
import { aroundMid, following, panned, priceAt, timeAt, zoomed } from "./view.js";

const $ = (id) => document.getElementById(id);
const HOUR = 3_600_000;
const GROUPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

const chart = new Chart($("chart"));
const state = {
  instruments: [], inst: null, isFollowing: true, isAround: false, isFitted: false, group: null, book: null, newestMs: null,
  status: null, isConnected: false, walls: null, zones: null, since: new Map(), sinceMs: null, offset: 0, asked: null,
  wallAt: -1, past: null, liveFrom: null, evidenceMs: null, recent: [], address: "",
};
let closeLive = () => {}, fetching = null, timers = {};

const now = () => Date.now() + state.offset;
const later = (name, ms, work) => { clearTimeout(timers[name]); timers[name] = setTimeout(work, ms); };
const contract = () => state.inst?.contract;
const decimals = () => contract()?.tick_decimals ?? 2;
const usd = (price, qty) => {
  const c = contract();
  return !c ? qty : c.is_inverse ? qty * c.value : qty * c.value * price;
};
const quote = () => contract()?.quote ?? "contracts";

function note(text) {
  $("note").hidden = !text;
  $("note").textContent = text ?? "";
}

function guarded(work) {
  return async (...words) => {
    try { await work(...words); } catch (error) { if (error.name !== "AbortError") note(error.message); }
  };
}

// ---- the view ------------------------------------------------------------------------------------------------

function show(view, { keepsFollowing = false } = {}) {
  if (!keepsFollowing) setFollowing(false);
  chart.view = state.isAround && chart.mid !== null ? aroundMid(view, chart.mid) : view;
  chart.ask();
  later("fetch", 180, fetchWindow);
  later("address", 300, writeAddress);
}

function setFollowing(is) {
  state.isFollowing = is;
  $("follow").setAttribute("aria-pressed", String(is));
  if (is) {
    state.past = null;
    toNewest();
  }
}

function toNewest() {
  if (chart.view && state.newestMs !== null) show(following(chart.view, state.newestMs), { keepsFollowing: true });
}

function setAround(is) {
  state.isAround = is;
  $("around").setAttribute("aria-pressed", String(is));
  if (is && chart.view) show(chart.view, { keepsFollowing: state.isFollowing });
}

function setSpan(ms) {
  const { view } = chart;
  if (!view) return;
  const end = state.isFollowing && state.newestMs !== null ? state.newestMs : view.t1 - (view.t1 - view.t0) * 0.08;
  state.isFitted = false;
  show(following({ ...view, t0: end - ms, t1: end }, end), { keepsFollowing: state.isFollowing });
}

function fit() {
  const bounds = chart.grid && chart.view ? chart.bounds(chart.view.t0, chart.view.t1) : null;
  if (!bounds) return;
  const room = (bounds.p1 - bounds.p0) * 0.03;
  chart.view = { ...chart.view, p0: bounds.p0 - room, p1: bounds.p1 + room };
  state.isFitted = true;
  chart.ask();
}

function goTo(t) {
  setFollowing(false);
  const half = (chart.view.t1 - chart.view.t0) / 2;
  show({ ...chart.view, t0: t - half, t1: t + half });
}

function goToHole() {
  const hole = state.status?.last_hole;
  if (hole) goTo((hole.from + hole.to) / 2);
}

function find(what) {
  const price = what.price ?? (what.price_from + what.price_to) / 2;
  if (what.isLevel) chart.walls = [...(state.walls?.walls ?? []), what];
  chart.found = what.track ?? null;
  const { view } = chart, height = view.p1 - view.p0;
  setAround(false);
  const isIn = price > view.p0 && price < view.p1;
  show(isIn ? view : { ...view, p0: price - height / 2, p1: price + height / 2 }, { keepsFollowing: state.isFollowing });
}

function nextWall() {
  const walls = state.walls?.walls ?? [];
  if (walls.length) find(walls[state.wallAt = (state.wallAt + 1) % walls.length]);
}

// ---- what is asked of the server -----------------------------------------------------------------------------

function wanted() {
  const { view, box } = chart, pad = (view.t1 - view.t0) * 0.2, tall = view.p1 - view.p0;
  const end = Math.min(view.t1 + pad, (state.evidenceMs ?? state.newestMs ?? view.t1) + 1);
  const from = Math.max(0, Math.floor(Math.min(view.t0 - pad, end - 1000)));
  const asked = { inst: state.inst.inst_id, from, to: Math.ceil(end), columns: Math.min(2400, Math.ceil(Math.max(400, box.w) * 2)) };
  if (state.isFitted) Object.assign(asked, { low: Math.max(0, view.p0 - tall * 0.5), high: view.p1 + tall * 0.5 });
  return asked;
}

function isEnough(asked) {
  const { grid, view } = chart, last = state.asked;
  if (!grid || !last || last.inst !== asked.inst || grid.unread_hours.length) return false;
  const holds = grid.start_ms <= Math.max(view.t0, state.inst.first_ms - 1) && Math.max(chart.endMs, last.to) >= Math.min(view.t1, asked.to) - grid.bin_ms * 3;
  const spans = (last.to - last.from) / (asked.to - asked.from);
  const tall = last.low === undefined ? 1 : (last.high - last.low) / ((asked.high ?? last.high) - (asked.low ?? last.low));
  const isInside = last.low === undefined ? !state.isFitted || (view.p1 - view.p0) > grid.rows * grid.price_step * 0.35 : view.p0 >= last.low && view.p1 <= last.high;
  return holds && spans < 2.2 && spans > 0.3 && tall < 3 && isInside;
}

const fetchWindow = guarded(async () => {
  if (!state.inst || !chart.view) return;
  const asked = wanted();
  if (isEnough(asked)) return;
  fetching?.abort();
  const mine = fetching = new AbortController();
  const grid = await cells(asked, mine.signal);
  if (mine.signal.aborted) return;
  state.asked = asked;
  note(null);
  chart.setGrid(grid);
  if (!state.isFitted) fit();
  for (const book of state.recent) if (book.book_ms >= (grid.read_to_ms ?? grid.to)) chart.addBook(book, usd);
  showLegend($("legend"), chart.limits);
  if (grid.unread_hours.length) later("fetch", 700, fetchWindow);
  later("trades", 50, fetchTrades);
});

const fetchTrades = guarded(async () => {
  const { view } = chart;
  const end = Math.min(view.t1, (state.newestMs ?? view.t1) + 1), from = Math.floor(view.t0);
  if (end - from > 6 * HOUR || end <= from) { chart.trades = []; chart.ask(); return; }
  const said = await json("/api/trades", { inst: state.inst.inst_id, from, to: Math.ceil(end) });
  chart.trades = said.trades.map(([t, price, qty, side]) => [t, price, usd(price, qty), side]);
  chart.ask();
});

const fetchStatus = guarded(async () => {
  const inst = state.inst;
  if (!inst) return;
  const said = await json("/api/status", { inst: inst.inst_id });
  if (inst !== state.inst) return;
  state.status = said;
  state.offset = said.now_ms - Date.now();
  state.newestMs = Math.max(state.newestMs ?? 0, said.newest_ms ?? 0);
  state.evidenceMs = said.evidence_ms;
  chart.addHoles(said.coverage);
  // From here on every line has come: a slot without one that is covered is a quiet one.
  if (state.liveFrom !== null) chart.standOn(Math.max(said.coverage.from, state.liveFrom), said.coverage.to);
  bridge();
});

// Lines between what was read and the first live one are asked for again.
function bridge() {
  const { grid } = chart, slack = 1.5 * (state.status?.coverage.cadence_ms ?? 2000) + (grid?.bin_ms ?? 0);
  if (!grid || state.liveFrom === null || grid.read_to_ms === null || grid.read_to_ms + slack >= state.liveFrom) return;
  if (state.asked && state.asked.to < grid.read_to_ms) return; // another time is looked at
  state.asked = null;
  later("fetch", 100, fetchWindow);
}

const fetchWalls = guarded(async () => {
  const inst = state.inst;
  const said = await json("/api/walls", { inst: inst.inst_id });
  if (inst !== state.inst) return;
  state.walls = said;
  chart.walls = said.walls;
  chart.ask();
  drawWalls();
  const zones = await json("/api/zones", { inst: inst.inst_id });
  if (inst !== state.inst) return;
  state.zones = zones;
  showZones($("zones"), $("zones-note"), zones, { decimals: decimals(), onFind: find });
});

function drawWalls() {
  if (state.walls) showWalls($("walls"), $("walls-note"), state.walls, { decimals: decimals(), onFind: find, book: state.book, usd });
}

const fetchLadder = guarded(async (t) => {
  const book = await json("/api/ladder", { inst: state.inst.inst_id, t });
  if (t === undefined) { if (!state.book || book.book_ms > state.book.book_ms) takeBook(book); return; }
  state.past = book;
  drawLadder();
});

function drawLadder() {
  const book = state.past ?? state.book;
  if (!book) return;
  const tick = contract()?.tick ?? 0.1, best = book.bids[0]?.[0] ?? 0;
  state.group ??= GROUPS.find((count) => tick * count >= 2e-5 * best) ?? 10;
  const step = tick * state.group;
  const count = Math.max(6, Math.min(40, Math.floor((($("ladder").parentElement.clientHeight || 400) / 17 - 3) / 2)));
  showLadder($("ladder"), book, { usd, step, decimals: decimals(), count, quote: quote() });
  const what = state.past ? `at ${clock(book.t)}: ${book.state}${book.cause ? ` (${book.cause})` : ""}, book ${spanText(book.age_ms)} old` : `newest, ${clock(book.book_ms)}`;
  $("ladder-when").textContent = `${what}; rows of ${priceText(step, decimals())}`;
}

// ---- live ----------------------------------------------------------------------------------------------------

function takeBook(book) {
  const before = state.book;
  state.book = book;
  state.newestMs = Math.max(state.newestMs ?? 0, book.book_ms);
  state.sinceMs ??= book.book_ms;
  const since = new Map();
  for (const side of [book.bids, book.asks]) for (const [price] of side) since.set(price, before ? state.since.get(price) ?? book.book_ms : 0);
  state.since = since;
  state.recent = [...state.recent.slice(-120), book];
  if (book.bids.length && book.asks.length) chart.mid = (book.bids[0][0] + book.asks[0][0]) / 2;
  $("last").textContent = chart.mid === null ? "" : priceText(chart.mid, decimals());
  if (chart.grid && !chart.addBook(book, usd) && state.isFollowing) { state.asked = null; later("fetch", 100, fetchWindow); }
  const cadence = state.status?.coverage.cadence_ms;
  if (before && cadence && Math.ceil(book.book_ms / cadence) - Math.ceil(before.book_ms / cadence) === 1) chart.standOn(before.book_ms, book.book_ms, 1);
  if (state.isFollowing) toNewest();
  else if (state.isAround) show(chart.view);
  if (!state.past) drawLadder();
  if (!state.walls?.walls.length) drawWalls();
  chart.ask();
  document.documentElement.dataset.newest = String(book.book_ms);
}

function takeMessage(said) {
  if (said.kind === "book") {
    if (state.liveFrom === null) { state.liveFrom = said.book_ms; later("bridge", 1500, bridge); }
    takeBook(said);
  }
  else if (said.kind === "trades") {
    chart.trades = [...chart.trades, ...said.trades.map(([t, price, qty, side]) => [t, price, usd(price, qty), side])].slice(-4000);
    chart.ask();
  } else if (said.kind === "skipped") { state.asked = null; state.liveFrom = null; later("fetch", 300, fetchWindow); } else note(said.error);
}

function connect() {
  closeLive();
  closeLive = follow(state.inst.inst_id, {
    onMessage: takeMessage,
    onState: (is) => {
      const isBack = is && !state.isConnected && state.asked;
      state.isConnected = is;
      state.liveFrom = null;
      if (isBack) { state.asked = null; note(null); later("fetch", 50, fetchWindow); fetchStatus(); fetchWalls(); fetchLadder(); }
      drawState();
    },
  });
}

function drawState() {
  showState({ age: $("age"), recorder: $("recorder"), hole: $("hole") }, { status: state.status, isConnected: state.isConnected, newestMs: state.newestMs, nowMs: now() });
}

// ---- under the cursor ----------------------------------------------------------------------------------------

function point(x, y) {
  chart.cursor = x === null ? null : { x, y };
  chart.ask();
  const { view, box } = chart;
  if (x === null || !view || x > box.w || y > box.h + 20) { $("tip").hidden = true; clearTimeout(timers.cell); return; }
  const t = timeAt(view, box, x), p = priceAt(view, box, y), lines = [`${clock(t, true)} UTC`], seen = chart.stateAt(t);
  if (seen.hole) lines.push(`${seen.state}${seen.cause ? `: ${seen.cause}` : ""}`, `hole from ${clock(seen.hole[0])} to ${clock(seen.hole[1])} (${spanText(seen.hole[1] - seen.hole[0])})`);
  const cell = y <= box.h ? chart.cellAt(t, p) : undefined;
  if (!seen.hole) {
    if (y > box.h) lines.push(seen.state);
    else if (!cell) lines.push("no book here");
    else if (Number.isNaN(cell.size)) lines.push("beyond the levels that could be seen");
    else lines.push(`${priceText(cell.low, decimals())} to ${priceText(cell.high, decimals())}: ${sizeText(cell.size)} ${quote()}${cell.ms > 2000 ? `, mean of ${spanText(cell.ms)}` : ""}`);
  }
  tell(lines, x, y);
  if (cell && !seen.hole && cell.size > 0) later("cell", 160, () => detail(cell, t, lines, x, y));
  else clearTimeout(timers.cell);
  if (!state.isFollowing) later("ladder", 250, () => fetchLadder(Math.round(t)));
}

const detail = guarded(async (cell, t, lines, x, y) => {
  const near = ([price]) => price >= cell.low - 1e-9 && price < cell.high - 1e-9;
  const isNewest = state.book && t >= state.book.book_ms;
  const tellLevels = (levels) => {
    const rows = levels.sort((a, b) => usd(b.price, b.qty) - usd(a.price, a.qty)).slice(0, 4).map((each) =>
      `${priceText(each.price, decimals())}: ${each.qty} contracts, ${sizeText(usd(each.price, each.qty))} ${quote()}, ${each.orders ?? "?"} order${each.orders === 1 ? "" : "s"}${each.words ?? ""}`);
    tell([...lines, ...rows], x, y);
  };
  if (isNewest) {
    tellLevels([...state.book.bids, ...state.book.asks].filter(near).map(([price, qty, orders]) => {
      const since = state.since.get(price);
      return { price, qty, orders, words: since ? `, since ${clock(since)}` : `, since before ${clock(state.sinceMs)}` };
    }));
    return;
  }
  const asked = { inst: state.inst.inst_id, t: Math.round(t) };
  const book = await json("/api/ladder", asked);
  if (chart.cursor?.x !== x || chart.cursor?.y !== y) return;
  tellLevels([...book.bids, ...book.asks].filter(near).map(([price, qty, orders]) => ({ price, qty, orders })));
  const said = await json("/api/cell", { ...asked, low: cell.low - 1e-9, high: cell.high - 1e-9 });
  if (chart.cursor?.x !== x || chart.cursor?.y !== y || !said.levels.length) return;
  tellLevels(said.levels.map((each) => ({ ...each, words: `, since ${each.is_since_before ? "before " : ""}${clock(each.since_ms)}` })));
});

function tell(lines, x, y) {
  const tip = $("tip"), { width, height } = chart;
  tip.textContent = lines.join("\n");
  tip.hidden = false;
  tip.style.left = `${Math.max(4, x + 16 + tip.offsetWidth > width ? x - tip.offsetWidth - 12 : x + 16)}px`;
  tip.style.top = `${Math.max(4, Math.min(y + 16, height - tip.offsetHeight - 8))}px`;
}

// ---- hands ---------------------------------------------------------------------------------------------------

function pan(dx, dy) {
  const { view, box } = chart;
  if (dy && state.isAround) setAround(false);
  if (dy) state.isFitted = true;
  show(panned(view, -dx / box.w * (view.t1 - view.t0), dy / box.h * (view.p1 - view.p0)), { keepsFollowing: state.isFollowing && !dx });
}

function zoom(x, y, timeFactor, priceFactor) {
  const { view, box } = chart;
  const t = state.isFollowing && state.newestMs !== null ? state.newestMs : timeAt(view, box, Math.min(x, box.w));
  const price = state.isAround && chart.mid !== null ? chart.mid : priceAt(view, box, y);
  if (priceFactor !== 1) state.isFitted = true;
  show(zoomed(view, { t, price, timeFactor, priceFactor }), { keepsFollowing: state.isFollowing });
}

function cursorBy(dx, dy) {
  const at = chart.cursor ?? { x: chart.box.w / 2, y: chart.box.h / 2 };
  point(Math.max(0, Math.min(chart.box.w, at.x + dx)), Math.max(0, Math.min(chart.box.h, at.y + dy)));
}

function setContrast(by) {
  chart.contrast = Math.max(-1, Math.min(5, chart.contrast + by));
  chart.recolour();
  showLegend($("legend"), chart.limits);
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  chart.ask();
}

function nextGroup() {
  state.group = GROUPS[(GROUPS.indexOf(state.group ?? 10) + 1) % GROUPS.length];
  drawLadder();
}

function nextInstrument(by) {
  const at = state.instruments.findIndex((each) => each.inst_id === state.inst.inst_id);
  choose(state.instruments[(at + by + state.instruments.length) % state.instruments.length].inst_id);
}

function savePicture() {
  chart.draw();
  chart.canvas.toBlob((blob) => {
    const link = element("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${state.inst.inst_id}_${clock(chart.view.t1, true).replace(/[ :]/g, "-")}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  });
}

function toggleHelp() {
  const dialog = $("keys");
  if (dialog.open) { dialog.close(); return; }
  const table = element("table");
  for (const [keys, what] of KEYS) {
    const row = element("tr"), cell = element("td");
    for (const key of keys.split(" ")) cell.append(element("kbd", key), " ");
    row.append(cell, element("td", what));
    table.append(row);
  }
  dialog.replaceChildren(element("h2", "Keys; times are UTC, of the exchange"), table);
  dialog.showModal();
}

// ---- the address ---------------------------------------------------------------------------------------------

function writeAddress() {
  const { view } = chart, words = new URLSearchParams({ inst: state.inst.inst_id });
  if (state.isFollowing) words.set("live", String(Math.round(view.t1 - view.t0)));
  else { words.set("from", new Date(view.t0).toISOString()); words.set("to", new Date(view.t1).toISOString()); }
  if (state.isFitted && !state.isFollowing) { words.set("low", view.p0.toFixed(decimals())); words.set("high", view.p1.toFixed(decimals())); }
  if (state.isAround) words.set("around", "mid");
  history.replaceState(null, "", `#${words}`);
  state.address = location.hash;
}

function viewOf(words) {
  const [from, to] = ["from", "to"].map((name) => Date.parse(words.get(name) ?? ""));
  const [low, high] = ["low", "high"].map((name) => parseFloat(words.get(name) ?? ""));
  const prices = low < high ? { p0: low, p1: high } : { p0: 0, p1: 1 };
  state.isFitted = low < high;
  if (from < to) { setFollowing(false); return { t0: from, t1: to, ...prices }; }
  const held = state.newestMs - state.inst.first_ms;
  const length = Number(words.get("live")) || Math.min(HOUR, Math.max(300_000, held * 1.15));
  state.isFollowing = true;
  $("follow").setAttribute("aria-pressed", "true");
  return following({ t0: 0, t1: Math.max(20_000, length), ...prices }, state.newestMs);
}

function choose(instId, words = new URLSearchParams()) {
  const found = state.instruments.find((each) => each.inst_id === instId) ?? state.instruments[0];
  Object.assign(state, { inst: found, book: null, past: null, newestMs: found.newest_ms, evidenceMs: found.newest_ms, status: null, walls: null, zones: null, since: new Map(), sinceMs: null, recent: [], asked: null, isConnected: false, liveFrom: null });
  Object.assign(chart, { grid: null, walls: [], trades: [], mid: null, found: null, decimals: decimals() });
  $("instrument").value = found.inst_id;
  document.title = `${found.inst_id} · l2vault`;
  state.group = null;
  chart.view = viewOf(words);
  if (words.get("around")) setAround(true);
  chart.ask();
  connect();
  fetchWindow();
  fetchStatus().then(drawState);
  fetchWalls();
  fetchLadder();
}

const start = guarded(async () => {
  const wish = matchMedia("(prefers-color-scheme: dark)");
  setTheme(wish.matches ? "dark" : "light");
  wish.addEventListener("change", () => setTheme(wish.matches ? "dark" : "light"));
  await openSession();
  await loadInstruments();
  setInterval(drawState, 1000);
  setInterval(() => { if (!document.hidden && state.isConnected) fetchStatus(); }, 5000);
  setInterval(() => { if (!document.hidden && state.isConnected) fetchWalls(); }, 15_000);
});

const loadInstruments = async () => {
  const said = await json("/api/instruments");
  state.instruments = said.instruments;
  if (!said.instruments.length) { note("The vault holds no books yet.\nThis page looks again by itself."); setTimeout(guarded(loadInstruments), 2000); return; }
  $("instrument").replaceChildren(...said.instruments.map((each) => { const option = element("option", each.inst_id); option.value = each.inst_id; return option; }));
  const words = new URLSearchParams(location.hash.slice(1));
  choose(words.get("inst"), words);
};

$("instrument").onchange = () => choose($("instrument").value);
$("follow").onclick = () => setFollowing(!state.isFollowing);
$("around").onclick = () => setAround(!state.isAround);
$("less").onclick = () => setContrast(-1);
$("more").onclick = () => setContrast(1);
$("theme").onclick = () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
$("help").onclick = toggleHelp;
$("hole").onclick = goToHole;
for (const button of document.querySelectorAll("[data-span]")) button.onclick = () => setSpan(Number(button.dataset.span));
window.addEventListener("hashchange", () => { if (location.hash !== state.address) { const words = new URLSearchParams(location.hash.slice(1)); choose(words.get("inst"), words); } });
new ResizeObserver(() => drawLadder()).observe($("ladder").parentElement);

listen($("chart"), {
  pan, zoom, point, cursorBy, nextInstrument, setSpan, nextWall, goToHole, toggleHelp, savePicture, nextGroup, setContrast,
  fit: () => { state.isFitted = true; fit(); show(chart.view, { keepsFollowing: state.isFollowing }); },
  follow: () => setFollowing(!state.isFollowing), around: () => setAround(!state.isAround), theme: () => $("theme").click(),
  box: () => chart.box,
});
window.screenOfL2vault = { chart, state }; // for tests, and for whoever looks with the browser's tools
start();

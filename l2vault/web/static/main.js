// The page: panes of charts, what stands beside the one in focus, keys, the address that names moment and view.

import { listen, listenToKeys } from "./hands.js";
import { LANE_CHOICES } from "./lanes.js";
import { Pane } from "./pane.js";
import { copyPicture, savePicture } from "./picture.js";
import { element, glanceAt, showGlance, showHelp, showLadder, showLegend, showMarket, showState, showWalls, showZones } from "./panels.js";
import { json, openSession } from "./server.js";
import { clock, price as priceText, span as spanText } from "./text.js";
import { aroundMid, following, panned, priceAt, timeAt, zoomed } from "./view.js";

const $ = (id) => document.getElementById(id);
const HOUR = 3_600_000;
const GROUPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
const MOST_PANES = 4;

const shared = { instruments: [], isFollowing: true, isAround: false, lanes: "all", contrast: 2, of: "mean", offset: 0 };
const panes = [];
let focused = null, address = "", timers = {};

const later = (name, ms, work) => { clearTimeout(timers[name]); timers[name] = setTimeout(work, ms); };
const newestOf = () => Math.max(...panes.map((pane) => pane.newestMs ?? 0));

function note(text) {
  $("note").hidden = !text;
  $("note").textContent = text ?? "";
}

// ---- panes ---------------------------------------------------------------------------------------------------

const host = { note, show, setAround, toNewest, focus, close: closePane, changed };

function addPane(inst, view, isFitted) {
  const pane = new Pane(shared, host);
  if (!panes.length) pane.canvas.id = "chart";
  panes.push(pane);
  $("panes").append(pane.root);
  listen(pane.canvas, handsOf(pane));
  pane.choose(inst, view, isFitted);
  focus(pane);
  arrange();
  return pane;
}

function newPane() {
  if (panes.length >= MOST_PANES) return;
  const shown = new Set(panes.map((pane) => pane.inst.inst_id)), { view } = focused.chart;
  const inst = shared.instruments.find((each) => !shown.has(each.inst_id)) ?? focused.inst;
  addPane(inst, { t0: view.t0, t1: view.t1, p0: 0, p1: 1 }, false);
  later("address", 300, writeAddress);
}

function closePane(pane) {
  if (panes.length < 2) return;
  panes.splice(panes.indexOf(pane), 1);
  pane.close();
  panes[0].canvas.id = "chart";
  if (focused === pane) focus(panes[0]);
  arrange();
  later("address", 300, writeAddress);
}

function arrange() {
  $("panes").className = `panes n${panes.length}`;
  $("pane-add").disabled = panes.length >= MOST_PANES;
}

function focus(pane) {
  if (focused === pane || !panes.includes(pane)) return;
  focused = pane;
  for (const each of panes) each.root.classList.toggle("focused", each === pane);
  $("instrument").value = pane.inst.inst_id;
  document.title = `${pane.inst.inst_id} · l2vault`;
  drawBeside();
}

function nextPane() {
  const pane = panes[(panes.indexOf(focused) + 1) % panes.length];
  focus(pane);
  pane.canvas.focus({ preventScroll: true });
}

function choose(instId) {
  const inst = shared.instruments.find((each) => each.inst_id === instId), { view } = focused.chart;
  focused.choose(inst, { t0: view.t0, t1: view.t1, p0: 0, p1: 1 }, false);
  $("instrument").value = inst.inst_id;
  document.title = `${inst.inst_id} · l2vault`;
  if (shared.isFollowing) toNewest();
  drawBeside();
  later("address", 300, writeAddress);
}

function nextInstrument(by) {
  const all = shared.instruments, at = all.findIndex((each) => each.inst_id === focused.inst.inst_id);
  choose(all[(at + by + all.length) % all.length].inst_id);
}

// ---- the view: times are those of all panes, prices each pane's own -------------------------------------------

function show(pane, view, { keepsFollowing = false } = {}) {
  if (!keepsFollowing) setFollowing(false);
  for (const each of panes) each.look(each === pane ? view : { ...each.chart.view, t0: view.t0, t1: view.t1 });
  later("address", 300, writeAddress);
}

function toNewest() {
  const newestMs = newestOf();
  for (const pane of panes) pane.toNewest(newestMs);
}

function setFollowing(is) {
  shared.isFollowing = is;
  $("follow").setAttribute("aria-pressed", String(is));
  if (!is) return;
  for (const pane of panes) pane.past = null;
  toNewest();
  later("address", 300, writeAddress);
}

function setAround(is) {
  shared.isAround = is;
  $("around").setAttribute("aria-pressed", String(is));
  if (is) for (const pane of panes) if (pane.chart.view) pane.look(pane.chart.view);
  if (is) later("address", 300, writeAddress);
}

function setSpan(ms) {
  const { view } = focused.chart;
  const end = shared.isFollowing ? newestOf() : view.t1 - (view.t1 - view.t0) * 0.08;
  for (const pane of panes) pane.isFitted = false;
  show(focused, following({ ...view, t0: end - ms, t1: end }, end), { keepsFollowing: shared.isFollowing });
}

function goTo(t) {
  const { view } = focused.chart, half = (view.t1 - view.t0) / 2;
  show(focused, { ...view, t0: t - half, t1: t + half });
}

function goToHole() {
  const hole = focused.status?.last_hole;
  if (hole) goTo((hole.from + hole.to) / 2);
}

// ---- beside the chart in focus -------------------------------------------------------------------------------

function changed(pane, what) {
  if (what === "book" && pane.book) document.documentElement.dataset.newest = String(pane.book.book_ms); // newestMs is what the status says, too
  if (pane !== focused) return;
  if (what === "limits") showLegend($("legend"), pane.chart.limits, shared.of);
  if (what === "book") { drawLadder(); if (!pane.walls?.walls.length) drawWalls(); drawGlance(); }
  if (what === "walls") { drawWalls(); drawGlance(); }
  if (what === "zones") drawZones();
  if (what === "status") { drawState(); drawGlance(); showMarket($("market"), $("market-note"), pane.status?.context, { decimals: pane.decimals, nowMs: now() }); }
  if (what === "state") drawState();
}

function drawBeside() {
  for (const what of ["limits", "walls", "zones", "status", "book"]) changed(focused, what);
}

const now = () => Date.now() + shared.offset;

function drawGlance() {
  const pane = focused;
  $("last").textContent = pane.chart.mid === null ? "" : priceText(pane.chart.mid, pane.decimals);
  showGlance($("glance"), glanceAt(pane), { onFind: (what) => pane.find(what), onHole: goToHole });
}

function drawWalls() {
  const pane = focused;
  if (pane.walls) showWalls($("walls"), $("walls-note"), pane.walls, { decimals: pane.decimals, onFind: (what) => pane.find(what), book: pane.book, usd: pane.usd });
  else $("walls").replaceChildren(element("div", "reading ...", "quiet"));
}

function drawZones() {
  const pane = focused;
  if (pane.zones) showZones($("zones"), $("zones-note"), pane.zones, { decimals: pane.decimals, onFind: (what) => pane.find(what) });
  else $("zones").replaceChildren(element("div", "reading ...", "quiet"));
}

function drawLadder() {
  const pane = focused, book = pane?.past ?? pane?.book;
  if (!book) return;
  const tick = pane.inst.contract?.tick ?? 0.1, best = book.bids[0]?.[0] ?? 0;
  pane.group ??= GROUPS.find((count) => tick * count >= 2e-5 * best) ?? 10;
  const step = tick * pane.group;
  const count = Math.max(5, Math.min(40, Math.floor((($("ladder").parentElement.clientHeight || 400) / 17 - 3) / 2)));
  showLadder($("ladder"), book, { usd: pane.usd, step, decimals: pane.decimals, count, quote: pane.quote });
  const what = pane.past ? `at ${clock(book.t)}: ${book.state}${book.cause ? ` (${book.cause})` : ""}, book ${spanText(book.age_ms)} old` : `newest, ${clock(book.book_ms)}`;
  $("ladder-when").textContent = `${what}; rows of ${priceText(step, pane.decimals)}`;
}

function drawState() {
  if (focused) showState((id) => $(id), { status: focused.status, isConnected: focused.isConnected, newestMs: focused.newestMs, nowMs: now() });
}

// ---- hands ---------------------------------------------------------------------------------------------------

function pan(pane, dx, dy) {
  const { view, box } = pane.chart;
  if (dy && shared.isAround) setAround(false);
  if (dy) pane.isFitted = true;
  show(pane, panned(view, -dx / box.w * (view.t1 - view.t0), dy / box.h * (view.p1 - view.p0)), { keepsFollowing: shared.isFollowing && !dx });
}

function zoom(pane, x, y, timeFactor, priceFactor) {
  const { view, box, mid } = pane.chart;
  const t = shared.isFollowing ? newestOf() : timeAt(view, box, Math.min(x, box.w));
  const price = shared.isAround && mid !== null ? mid : priceAt(view, box, y);
  if (priceFactor !== 1) pane.isFitted = true;
  show(pane, zoomed(view, { t, price, timeFactor, priceFactor }), { keepsFollowing: shared.isFollowing });
}

function point(pane, x, y) {
  const t = pane.hover.point(x, y);
  for (const each of panes) if (each !== pane && each.chart.otherTime !== t) { each.chart.otherTime = t; each.chart.ask(); }
  if (t !== null && !shared.isFollowing) pane.later("ladder", 250, () => pane.fetchLadder(Math.round(t)));
}

function cursorBy(pane, dx, dy) {
  const { box, timesTop, cursor } = pane.chart, at = cursor ?? { x: box.w / 2, y: box.h / 2 };
  point(pane, Math.max(0, Math.min(box.w, at.x + dx)), Math.max(0, Math.min(timesTop, at.y + dy)));
}

function setContrast(by) {
  shared.contrast = Math.max(-1, Math.min(5, shared.contrast + by));
  for (const { chart } of panes) { chart.contrast = shared.contrast; chart.recolour(); }
  showLegend($("legend"), focused.chart.limits, shared.of);
  later("address", 300, writeAddress);
}

function setOf(of) {
  shared.of = of;
  $("of").textContent = of === "max" ? "largest" : "mean";
}

function otherCells() {
  setOf(shared.of === "max" ? "mean" : "max");
  for (const pane of panes) pane.fetchWindow();
  later("address", 300, writeAddress);
}

function setTheme(name, isKept = false) {
  document.documentElement.dataset.theme = name;
  if (isKept) try { localStorage.setItem("l2vault theme", name); } catch { /* not allowed here */ }
  for (const { chart } of panes) chart.ask();
}

const otherTheme = () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark", true);

function nextLanes() {
  shared.lanes = LANE_CHOICES[(LANE_CHOICES.indexOf(shared.lanes) + 1) % LANE_CHOICES.length];
  for (const pane of panes) { pane.chart.laneChoice = shared.lanes; pane.chart.resize(); if (!pane.chart.beside) pane.fetchBeside(); }
  later("address", 300, writeAddress);
}

function nextGroup() {
  focused.group = GROUPS[(GROUPS.indexOf(focused.group ?? 10) + 1) % GROUPS.length];
  drawLadder();
}

function fit(pane) {
  pane.isFitted = true;
  pane.fit();
  show(pane, pane.chart.view, { keepsFollowing: shared.isFollowing });
}

async function copy() {
  try { await copyPicture(panes); flash("The picture is in the clipboard."); } catch (error) {
    savePicture(panes);
    flash(`The browser does not let it into the clipboard (${error.message}): saved as a file instead.`);
  }
}

function flash(text) {
  $("flash").textContent = text;
  later("flash", 4000, () => { $("flash").textContent = ""; });
}

const handsOf = (pane) => ({
  pan: (dx, dy) => pan(pane, dx, dy), zoom: (...words) => zoom(pane, ...words), point: (x, y) => point(pane, x, y), fit: () => fit(pane),
  click: (x, y) => pane.click(x, y), box: () => pane.chart.box,
});

listenToKeys({
  pan: (dx, dy) => pan(focused, dx, dy), zoom: (...words) => zoom(focused, ...words), cursorBy: (dx, dy) => cursorBy(focused, dx, dy), box: () => focused?.chart.view && focused.chart.box,
  fit: () => fit(focused), follow: () => setFollowing(!shared.isFollowing), around: () => setAround(!shared.isAround), theme: otherTheme, nextInstrument, setSpan,
  nextWall: () => focused.nextWall(), goToHole, toggleHelp: () => showHelp($("keys")), savePicture: () => savePicture(panes), copy, nextGroup, setContrast, nextLanes,
  newPane, closePane: () => closePane(focused), nextPane, otherCells,
});

// ---- the address ---------------------------------------------------------------------------------------------

const nth = (name, i) => (i ? `${name}${i + 1}` : name);

function writeAddress() {
  if (!focused) return;
  const { view } = focused.chart, words = new URLSearchParams();
  for (const pane of panes) words.append("inst", pane.inst.inst_id);
  if (shared.isFollowing) words.set("live", String(Math.round(view.t1 - view.t0)));
  else { words.set("from", new Date(view.t0).toISOString()); words.set("to", new Date(view.t1).toISOString()); }
  panes.forEach((pane, i) => {
    if (!pane.isFitted || shared.isFollowing) return;
    words.set(nth("low", i), pane.chart.view.p0.toFixed(pane.decimals));
    words.set(nth("high", i), pane.chart.view.p1.toFixed(pane.decimals));
  });
  if (shared.isAround) words.set("around", "mid");
  if (shared.lanes !== "all") words.set("lanes", shared.lanes);
  if (shared.contrast !== 2) words.set("contrast", String(shared.contrast));
  if (shared.of !== "mean") words.set("of", shared.of);
  history.replaceState(null, "", `#${words}`);
  address = location.hash;
}

function timesOf(words, inst) {
  const [from, to] = ["from", "to"].map((name) => Date.parse(words.get(name) ?? ""));
  if (from < to) return { t0: from, t1: to };
  const held = inst.newest_ms - inst.first_ms;
  const length = Number(words.get("live")) || Math.min(HOUR, Math.max(120_000, held * 1.15));
  return following({ t0: 0, t1: Math.max(20_000, length) }, inst.newest_ms);
}

function readAddress() {
  const words = new URLSearchParams(location.hash.slice(1)), known = new Map(shared.instruments.map((each) => [each.inst_id, each]));
  const asked = words.getAll("inst").map((name) => known.get(name)).filter(Boolean).slice(0, MOST_PANES);
  const insts = asked.length ? asked : [shared.instruments[0]], times = timesOf(words, insts[0]);
  while (panes.length > insts.length) closePane(panes.at(-1));
  shared.lanes = LANE_CHOICES.includes(words.get("lanes")) ? words.get("lanes") : "all";
  shared.contrast = Math.max(-1, Math.min(5, Math.round(Number(words.get("contrast") ?? 2)) || 0));
  setOf(words.get("of") === "max" ? "max" : "mean");
  shared.isAround = words.get("around") === "mid";
  $("around").setAttribute("aria-pressed", String(shared.isAround));
  shared.isFollowing = !(Date.parse(words.get("from")) < Date.parse(words.get("to")));
  $("follow").setAttribute("aria-pressed", String(shared.isFollowing));
  insts.forEach((inst, i) => {
    const [low, high] = ["low", "high"].map((name) => parseFloat(words.get(nth(name, i)) ?? "")), isFitted = low < high;
    const view = { ...times, ...(isFitted ? { p0: low, p1: high } : { p0: 0, p1: 1 }) };
    if (panes[i]) panes[i].choose(inst, view, isFitted); else addPane(inst, view, isFitted);
  });
  focus(panes[0]);
  $("instrument").value = focused.inst.inst_id;
  address = location.hash;
  drawBeside();
}

// ---- start ---------------------------------------------------------------------------------------------------

function kept() {
  try { return localStorage.getItem("l2vault theme"); } catch { return null; }
}

const guarded = (work) => async () => { try { await work(); } catch (error) { note(error.message); } };

const start = guarded(async () => {
  const wish = matchMedia("(prefers-color-scheme: dark)");
  setTheme(kept() ?? (wish.matches ? "dark" : "light"));
  wish.addEventListener("change", () => { if (!kept()) setTheme(wish.matches ? "dark" : "light"); });
  await openSession();
  await loadInstruments();
  const regularly = (ms, work) => setInterval(() => { if (!document.hidden) for (const pane of panes) if (pane.isConnected) work(pane); }, ms);
  setInterval(drawState, 1000);
  regularly(5000, (pane) => pane.fetchStatus());
  regularly(15_000, (pane) => { if (pane.wallsTime() === null) pane.fetchWalls(); });
});

const loadInstruments = async () => {
  const said = await json("/api/instruments");
  shared.instruments = said.instruments;
  if (!said.instruments.length) { note("The vault holds no books yet.\nThis page looks again by itself."); setTimeout(guarded(loadInstruments), 2000); return; }
  note(null);
  $("instrument").replaceChildren(...said.instruments.map((each) => { const option = element("option", each.inst_id); option.value = each.inst_id; return option; }));
  readAddress();
};

$("instrument").onchange = () => choose($("instrument").value);
$("follow").onclick = () => setFollowing(!shared.isFollowing);
$("around").onclick = () => setAround(!shared.isAround);
$("less").onclick = () => setContrast(-1);
$("more").onclick = () => setContrast(1);
$("of").onclick = otherCells;
$("lanes").onclick = nextLanes;
$("theme").onclick = otherTheme;
$("pane-add").onclick = newPane;
$("save").onclick = () => savePicture(panes);
$("copy").onclick = copy;
$("help").onclick = () => showHelp($("keys"));
$("hole").onclick = goToHole;
for (const button of document.querySelectorAll("[data-span]")) button.onclick = () => setSpan(Number(button.dataset.span));
window.addEventListener("hashchange", () => { if (location.hash !== address && shared.instruments.length) readAddress(); });
new ResizeObserver(() => drawLadder()).observe($("ladder").parentElement);
// For tests, and for whoever looks with the browser's tools.
window.screenOfL2vault = { panes, shared, get pane() { return focused; }, get chart() { return focused?.chart; }, get state() { return { ...shared, ...focused }; } };
start();

// One chart with one instrument: what it asks of the server and keeps in step with the lines that come. Several panes share
// `shared` (instruments, following, around mid, the clock) and call `host` when something changed that others show.

import { Chart } from "./chart.js";
import { Hover } from "./hover.js";
import { Beside } from "./lanes.js";
import { wallAt } from "./marks.js";
import { element, largestLevels } from "./panels.js";
import { cells, follow, json } from "./server.js";
import { price as priceText } from "./text.js";
import { aroundMid, following } from "./view.js";

const HOUR = 3_600_000;
const EDGE_SHARE = 0.1;
const MOST_RECENT = 121; // live lines that are kept for the next window: four minutes at the usual cadence
const LANES_AGAIN_MS = 15_000;
const BRIDGED_MS = 240_000;
const PAST_MS = 90_000; // a view that ends so long before the newest line asks for the walls of its own time

export class Pane {
  constructor(shared, host) {
    this.shared = shared;
    this.host = host;
    this.timers = {};
    this.root = element("section", "", "pane");
    const bar = element("div", "", "bar"), stage = element("div", "", "stage"), tip = element("div", "", "tip"), close = element("button", "\u00d7");
    Object.assign(close, { title: "close this pane (P)", ariaLabel: "close this pane", onclick: () => host.close(this) });
    [this.title, this.last, this.canvas] = [element("b"), element("span"), element("canvas", "", "chart")];
    Object.assign(this.canvas, { tabIndex: 0, ariaLabel: "liquidity over time and price; keys: ?" });
    tip.hidden = true;
    bar.append(this.title, this.last, close);
    stage.append(this.canvas, tip);
    this.root.append(bar, stage);
    this.root.addEventListener("pointerdown", () => host.focus(this), { capture: true });
    this.root.addEventListener("focusin", () => host.focus(this));
    this.chart = new Chart(this.canvas);
    this.hover = new Hover(this, tip);
    this.fetchWindow = this.guarded(() => this.loadWindow());
    this.fetchWalls = this.guarded(() => this.loadWalls());
    this.fetchBeside = this.guarded(() => this.loadBeside());
    this.fetchStatus = this.guarded(() => this.loadStatus());
    this.fetchBridge = this.guarded(() => this.bridge());
    this.fetchLadder = this.guarded((t) => this.loadLadder(t));
    this.usd = (price, qty) => {
      const c = this.inst?.contract;
      return !c ? qty : c.is_inverse ? qty * c.value : qty * c.value * price;
    };
    this.closeLive = () => {};
  }

  get decimals() { return this.inst?.contract?.tick_decimals ?? 2; }
  get quote() { return this.inst?.contract?.quote ?? "contracts"; }

  later(name, ms, work) { clearTimeout(this.timers[name]); this.timers[name] = setTimeout(work, ms); }

  guarded(work) {
    return async (...words) => {
      const { inst } = this;
      try { await work(...words); } catch (error) { if (error.name !== "AbortError" && inst === this.inst) this.host.note(error.message); }
    };
  }

  still() {
    this.closeLive();
    this.fetching?.abort();
    for (const timer of Object.values(this.timers)) clearTimeout(timer);
    this.hover.hide();
  }

  close() {
    this.still();
    this.inst = null;
    this.root.remove();
  }

  choose(inst, view, isFitted) {
    this.still();
    Object.assign(this, {
      inst, isFitted, group: null, book: null, past: null, newestMs: inst.newest_ms, evidenceMs: inst.newest_ms, status: null, walls: null, zones: null, since: new Map(),
      sinceMs: null, recent: [], recentTrades: [], asked: null, isConnected: false, liveFrom: null, wallAt: -1, wallsOf: undefined, contexts: [],
    });
    Object.assign(this.chart, {
      grid: null, walls: [], ended: [], zones: [], newestMs: inst.newest_ms, largest: null, trades: [], beside: null, mid: null, found: null, decimals: this.decimals, firstMs: inst.first_ms, view,
      contrast: this.shared.contrast, laneChoice: this.shared.lanes,
    });
    this.title.textContent = inst.inst_id;
    this.chart.resize();
    this.connect();
    this.fetchWindow();
    this.fetchStatus();
    this.fetchWalls();
    this.fetchLadder();
  }

  // ---- the view ----------------------------------------------------------------------------------------------

  look(view) {
    const { chart } = this;
    chart.view = this.shared.isAround && chart.mid !== null ? aroundMid(view, chart.mid) : view;
    chart.ask();
    this.later("fetch", 180, this.fetchWindow);
    if (this.wallsOf !== this.wallsTime()) this.later("walls", 700, this.fetchWalls);
  }

  fit() {
    const { chart } = this, bounds = chart.grid && chart.view ? chart.bounds(chart.view.t0, chart.view.t1) : null;
    if (!bounds) return;
    const room = (bounds.p1 - bounds.p0) * 0.03;
    chart.view = { ...chart.view, p0: bounds.p0 - room, p1: bounds.p1 + room };
    this.isFitted = true;
    chart.ask();
  }

  // Null: those that stand now; a time: those of a view that lies in the past.
  wallsTime() {
    const { view } = this.chart;
    if (this.shared.isFollowing || !view || view.t1 > this.newestMs - PAST_MS) return null;
    return Math.max(this.inst.first_ms + 1, Math.ceil(view.t1 / 60_000) * 60_000);
  }

  find(what) {
    const { chart } = this, price = what.price ?? (what.price_from + what.price_to) / 2;
    if (what.isLevel) chart.walls = [...(this.walls?.walls ?? []), what];
    chart.found = what.track ?? null;
    const { view } = chart, height = view.p1 - view.p0, isIn = price > view.p0 && price < view.p1;
    this.host.setAround(false);
    this.host.show(this, isIn ? view : { ...view, p0: price - height / 2, p1: price + height / 2 }, { keepsFollowing: this.shared.isFollowing });
  }

  nextWall() {
    const walls = this.walls?.walls ?? [];
    if (walls.length) this.find(walls[this.wallAt = (this.wallAt + 1) % walls.length]);
  }

  click(x, y) {
    const wall = wallAt(this.chart, x, y);
    this.chart.found = wall?.track ?? null;
    this.chart.ask();
  }

  // ---- what is asked of the server ---------------------------------------------------------------------------

  wanted() {
    const { view, box } = this.chart, pad = (view.t1 - view.t0) * 0.2, tall = view.p1 - view.p0;
    const end = Math.min(view.t1 + pad, (Math.max(this.evidenceMs ?? 0, this.newestMs ?? 0) || view.t1) + 1);
    const from = Math.max(0, Math.floor(Math.min(view.t0 - pad, end - 1000)));
    const asked = { inst: this.inst.inst_id, from, to: Math.ceil(end), columns: Math.min(2400, Math.ceil(Math.max(400, box.w) * 2)), of: this.shared.of };
    if (this.isFitted) Object.assign(asked, { low: Math.max(0, view.p0 - tall * 0.5), high: view.p1 + tall * 0.5 });
    return asked;
  }

  isEnough(asked) {
    const { grid, view, endMs } = this.chart, last = this.asked;
    if (!grid || !last || last.inst !== asked.inst || last.of !== asked.of || grid.unread_hours.length) return false;
    const holds = grid.start_ms <= Math.max(view.t0, this.inst.first_ms - 1) && Math.max(endMs, last.to) >= Math.min(view.t1, asked.to) - grid.bin_ms * 3;
    const spans = (last.to - last.from) / (asked.to - asked.from);
    const tall = last.low === undefined ? 1 : (last.high - last.low) / ((asked.high ?? last.high) - (asked.low ?? last.low));
    const isInside = last.low === undefined ? !this.isFitted || (view.p1 - view.p0) > grid.rows * grid.price_step * 0.35 : view.p0 >= last.low && view.p1 <= last.high;
    return holds && spans < 2.2 && spans > 0.3 && tall < 3 && isInside;
  }

  async loadWindow() {
    const { chart } = this;
    if (!this.inst || !chart.view) return;
    const asked = this.wanted();
    if (this.isEnough(asked)) return;
    this.fetching?.abort();
    const mine = this.fetching = new AbortController();
    const grid = await cells(asked, mine.signal);
    if (mine.signal.aborted) return;
    this.asked = asked;
    this.host.note(null);
    chart.setGrid(grid);
    if (!this.isFitted) {
      this.fit();
      this.isFitted &&= !grid.unread_hours.length; // of some hours only: once more when all are read
    }
    for (const book of this.recent) if (book.book_ms >= (grid.read_to_ms ?? grid.to)) chart.addBook(book, this.usd);
    this.fetchBridge();
    this.host.changed(this, "limits");
    if (grid.unread_hours.length) this.later("fetch", 700, this.fetchWindow);
    this.later("trades", 50, this.guarded(() => this.loadTrades()));
    this.later("beside", 60, this.fetchBeside);
  }

  async loadTrades() {
    const { chart, inst } = this, { view } = chart;
    const end = Math.min(view.t1, (this.newestMs ?? view.t1) + 1), from = Math.floor(view.t0);
    if (end - from > 6 * HOUR || end <= from) { chart.trades = []; chart.ask(); return; }
    const said = await json("/api/trades", { inst: inst.inst_id, from, to: Math.ceil(end) });
    if (inst !== this.inst) return;
    chart.trades = this.valued(said.trades);
    chart.ask();
  }

  valued(trades) { return trades.map(([t, price, qty, side]) => [t, price, this.usd(price, qty), side]); }

  async loadBeside() {
    const { inst, asked, chart } = this;
    if (!asked || !chart.lanes.length) return;
    const said = await json("/api/beside", { inst: inst.inst_id, from: asked.from, to: asked.to, columns: asked.columns });
    if (inst !== this.inst || asked !== this.asked) return;
    chart.beside = new Beside(said);
    // What came alive since is added to what was read, if that reaches so far.
    if (asked.to >= (this.evidenceMs ?? 0)) {
      chart.beside.addTrades(this.recentTrades, false);
      for (const context of this.contexts) chart.beside.addContext(context);
    }
    chart.ask();
    if (said.unread_hours.length) this.later("beside", 700, this.fetchBeside);
  }

  async loadStatus() {
    const { inst, shared, chart } = this;
    if (!inst) return;
    const askedMs = Date.now(), said = await json("/api/status", { inst: inst.inst_id });
    if (inst !== this.inst) return;
    this.status = said;
    shared.offset = said.now_ms - (askedMs + Date.now()) / 2; // it was said between these two
    this.newestMs = Math.max(this.newestMs ?? 0, said.newest_ms ?? 0);
    this.evidenceMs = said.evidence_ms;
    chart.addHoles(said.coverage);
    if (said.context) {
      this.contexts = [...this.contexts.slice(-120), said.context];
      chart.beside?.addContext(said.context);
    }
    // From here on every line has come: a slot without one that is covered is a quiet one.
    if (this.liveFrom !== null) chart.standOn(Math.max(said.coverage.from, this.liveFrom), said.coverage.to);
    this.fetchBridge();
    this.host.changed(this, "status");
  }

  // Lines between what the window holds and the first live one: its hour was read some seconds before they began to come.
  async bridge() {
    const { chart, inst, liveFrom } = this, { grid } = chart;
    if (this.isBridging || !this.isApart()) return;
    if (this.wanted().to <= liveFrom) return; // another time is looked at
    if (liveFrom - grid.read_to_ms > BRIDGED_MS) { this.asked = null; this.later("fetch", 5000, this.fetchWindow); return; }
    this.isBridging = true;
    const between = [];
    try {
      for (let from = grid.read_to_ms; from !== null;) {
        const said = await json("/api/books", { format: "json", inst: inst.inst_id, from, to: liveFrom, levels: 400, limit: 100 });
        between.push(...said.books);
        from = said.next_ms;
      }
    } finally { this.isBridging = false; }
    if (inst !== this.inst || liveFrom !== this.liveFrom) return;
    this.recent = [...between, ...this.recent]; // for the next window too
    this.liveFrom = grid.read_to_ms;
    if (grid === chart.grid) {
      for (const book of between) chart.addBook(book, this.usd);
      grid.read_to_ms = Math.max(grid.read_to_ms, this.recent.at(-1).book_ms);
    }
    this.fetchBridge(); // the window may be another one by now
  }

  async loadWalls() {
    const { inst, chart } = this, t = this.wallsTime();
    this.wallsOf = t;
    const said = await json("/api/walls", { inst: inst.inst_id, t });
    if (inst !== this.inst || t !== this.wallsOf) return;
    this.walls = said;
    Object.assign(chart, { walls: said.walls, ended: said.ended });
    chart.ask();
    this.host.changed(this, "walls");
    const zones = await json("/api/zones", { inst: inst.inst_id, t });
    if (inst !== this.inst || t !== this.wallsOf) return;
    this.zones = zones;
    chart.zones = zones.zones;
    chart.ask();
    this.host.changed(this, "zones");
  }

  async loadLadder(t) {
    const { inst } = this, book = await json("/api/ladder", { inst: inst.inst_id, t });
    if (inst !== this.inst) return;
    if (t === undefined) { if (!this.book || book.book_ms > this.book.book_ms) this.takeBook(book); return; }
    this.past = book;
    this.host.changed(this, "book");
  }

  // ---- live --------------------------------------------------------------------------------------------------

  connect() {
    this.closeLive = follow(this.inst.inst_id, {
      onMessage: (said) => this.take(said),
      onState: (is) => {
        const isBack = is && !this.isConnected && this.asked;
        this.isConnected = is;
        this.begin();
        if (isBack) { this.asked = null; this.host.note(null); this.later("fetch", 50, this.fetchWindow); this.fetchStatus(); this.fetchWalls(); this.fetchLadder(); }
        this.host.changed(this, "state");
      },
    });
  }

  take(said) {
    const { chart } = this;
    if (said.kind === "book") {
      this.keep(said);
      this.takeBook(said);
      if (this.isApart()) this.fetchBridge();
      else if (chart.grid && chart.grid.read_to_ms !== null) chart.grid.read_to_ms = Math.max(chart.grid.read_to_ms, said.book_ms);
    } else if (said.kind === "trades") {
      const trades = this.valued(said.trades);
      chart.trades = [...chart.trades, ...trades].slice(-4000);
      this.recentTrades = [...this.recentTrades, ...trades].slice(-4000);
      chart.beside?.addTrades(trades, true);
      chart.ask();
    } else if (said.kind === "skipped") { this.asked = null; this.begin(); this.later("fetch", 300, this.fetchWindow); } else this.host.note(said.error);
  }

  // `recent` are all lines from `liveFrom` on; lines may have been missed before the next one.
  begin() { Object.assign(this, { recent: [], liveFrom: null }); }

  keep(book) {
    if (this.liveFrom === null) {
      this.liveFrom = book.book_ms;
      this.later("lanes", LANES_AGAIN_MS, this.fetchBeside); // what was traded before the first live line
    }
    this.recent.push(book);
    if (!this.isBridging && this.recent.length > MOST_RECENT) {
      this.recent = this.recent.slice(-MOST_RECENT);
      this.liveFrom = this.recent[0].book_ms;
    }
  }

  // Whether columns lie between what the window holds and the lines that came since.
  isApart() {
    const { chart, liveFrom } = this, { grid } = chart;
    return grid !== null && liveFrom !== null && grid.read_to_ms !== null && chart.columnAt(grid.read_to_ms) < chart.columnAt(liveFrom);
  }

  takeBook(book) {
    const { chart } = this, before = this.book;
    this.book = book;
    this.newestMs = chart.newestMs = Math.max(this.newestMs ?? 0, book.book_ms);
    this.sinceMs ??= book.book_ms;
    const since = new Map();
    for (const side of [book.bids, book.asks]) for (const [price] of side) since.set(price, before ? this.since.get(price) ?? book.book_ms : 0);
    this.since = since;
    const wasIn = chart.view && chart.mid > chart.view.p0 && chart.mid < chart.view.p1;
    if (book.bids.length && book.asks.length) chart.mid = (book.bids[0][0] + book.asks[0][0]) / 2;
    [chart.largest = null] = largestLevels(book, this.usd, 1);
    if (this.shared.isFollowing && wasIn) this.keepInSight();
    this.last.textContent = chart.mid === null ? "" : priceText(chart.mid, this.decimals);
    if (chart.grid && !chart.addBook(book, this.usd) && this.shared.isFollowing) { this.asked = null; this.later("fetch", 100, this.fetchWindow); }
    const cadence = this.status?.coverage.cadence_ms;
    if (before && cadence && Math.ceil(book.book_ms / cadence) - Math.ceil(before.book_ms / cadence) === 1) chart.standOn(before.book_ms, book.book_ms, 1);
    if (this.shared.isFollowing) this.host.toNewest();
    else if (this.shared.isAround) this.host.show(this, chart.view);
    chart.ask();
    this.host.changed(this, "book");
  }

  // Prices move on when the mid that was in sight comes near an edge.
  keepInSight() {
    const { view, mid } = this.chart, room = (view.p1 - view.p0) * EDGE_SHARE;
    const by = mid > view.p1 - room ? mid - (view.p1 - room) : mid < view.p0 + room ? mid - (view.p0 + room) : 0;
    if (by) this.chart.view = { ...view, p0: view.p0 + by, p1: view.p1 + by };
  }

  toNewest(newestMs) { if (this.chart.view) this.look(following(this.chart.view, newestMs)); }
}

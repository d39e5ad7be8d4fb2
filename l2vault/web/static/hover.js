// What is told under the cursor of a pane: time, price, what stands in the cell, a wall, a hole.

import { wallAt } from "./marks.js";
import { json } from "./server.js";
import { clock, endOf, ordersOf, price as priceText, size as sizeText, span as spanText, why } from "./text.js";
import { priceAt, timeAt } from "./view.js";

const WAIT_MS = 160;

export class Hover {
  constructor(pane, tip) {
    this.pane = pane;
    this.tip = tip;
    this.timer = 0;
  }

  hide() {
    this.tip.hidden = true;
    clearTimeout(this.timer);
  }

  // The time under the cursor, or null where it is beyond the chart.
  point(x, y) {
    const { chart } = this.pane, { view, box } = chart;
    chart.cursor = x === null ? null : { x, y };
    chart.ask();
    if (x === null || !view || x > box.w || y > chart.timesTop) { this.hide(); return null; }
    const t = timeAt(view, box, x), cell = y <= box.h ? chart.cellAt(t, priceAt(view, box, y)) : undefined, { hole } = chart.stateAt(t);
    const lines = this.lines(t, cell, x, y);
    this.tell(lines, x, y);
    clearTimeout(this.timer);
    if (cell && !hole && cell.size > 0) this.timer = setTimeout(this.pane.guarded(() => this.detail(cell, t, lines, x, y)), WAIT_MS);
    return t;
  }

  lines(t, cell, x, y) {
    const { chart, decimals, quote } = this.pane, seen = chart.stateAt(t), lines = [`${clock(t, true)} UTC`];
    if (chart.firstMs !== null && t < chart.firstMs) return [...lines, "before the first line of the vault"];
    if (seen.hole) {
      lines.push(`${seen.state}${seen.cause ? `: ${seen.cause}` : ""}`, why(seen.cause));
      return [...lines, `hole from ${clock(seen.hole[0])} to ${clock(seen.hole[1])} (${spanText(seen.hole[1] - seen.hole[0])})`];
    }
    if (y > chart.box.h) return [...lines, seen.state];
    if (!cell) lines.push("no book here");
    else if (Number.isNaN(cell.size)) lines.push("beyond the levels that could be seen");
    else lines.push(`${priceText(cell.low, decimals)} to ${priceText(cell.high, decimals)}: ${chart.grid.of === "max" ? "largest level " : ""}${sizeText(cell.size)} ${quote}${chart.grid.of === "max" ? (cell.ms > 2000 ? ` within ${spanText(cell.ms)}` : "") : cell.ms > 2000 ? `, mean of ${spanText(cell.ms)}` : ""}`);
    const wall = wallAt(chart, x, y);
    if (wall && !wall.isLevel) {
      const [from, to] = [wall.lives[0][0], wall.lives.at(-1)[1]];
      lines.push(`wall: ${wall.side} ${priceText(wall.price, decimals)}, ${sizeText(wall.size_end)} ${quote} in ${ordersOf(wall)},`);
      lines.push(`from ${clock(from)}${wall.end === "standing" ? "" : ` to ${clock(to)}`}: ${endOf(wall)}`);
    }
    return lines;
  }

  async detail(cell, t, lines, x, y) {
    const { pane } = this, { chart } = pane;
    const isStill = () => chart.cursor?.x === x && chart.cursor?.y === y;
    const near = ([price]) => price >= cell.low - 1e-9 && price < cell.high - 1e-9;
    if (pane.book && t >= pane.book.book_ms) {
      this.levels([...pane.book.bids, ...pane.book.asks].filter(near).map(([price, qty, orders]) => {
        const since = pane.since.get(price);
        return { price, qty, orders, words: since ? `, since ${clock(since)}` : `, since before ${clock(pane.sinceMs)}` };
      }), lines, x, y);
      return;
    }
    const asked = { inst: pane.inst.inst_id, t: Math.round(t) };
    const book = await json("/api/ladder", asked);
    if (!isStill()) return;
    this.levels([...book.bids, ...book.asks].filter(near).map(([price, qty, orders]) => ({ price, qty, orders })), lines, x, y);
    const said = await json("/api/cell", { ...asked, low: cell.low - 1e-9, high: cell.high - 1e-9 });
    if (!isStill() || !said.levels.length) return;
    this.levels(said.levels.map((each) => ({ ...each, words: `, since ${each.is_since_before ? "before " : ""}${clock(each.since_ms)}` })), lines, x, y);
  }

  // The largest levels of a cell.
  levels(all, lines, x, y) {
    const { usd, decimals, quote } = this.pane;
    const rows = all.sort((a, b) => usd(b.price, b.qty) - usd(a.price, a.qty)).slice(0, 4).map((each) =>
      `${priceText(each.price, decimals)}: ${each.qty} contracts, ${sizeText(usd(each.price, each.qty))} ${quote}, ${each.orders ?? "?"} order${each.orders === 1 ? "" : "s"}${each.words ?? ""}`);
    this.tell([...lines, ...rows], x, y);
  }

  tell(lines, x, y) {
    const { tip } = this, { width, height } = this.pane.chart;
    tip.textContent = lines.join("\n");
    tip.hidden = false;
    tip.style.left = `${Math.max(4, x + 16 + tip.offsetWidth > width ? x - tip.offsetWidth - 12 : x + 16)}px`;
    tip.style.top = `${Math.max(4, Math.min(y + 16, height - tip.offsetHeight - 8))}px`;
  }
}

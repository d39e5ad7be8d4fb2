// Numbers and times as people read them. Times are UTC.

const pad = (n) => String(n).padStart(2, "0");

export function clock(ms, withDate = false) {
  const d = new Date(ms);
  const time = `${pad(d.getUTCHours())}:${pad(d.getUTCMinutes())}:${pad(d.getUTCSeconds())}`;
  return withDate ? `${d.getUTCFullYear()}-${pad(d.getUTCMonth() + 1)}-${pad(d.getUTCDate())} ${time}` : time;
}

export function shortClock(ms, stepMs) {
  const d = new Date(ms);
  if (stepMs >= 86_400_000 || (d.getUTCHours() === 0 && d.getUTCMinutes() === 0 && d.getUTCSeconds() === 0 && stepMs >= 60_000)) {
    return `${pad(d.getUTCMonth() + 1)}-${pad(d.getUTCDate())}`;
  }
  return stepMs >= 60_000 ? clock(ms).slice(0, 5) : clock(ms);
}

export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60 ? `${s % 60} s` : ""}`.trim();
  if (s < 172_800) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60 ? `${Math.floor(s / 60) % 60} min` : ""}`.trim();
  return `${(s / 86_400).toFixed(1)} days`;
}

export function size(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "-";
  const a = Math.abs(value);
  for (const [unit, name] of [[1e9, " B"], [1e6, " M"], [1e3, " k"]]) {
    if (a >= unit) return (value / unit).toFixed(a / unit >= 100 ? 0 : a / unit >= 10 ? 1 : 2) + name;
  }
  return value.toFixed(a >= 100 ? 0 : a >= 1 ? 1 : 2);
}

export const price = (value, decimals) => value.toFixed(decimals).replace(/\B(?=(\d{3})+(?!\d))/g, (m, g, at, all) => (all.indexOf(".") >= 0 && at > all.indexOf(".") ? "" : " "));

export const signed = (value, digits) => `${value < 0 ? "\u2212" : "+"}${Math.abs(value).toFixed(digits)}`;

// What a cause of the journal means, docs/format.md.
const CAUSES = {
  chain: "a message of OKX's stream was missing", checksum: "OKX's checksum did not match", invariant: "the book was crossed or too long",
  schema: "a message could not be read", silence: "no message came, not even a heartbeat", conflict: "the two feeds contradicted each other",
  audit: "OKX's own book, asked by REST, was another one", clock: "the book's time ran back, stood still or jumped",
  implausible: "a full book was impossible", unverifiable: "a loss could not have been seen", disconnect: "the connection broke",
  notice: "OKX closed the connection, as announced", disk_full: "the disk was full", our_restart: "the recorder was not running",
  overtaken: "a newer book came first", maintenance: "OKX's announced maintenance", retention: "deleted by the retention policy",
  "no line": "the line is gone", "no file": "there is no file", unreadable: "the file cannot be read", "not proved": "nothing proves the file", feeds: "the two feeds contradicted each other",
};
export const why = (cause) => cause.split(", ").map((each) => CAUSES[each] ?? each).join("; ") || "nothing is noted of it";

// How a wall ended, docs/intelligence.md: a mark on the chart, and words.
export const ENDS = {
  pulled: ["\u00d7", "cancelled (pulled)"], consumed: ["\u25cf", "traded away (consumed)"], refilled: ["\u25cb", "traded away and refilled until it ended"],
  moved: ["\u2192", "moved to another price"], "left view": ["", "left the levels that are seen"], gap: ["", "lost in a hole"],
  unknown: ["?", "how it ended is not known"], standing: ["", "standing"],
};
export const endOf = (wall) => `${(ENDS[wall.end] ?? ["", wall.end])[1]}${wall.end_from === "inferred" ? ", inferred without trades" : ""}`;

// Of a wall: the mean over the time in which it was in sight.
export function ordersOf(wall) {
  const count = Number(wall.orders.toFixed(1));
  return `${count} order${count === 1 ? "" : "s"}${Number.isInteger(count) ? "" : " on average"}`;
}

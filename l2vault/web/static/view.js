// Where a moment and a price lie on the chart, and how both move. Pure: knows no page and no data.

export const LEAST_SPAN_MS = 20_000;
export const MOST_SPAN_MS = 92 * 86_400_000;

export const timeAt = (view, box, x) => view.t0 + (x - box.x) / box.w * (view.t1 - view.t0);
export const priceAt = (view, box, y) => view.p1 - (y - box.y) / box.h * (view.p1 - view.p0);
export const xOf = (view, box, t) => box.x + (t - view.t0) / (view.t1 - view.t0) * box.w;
export const yOf = (view, box, p) => box.y + (view.p1 - p) / (view.p1 - view.p0) * box.h;

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

// Spans become `factor` times as long; `t` and `price` stay where they are on the screen.
export function zoomed(view, { t, price, timeFactor = 1, priceFactor = 1 }) {
  const span = view.t1 - view.t0;
  const time = clamp(span * timeFactor, LEAST_SPAN_MS, MOST_SPAN_MS) / span;
  const height = view.p1 - view.p0;
  const tall = clamp(height * priceFactor, Math.abs(price) * 1e-6 || 1e-9, Math.abs(price) * 2 || 1) / height;
  return {
    t0: t - (t - view.t0) * time, t1: t + (view.t1 - t) * time,
    p0: price - (price - view.p0) * tall, p1: price + (view.p1 - price) * tall,
  };
}

export const panned = (view, dt, dp) => ({ t0: view.t0 + dt, t1: view.t1 + dt, p0: view.p0 + dp, p1: view.p1 + dp });

// The newest moment stays at nine tenths of the width.
export function following(view, t) {
  const span = view.t1 - view.t0;
  return { ...view, t0: t - span * 0.92, t1: t + span * 0.08 };
}

export function aroundMid(view, mid) {
  const half = (view.p1 - view.p0) / 2;
  return { ...view, p0: mid - half, p1: mid + half };
}

// Steps of 1, 2 or 5 times a power of ten, at most `count` of them.
export function niceStep(span, count) {
  const rough = span / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((lead) => lead * power).find((step) => step >= rough);
}

const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];
export const timeStep = (span, count) => (TIME_STEPS.find((s) => s * 1000 >= span / count) ?? 2592000) * 1000;

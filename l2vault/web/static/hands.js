// Mouse, touch and keys, as what they ask for. Knows no data.

export const KEYS = [
  ["← →", "earlier, later"], ["↑ ↓", "higher, lower prices"], ["+ -", "zoom in and out of time"],
  ["Shift+↑ Shift+↓", "zoom in and out of prices"], ["Alt+← Alt+→ Alt+↑ Alt+↓", "move the cursor, which tells what stands there"],
  ["f", "follow the newest line"], ["m", "keep the mid price in the middle"], ["a", "all prices that were seen"],
  ["1 2 3 4 5", "15 minutes, 1 hour, 6 hours, 24 hours, 7 days"], ["i I", "next, previous instrument"],
  ["p P", "one more chart beside, close this one"], ["o", "to the next chart"], ["w", "next standing wall"], ["h", "last hole"],
  ["l", "lanes below: all, volume, none"], ["g", "group the rows of the book"], ["[ ]", "less, more contrast"], ["x", "cells: the mean that rested, or the largest level"], ["t", "dark or light"],
  ["s c", "the picture into a file, into the clipboard"], ["?", "this help; Esc closes it"],
  ["wheel", "zoom time; with Shift or over the prices: prices; with Ctrl: both"], ["drag", "move; over the prices: zoom prices"],
  ["click", "on a wall's bar: mark it"],
];
const CLICK_PX = 4; // what moves less is a click
const SPANS = [900_000, 3_600_000, 21_600_000, 86_400_000, 604_800_000];

export function listen(canvas, to) {
  pointers(canvas, to);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const amount = event.deltaY || event.deltaX; // some systems turn Shift+wheel into a sideways one
    const factor = Math.exp(Math.max(-150, Math.min(150, amount)) * 0.002), isPrice = event.shiftKey || event.offsetX > to.box().w;
    if (event.ctrlKey || event.altKey) to.zoom(event.offsetX, event.offsetY, factor, factor);
    else to.zoom(event.offsetX, event.offsetY, isPrice ? 1 : factor, isPrice ? factor : 1);
  }, { passive: false });
  canvas.addEventListener("dblclick", () => to.fit());
}

export function listenToKeys(to) {
  window.addEventListener("keydown", (event) => { if (to.box()) key(event, to); });
}

function pointers(canvas, to) {
  const down = new Map();
  let moved = 0;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    moved = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const last = down.get(event.pointerId), at = { x: event.offsetX, y: event.offsetY };
    if (!last) { to.point(at.x, at.y); return; }
    moved = Math.max(moved, Math.abs(at.x - last.x) + Math.abs(at.y - last.y));
    if (moved < CLICK_PX) return;
    if (down.size === 2) {
      const [other] = [...down].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      const before = Math.hypot(last.x - other.x, last.y - other.y), after = Math.hypot(at.x - other.x, at.y - other.y);
      if (after > 10) to.zoom(other.x, other.y, before / after, before / after);
    } else if (last.x > to.box().w) to.zoom(0, to.box().h / 2, 1, Math.exp((at.y - last.y) * 0.006));
    else if (at.x !== last.x || at.y !== last.y) to.pan(at.x - last.x, at.y - last.y);
    down.set(event.pointerId, at);
  });
  const up = (event) => down.delete(event.pointerId);
  canvas.addEventListener("pointerup", (event) => {
    up(event);
    if (moved < CLICK_PX) to.click(event.offsetX, event.offsetY);
    to.point(event.offsetX, event.offsetY);
  });
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", () => { if (!down.size) to.point(null, null); });
}

function key(event, to) {
  if (event.target instanceof HTMLSelectElement || event.ctrlKey || event.metaKey) return;
  const box = to.box(), step = 0.12, arrow = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
  let isOurs = true;
  if (arrow && event.altKey) to.cursorBy(-arrow[0] * 8, -arrow[1] * 8);
  else if (arrow && event.shiftKey && arrow[1]) to.zoom(0, box.h / 2, 1, arrow[1] > 0 ? 0.8 : 1.25);
  else if (arrow) to.pan(arrow[0] * box.w * step, arrow[1] * box.h * step);
  else if (event.key === "+" || event.key === "=") to.zoom(box.w / 2, box.h / 2, 0.7, 1);
  else if (event.key === "-") to.zoom(box.w / 2, box.h / 2, 1.43, 1);
  else if ("12345".includes(event.key)) to.setSpan(SPANS[Number(event.key) - 1]);
  else {
    const work = {
      f: to.follow, m: to.around, a: to.fit, i: () => to.nextInstrument(1), I: () => to.nextInstrument(-1), w: to.nextWall, h: to.goToHole,
      g: to.nextGroup, "[": () => to.setContrast(-1), "]": () => to.setContrast(1), t: to.theme, s: to.savePicture, "?": to.toggleHelp,
      c: to.copy, l: to.nextLanes, p: to.newPane, P: to.closePane, o: to.nextPane, x: to.otherCells,
    }[event.key];
    if (work) work(); else isOurs = false;
  }
  if (isOurs) event.preventDefault();
}

// The charts as one picture, each under its name and time: into a file or the clipboard.

import { element } from "./panels.js";
import { clock } from "./text.js";

const HEAD = 26;

function pictureOf(panes) {
  const boxes = panes.map(({ canvas }) => canvas.getBoundingClientRect()), ratio = panes[0].chart.ratio;
  const left = Math.min(...boxes.map((box) => box.left)), right = Math.max(...boxes.map((box) => box.right));
  const top = Math.min(...boxes.map((box) => box.top)), bottom = Math.max(...boxes.map((box) => box.bottom));
  const made = element("canvas"), g = made.getContext("2d"), { ink } = panes[0].chart;
  const rows = new Set(boxes.map((box) => Math.round(box.top))).size;
  made.width = Math.round((right - left) * ratio);
  made.height = Math.round((bottom - top + HEAD + (rows - 1) * 2) * ratio);
  g.fillStyle = ink.panel;
  g.fillRect(0, 0, made.width, made.height);
  g.scale(ratio, ratio);
  panes.forEach((pane, i) => {
    const { chart } = pane, { cursor, otherTime } = chart, x = boxes[i].left - left, y = boxes[i].top - top;
    Object.assign(chart, { cursor: null, otherTime: null });
    chart.draw();
    g.drawImage(chart.canvas, x, y + HEAD, boxes[i].width, boxes[i].height);
    Object.assign(chart, { cursor, otherTime });
    chart.ask();
    g.fillStyle = ink.panel;
    g.fillRect(x, y, boxes[i].width, HEAD);
    chart.say(g, `${pane.inst.inst_id}   ${clock(chart.view.t0, true)} to ${clock(chart.view.t1, true)} UTC   l2vault`, x + 8, y + HEAD / 2, "left", ink.text);
  });
  return new Promise((done, failed) => made.toBlob((blob) => (blob ? done(blob) : failed(new Error("no picture"))), "image/png"));
}

export async function savePicture(panes) {
  const blob = await pictureOf(panes), link = element("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${panes.map((pane) => pane.inst.inst_id).join("_")}_${clock(panes[0].chart.view.t1, true).replace(/[ :]/g, "-")}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// Raises where the browser does not allow it, as over a network without encryption.
export async function copyPicture(panes) {
  if (!navigator.clipboard?.write) throw new Error("only on this machine or over https");
  await navigator.clipboard.write([new ClipboardItem({ "image/png": pictureOf(panes) })]);
}

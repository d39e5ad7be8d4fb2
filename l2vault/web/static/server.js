// What the screen's server gives: JSON, windows of cells, and the live lines.

const TOKEN = /[#&]token=([\w-]+)/;

// The token comes once, behind the `#` of the address; it becomes a cookie that no script reads, and leaves the address.
export async function openSession() {
  const found = TOKEN.exec(location.hash);
  if (!found) return;
  history.replaceState(null, "", location.pathname + location.hash.replace(TOKEN, ""));
  await fetch("/api/session", { method: "POST", headers: { Authorization: `Bearer ${found[1]}` } });
}

const url = (path, asked) => {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(asked)) if (value !== undefined && value !== null) words.set(name, value);
  return `${path}?${words}`;
};

async function answer(path, asked, signal) {
  const response = await fetch(url(path, asked), { signal });
  if (response.ok) return response;
  let said = {};
  try { said = await response.json(); } catch { /* no JSON */ }
  throw new Error(`${said.error ?? response.statusText}${said.cure ? `\nTry: ${said.cure}` : ""}`);
}

export const json = async (path, asked = {}, signal) => (await answer(path, asked, signal)).json();

const KINDS = { float32: Float32Array, float64: Float64Array, uint8: Uint8Array };

export async function cells(asked, signal) {
  const buffer = await (await answer("/api/books", asked, signal)).arrayBuffer();
  const length = new DataView(buffer).getUint32(4, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const grid = { ...head, capacity: head.columns };
  for (const [name, { dtype, offset, count }] of Object.entries(head.arrays)) {
    grid[name === "states" ? "codes" : name] = new KINDS[dtype](buffer, 8 + length + offset, count);
  }
  return grid;
}

// Lines of an instrument as they are written. Comes back by itself after the server went away, 0.5 s to 8 s later.
export function follow(instId, { onMessage, onState }) {
  let socket = null, wait = 500, timer = 0, isOver = false;
  const open = () => {
    socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live?inst=${encodeURIComponent(instId)}`);
    socket.onmessage = (event) => {
      const said = JSON.parse(event.data);
      if (said.kind !== "begun") { onMessage(said); return; }
      wait = 500;
      onState(true);
    };
    socket.onclose = () => {
      if (isOver) return;
      onState(false);
      timer = setTimeout(open, wait);
      wait = Math.min(8000, wait * 2);
    };
  };
  open();
  return () => { isOver = true; clearTimeout(timer); socket.onclose = null; socket.close(); };
}

// The graph on its canvas: painting, zooming, moving, choosing.

const canvas = byId("graph");
const pen = canvas.getContext("2d");
let current = null; // the scene that is painted
let hovered = null; // the edge under the pointer
let isAsked = false;
let colours = {};
const widths = new Map();

function readColours() {
  widths.clear();
  const style = getComputedStyle(document.documentElement);
  for (const name of ["ground", "ink", "soft", "excites", "inhibits", "neutral", "node", "mark"]) {
    colours[name] = style.getPropertyValue("--" + name).trim();
  }
}
const canvasSize = () => ({ width: canvas.clientWidth || 800, height: canvas.clientHeight || 500 });
const font = (bold) => `${bold ? "600 " : ""}${FONT}px system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif`;
function measureText(text) {
  if (!widths.has(text)) {
    pen.font = font(false);
    widths.set(text, pen.measureText(text).width);
  }
  return widths.get(text);
}
const lineAlpha = (lines) => (lines.length <= 100 ? 0.9 : lines.length <= 500 ? 0.6 : 0.35);
const faintAlpha = (lines) => (lines.length <= 100 ? 0.2 : 0.08);
function opacity(line, alpha) {
  if (line.isFaint) return faintAlpha(current.lines);
  return line.edge === view.edge ? 1 : alpha * line.solidity;
}

function askPaint() {
  if (isAsked) return;
  isAsked = true;
  requestAnimationFrame(() => {
    isAsked = false;
    paint();
  });
}
function paint() {
  const size = canvasSize(), dense = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(size.width * dense) || canvas.height !== Math.round(size.height * dense)) {
    canvas.width = Math.round(size.width * dense);
    canvas.height = Math.round(size.height * dense);
  }
  current = scene(size, hovered, measureText);
  pen.setTransform(dense, 0, 0, dense, 0, 0);
  pen.fillStyle = colours.ground;
  pen.fillRect(0, 0, size.width, size.height);
  const alpha = lineAlpha(current.lines);
  for (const line of current.lines) paintLine(line, alpha);
  for (const node of current.nodes) paintNode(node);
  for (const label of current.labels) paintLabel(label);
  pen.globalAlpha = 1;
}
function paintLine(line, alpha) {
  const [x0, y0, x1, y1, x2, y2, x3, y3] = line.curve;
  pen.globalAlpha = opacity(line, alpha);
  pen.setLineDash(line.dashes);
  pen.strokeStyle = pen.fillStyle = colours[line.direction] || colours.neutral;
  pen.lineWidth = line.width;
  pen.beginPath();
  pen.moveTo(x0, y0);
  pen.bezierCurveTo(x1, y1, x2, y2, x3, y3);
  pen.stroke();
  pen.setLineDash([]);
  pen.beginPath();
  line.head.forEach(([x, y], index) => (index ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.fill();
}
function paintNode(node) {
  pen.globalAlpha = node.isFaint ? 0.3 : 1;
  pen.beginPath();
  pen.arc(node.x, node.y, current.radius, 0, 2 * Math.PI);
  pen.fillStyle = node.isMarked ? colours.mark : colours.node;
  pen.strokeStyle = colours.ink;
  pen.lineWidth = node.isMarked ? 2.2 : 1;
  pen.fill();
  pen.stroke();
}
function paintLabel(label) {
  pen.globalAlpha = label.isFaint ? 0.35 : 1;
  pen.font = font(label.isMarked);
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.lineJoin = "round";
  pen.lineWidth = 3.5;
  pen.strokeStyle = colours.ground;
  pen.strokeText(label.text, label.x, label.y);
  pen.fillStyle = colours.ink;
  pen.fillText(label.text, label.x, label.y);
}

// What is under a point

function nodeAt(x, y) {
  let found = null, nearest = (current.radius + 4) ** 2;
  for (const node of current.nodes) {
    const distance = (node.x - x) ** 2 + (node.y - y) ** 2;
    if (distance < nearest) [found, nearest] = [node.index, distance];
  }
  return found;
}
function edgeAt(x, y) {
  let found = null, nearest = 64;
  for (const line of current.lines) {
    const c = line.curve;
    if (x < Math.min(c[0], c[2], c[4], c[6]) - 8 || x > Math.max(c[0], c[2], c[4], c[6]) + 8) continue;
    if (y < Math.min(c[1], c[3], c[5], c[7]) - 8 || y > Math.max(c[1], c[3], c[5], c[7]) + 8) continue;
    const pieces = Math.max(12, Math.min(80, Math.hypot(c[6] - c[0], c[7] - c[1]) / 8));
    for (let t = 0; t <= pieces; t++) {
      const [px, py] = onCurve(c, t / pieces), distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < nearest) [found, nearest] = [line.edge, distance];
    }
  }
  return found;
}

// Choosing

function choose(edge, node) {
  if (edge !== null && !drawn().includes(edge)) reveal(edge);
  view.edge = edge;
  view.node = node;
  changed("choice");
}
function step(direction) {
  const ranked = listed();
  if (!ranked.length) return;
  const at = ranked.indexOf(view.edge);
  choose(ranked[at < 0 ? (direction > 0 ? 0 : ranked.length - 1) : (at + direction + ranked.length) % ranked.length], null);
}
function zoomBy(factor, x, y) {
  const zoom = Math.max(0.3, Math.min(30, camera.zoom * factor)), grown = zoom / camera.zoom;
  camera.x = x - (x - camera.x) * grown;
  camera.y = y - (y - camera.y) * grown;
  camera.zoom = zoom;
  askPaint();
}
const zoomMiddle = (factor) => zoomBy(factor, canvasSize().width / 2, canvasSize().height / 2);
function zoomReset() {
  Object.assign(camera, { zoom: 1, x: 0, y: 0 });
  askPaint();
}

// Pointer, wheel and keys

const pointers = new Map();
let held = null; // what the pointer drags: {node, moved}
const spotOf = (event) => {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};
function pointerDown(event) {
  const [x, y] = spotOf(event);
  pointers.set(event.pointerId, [x, y]);
  canvas.setPointerCapture(event.pointerId);
  canvas.focus({ preventScroll: true });
  held = { node: pointers.size === 1 ? nodeAt(x, y) : null, x, y, moved: pointers.size > 1 };
  tip(event);
}
function pointerMove(event) {
  const [x, y] = spotOf(event);
  if (!pointers.has(event.pointerId)) return hover(event, x, y);
  const before = pointers.get(event.pointerId);
  if (pointers.size === 2) pinch(event.pointerId, [x, y]);
  else if (held && (held.moved || Math.hypot(x - held.x, y - held.y) > 4)) {
    held.moved = true;
    canvas.classList.add("held");
    if (held.node !== null) places[held.node] = fromScreen(x, y, canvasSize());
    else {
      camera.x += x - before[0];
      camera.y += y - before[1];
    }
    askPaint();
  }
  if (!held || held.moved) pointers.set(event.pointerId, [x, y]);
}
function pinch(id, spot) {
  const other = Array.from(pointers).find(([key]) => key !== id)[1], before = pointers.get(id);
  const grown = Math.hypot(spot[0] - other[0], spot[1] - other[1]) / (Math.hypot(before[0] - other[0], before[1] - other[1]) || 1);
  zoomBy(grown, (spot[0] + other[0]) / 2, (spot[1] + other[1]) / 2);
}
function pointerUp(event) {
  const [x, y] = spotOf(event);
  pointers.delete(event.pointerId);
  canvas.classList.remove("held");
  if (held && !held.moved && event.type === "pointerup") {
    const node = nodeAt(x, y), edge = node === null ? edgeAt(x, y) : null;
    choose(edge, node);
    if (edge !== null || node !== null) showEvidence();
  }
  if (!pointers.size) held = null;
}
function hover(event, x, y) {
  const node = nodeAt(x, y), edge = node === null ? edgeAt(x, y) : null;
  canvas.classList.toggle("over", node !== null || edge !== null);
  if (edge !== hovered) {
    hovered = edge;
    askPaint();
  }
  if (node !== null) tip(event, ...nodeWords(node));
  else if (edge !== null) tip(event, ...edgeWords(edge));
  else tip(event);
}
const nodeWords = (node) => [
  nameOf(node),
  element("span", {}, data.counts && data.counts[node] !== null ? counted(data.counts[node] || 0, "event") : ""),
];
function wheel(event) {
  // A page can be scrolled past the graph; a click on the graph makes the wheel zoom.
  if (document.activeElement !== canvas && !event.ctrlKey && !event.metaKey) return;
  event.preventDefault();
  const [x, y] = spotOf(event);
  zoomBy(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), x, y);
}
const KEYS = {
  ArrowLeft: () => (camera.x += 40), ArrowRight: () => (camera.x -= 40), ArrowUp: () => (camera.y += 40), ArrowDown: () => (camera.y -= 40),
  "+": () => zoomMiddle(1.25), "=": () => zoomMiddle(1.25), "-": () => zoomMiddle(0.8), 0: zoomReset,
  n: () => step(1), p: () => step(-1), Escape: () => choose(null, null),
};
function keyDown(event) {
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act();
  askPaint();
}
function startGraph() {
  readColours();
  canvas.addEventListener("pointerdown", pointerDown);
  canvas.addEventListener("pointermove", pointerMove);
  canvas.addEventListener("pointerup", pointerUp);
  canvas.addEventListener("pointercancel", pointerUp);
  canvas.addEventListener("pointerleave", (event) => {
    hovered = null;
    tip(event);
    askPaint();
  });
  canvas.addEventListener("wheel", wheel, { passive: false });
  canvas.addEventListener("keydown", keyDown);
  canvas.addEventListener("blur", (event) => tip(event));
  byId("zoom-in").addEventListener("click", () => zoomMiddle(1.4));
  byId("zoom-out").addEventListener("click", () => zoomMiddle(1 / 1.4));
  byId("zoom-reset").addEventListener("click", zoomReset);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    readColours();
    askPaint();
  });
  new ResizeObserver(askPaint).observe(canvas);
  onChange(askPaint);
}

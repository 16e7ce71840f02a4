// Where everything of the graph stands on the screen, for the canvas and for SVG alike. Nothing here draws.

const places = (data.places || []).map((place) => (place ? place.slice() : null));
const camera = { zoom: 1, x: 0, y: 0 };
const NODES = places.filter(Boolean).length;
const DEEPEST = Math.max(1, ...places.filter(Boolean).map(([, y]) => y)); // event types without an edge stand below 1
const RADIUS = NODES <= 25 ? 11 : NODES <= 60 ? 8 : NODES <= 150 ? 6 : 4.5;
const LABEL = 24; // characters
const LABEL_WIDTH = 150; // pixels
const AREA_OF_A_NAME = 7000; // square pixels, as long as nothing is zoomed
const SURELY_FEW = 20; // so many names are shown in any picture, where they have room
const SURELY_NAMED = 8; // of the strongest edges both ends have their names
const FONT = 12;
const MARGIN = { top: 34, bottom: 40 };
const marginX = (size) => (size.width < 500 ? 30 : 64);

// A picture higher than wide shows the layout turned.
const isTurned = (size) => size.height > 1.15 * size.width;
const depth = () => (view.alone ? DEEPEST : 1);
function toScreen([across, down], size) {
  const [x, y] = isTurned(size) ? [down / depth(), across] : [across, down / depth()];
  const inner = { width: size.width - 2 * marginX(size), height: size.height - MARGIN.top - MARGIN.bottom };
  return [
    (marginX(size) + x * inner.width) * camera.zoom + camera.x,
    (MARGIN.top + y * inner.height) * camera.zoom + camera.y,
  ];
}
function fromScreen(x, y, size) {
  const inner = { width: size.width - 2 * marginX(size), height: size.height - MARGIN.top - MARGIN.bottom };
  const place = [
    ((x - camera.x) / camera.zoom - marginX(size)) / inner.width,
    ((y - camera.y) / camera.zoom - MARGIN.top) / inner.height,
  ];
  const [across, down] = isTurned(size) ? [place[1], place[0]] : place;
  return [across, down * depth()];
}
const radius = () => RADIUS * Math.max(0.7, Math.min(2, Math.sqrt(camera.zoom)));

// Edges as cubic curves [x0, y0, x1, y1, x2, y2, x3, y3]

function curveOf(edge, spots, close) {
  const from = spots[edges.cause[edge]], to = spots[edges.effect[edge]], r = radius();
  if (from === to) {
    const [x, y] = from, up = 3.4 * r + 8;
    return [x - 0.7 * r, y - 0.8 * r, x - 1.6 * r - 8, y - up, x + 1.6 * r + 8, y - up, x + 0.7 * r, y - 0.8 * r];
  }
  const across = [to[0] - from[0], to[1] - from[1]];
  const bend = bendOf(edge, from, to, close);
  const turn = [(from[0] + to[0]) / 2 + bend * across[1], (from[1] + to[1]) / 2 - bend * across[0]];
  const start = stepped(from, turn, r + 1), end = stepped(to, turn, r + 2);
  return [
    ...start, start[0] + (2 / 3) * (turn[0] - start[0]), start[1] + (2 / 3) * (turn[1] - start[1]),
    end[0] + (2 / 3) * (turn[0] - end[0]), end[1] + (2 / 3) * (turn[1] - end[1]), ...end,
  ];
}
// Bent where the same pair also acts the other way, or where another event type stands in between.
function bendOf(edge, from, to, close) {
  if (findEdge(edges.effect[edge], edges.cause[edge]) !== undefined) return 0.16;
  const isBlocked = close.some((spot) => spot !== from && spot !== to && nearLine(spot, from, to, 2 * radius()));
  return isBlocked ? 0.24 : 0.04;
}
function nearLine(spot, from, to, distance) {
  const along = [to[0] - from[0], to[1] - from[1]];
  const length = along[0] ** 2 + along[1] ** 2 || 1;
  const share = ((spot[0] - from[0]) * along[0] + (spot[1] - from[1]) * along[1]) / length;
  if (share <= 0 || share >= 1) return false;
  return Math.hypot(spot[0] - from[0] - share * along[0], spot[1] - from[1] - share * along[1]) < distance;
}
function stepped(from, to, length) {
  const distance = Math.hypot(to[0] - from[0], to[1] - from[1]) || 1;
  return [from[0] + (length * (to[0] - from[0])) / distance, from[1] + (length * (to[1] - from[1])) / distance];
}
function onCurve(c, t) {
  const s = 1 - t, a = s * s * s, b = 3 * s * s * t, d = 3 * s * t * t, e = t * t * t;
  return [a * c[0] + b * c[2] + d * c[4] + e * c[6], a * c[1] + b * c[3] + d * c[5] + e * c[7]];
}
// An arrow where the cause excites, a bar where it inhibits: told apart without colour.
function headOf(curve, width, isBar) {
  const [x, y] = [curve[6], curve[7]], [bx, by] = [curve[4], curve[5]];
  const length = Math.hypot(x - bx, y - by) || 1, ux = (x - bx) / length, uy = (y - by) / length;
  const size = 5 + 1.7 * width;
  if (isBar) {
    const half = 0.75 * size, thick = Math.max(2, 0.35 * size);
    return [[x - uy * half, y + ux * half], [x + uy * half, y - ux * half],
      [x + uy * half - ux * thick, y - ux * half - uy * thick], [x - uy * half - ux * thick, y + ux * half - uy * thick]];
  }
  return [[x, y], [x - ux * size - uy * 0.45 * size, y - uy * size + ux * 0.45 * size],
    [x - ux * size + uy * 0.45 * size, y - uy * size - ux * 0.45 * size]];
}

// The whole picture

function scene(size, hovered, measureText) {
  const spots = places.map((place) => (place ? toScreen(place, size) : null));
  const shown = drawn().filter((edge) => spots[edges.cause[edge]] && spots[edges.effect[edge]]);
  const joined = new Set(shown.flatMap((edge) => [edges.cause[edge], edges.effect[edge]]));
  const isHere = (index) => spots[index] && (view.alone || joined.has(index) || isMarked(index));
  const close = NODES <= 60 ? spots.filter((_, index) => isHere(index)) : [];
  const most = Math.max(...all.map((edge) => strength(view.measure, edge)).filter(Number.isFinite), 1e-12);
  const degree = new Map();
  const lines = shown.map((edge) => {
    const plain = lineWidth(edge, most), width = plain + (edge === hovered || edge === view.edge ? 1.2 : 0);
    for (const end of [edges.cause[edge], edges.effect[edge]]) degree.set(end, (degree.get(end) || 0) + plain);
    const curve = curveOf(edge, spots, close), direction = value("direction", edge);
    return {
      edge, width, curve, direction: direction || "neutral", isFaint: isFaint(edge), solidity: solidity(edge), dashes: dashes(edge),
      head: headOf(curve, width, direction === "inhibits"),
    };
  });
  if (view.edge !== null) lines.sort((a, b) => (a.edge === view.edge) - (b.edge === view.edge));
  const near = neighbours(shown);
  const nodes = spots.flatMap((spot, index) => (isHere(index)
    ? [{ index, x: spot[0], y: spot[1], isMarked: isMarked(index), isFaint: near !== null && !near.has(index) }]
    : []));
  return { size, lines, nodes, radius: radius(), labels: labels(nodes, lines, shown, degree, size, measureText) };
}
// Event types that are not drawn since none of their edges is.
function leftOut() {
  const joined = new Set(drawn().flatMap((edge) => [edges.cause[edge], edges.effect[edge]]));
  return places.filter((place, index) => place && !joined.has(index)).length;
}
function lineWidth(edge, most) {
  const found = view.measure === null ? 0 : strength(view.measure, edge);
  const widest = NODES <= 60 ? 5 : 3.5;
  return 0.9 + (widest - 0.9) * Math.max(0, Math.min(1, found / most));
}
function isFaint(edge) {
  if (view.edge !== null) return edge !== view.edge;
  if (view.node !== null) return edges.cause[edge] !== view.node && edges.effect[edge] !== view.node;
  return !touchesMatch(edge);
}
function isMarked(index) {
  if (view.edge !== null) return index === edges.cause[view.edge] || index === edges.effect[view.edge];
  return index === view.node || (view.matches !== null && view.matches.has(index));
}
// Event types that stay in sight while something is chosen or searched; null: all.
function neighbours(shown) {
  if (view.edge === null && view.node === null && view.matches === null) return null;
  const near = new Set(view.matches || []);
  if (view.node !== null) near.add(view.node);
  for (const edge of shown) if (!isFaint(edge)) near.add(edges.cause[edge]).add(edges.effect[edge]);
  return near;
}

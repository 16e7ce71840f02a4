// Names beside their dots: never over another name, longer where there is room, and surely at the strongest edges.

// What it costs to cover another name, to leave the picture or to stand below its buttons: too much for any name.
const BLOCKED = 10000;
const DEAR = 400; // too much for a name that nobody needs, some dots covered
const FREE = 20; // what a long name may cost

function labels(nodes, lines, shown, degree, size, measureText) {
  const sure = new Map();
  for (const edge of shown.slice(-SURELY_NAMED).reverse()) for (const end of [edges.cause[edge], edges.effect[edge]]) if (!sure.has(end)) sure.set(end, sure.size);
  const rank = (node) => (sure.has(node.index) ? sure.get(node.index) : Infinity);
  const ranked = nodes.slice().sort((a, b) => b.isMarked - a.isMarked || (rank(a) < rank(b) ? -1 : rank(a) > rank(b) ? 1 : 0) || a.isFaint - b.isFaint
    || (degree.get(b.index) || 0) - (degree.get(a.index) || 0) || a.index - b.index);
  const room = {
    size, taken: [], dots: nodes.map((node) => [node.x, node.y, radius()]),
    points: lines.length <= 300 ? lines.flatMap((line) => [0.15, 0.3, 0.5, 0.7, 0.85].map((t) => onCurve(line.curve, t))) : [],
  };
  const placed = [], most = Math.max(SURELY_FEW, (size.width * size.height) / AREA_OF_A_NAME) * Math.max(1, camera.zoom ** 2);
  for (const node of ranked) {
    if (placed.length >= most) break;
    if (node.x < -50 || node.y < -50 || node.x > size.width + 50 || node.y > size.height + 50) continue;
    const found = roomFor(node, node.isMarked || sure.has(node.index), room, measureText);
    if (found === null) continue;
    const [left, top, right, bottom] = found.box;
    room.taken.push(found.box);
    placed.push({ index: node.index, text: found.text, x: (left + right) / 2, y: (top + bottom) / 2, isFaint: node.isFaint, isMarked: node.isMarked });
  }
  return placed;
}
// The longest of a few lengths of a name that has room; null: none has.
function roomFor(node, isSure, room, measureText) {
  const lengths = [[2, FREE], [1.5, FREE], ...[1, 0.5].map((length) => [length, isSure ? BLOCKED : DEAR])];
  const gaps = isSure ? [1, 2.2, 4, 7] : [1];
  for (const gap of gaps) {
    for (const [length, dearest] of lengths) {
      const text = fitted(names[node.index], length * LABEL, length * LABEL_WIDTH, measureText);
      const boxes = boxesAround(node, measureText(text) * (node.isMarked ? 1.1 : 1) + 6, FONT + 4, gap, room.size);
      const costs = boxes.map((box) => cost(box, room));
      const least = Math.min(...costs);
      if (least < dearest) return { text, box: boxes[costs.indexOf(least)] };
    }
  }
  return null;
}
// The name with as many characters as the width allows.
function fitted(name, limit, width, measureText) {
  for (let characters = limit; ; characters -= 1) {
    const text = shortened(name, characters);
    if (characters < 4 || measureText(text) <= width) return text;
  }
}
// Boxes of a name, moved sideways where they would leave the picture.
function boxesAround(node, width, height, gaps, size) {
  const gap = gaps * (radius() + 3), { x, y } = node;
  return [
    [x - width / 2, y + gap], [x - width / 2, y - gap - height], [x + gap, y - height / 2], [x - gap - width, y - height / 2],
    [x + 0.5 * gap, y + 0.6 * gap], [x - 0.5 * gap - width, y + 0.6 * gap], [x + 0.5 * gap, y - 0.6 * gap - height],
    [x - 0.5 * gap - width, y - 0.6 * gap - height],
  ].map(([left, top]) => [Math.max(2, Math.min(left, size.width - width - 2)), top])
    .map(([left, top]) => [left, top, left + width, top + height]);
}
function cost([left, top, right, bottom], { taken, dots, points, size }) {
  let found = left < 0 || top < 0 || right > size.width || bottom > size.height ? BLOCKED : 0;
  if (right > size.width - 46 && top < 118) found += BLOCKED; // the buttons in the corner
  for (const box of taken) if (left < box[2] && box[0] < right && top < box[3] && box[1] < bottom) found += BLOCKED;
  for (const [x, y, r] of dots) {
    if (left < x + r && x - r < right && top < y + r && y - r < bottom) found += 60;
    else if (left < x + r + 10 && x - r - 10 < right && top < y + r + 4 && y - r - 4 < bottom) found += 9; // reads as another's name
  }
  for (const [x, y] of points) if (left < x && x < right && top < y && y < bottom) found += 3;
  return found;
}

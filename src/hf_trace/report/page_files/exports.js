// Files of what is shown: the graph as JSON and CSV, the picture as SVG.

const edgeKeys = () => Object.keys(edges).filter((key) => key !== "cause" && key !== "effect");

function record(edge) {
  const found = { cause: names[edges.cause[edge]], effect: names[edges.effect[edge]] };
  for (const key of edgeKeys()) if (value(key, edge) !== null) found[key] = value(key, edge);
  return found;
}
function jsonText() {
  const [format, version] = data.graph_format;
  const level = graph.level === "instance" ? "summary" : graph.level;
  const shown = listed().sort((a, b) => a - b);
  return JSON.stringify({ format, version, level, events: names.slice(0, data.types), edges: shown.map(record), metadata: graph.metadata }, null, 1);
}
// A spreadsheet takes a text that starts like this for a formula.
const guarded = (text) => (/^[=+\-@\t\r]/.test(text) ? "'" + text : text);
function csvCell(found) {
  if (found === null || found === undefined) return "";
  if (typeof found === "number") return String(found);
  const text = guarded(typeof found === "string" ? found : JSON.stringify(found));
  return '"' + text.replaceAll('"', '""') + '"';
}
function csvText() {
  const keys = ["cause", "effect", ...edgeKeys()];
  const lines = listed().map(record).map((found) => keys.map((key) => csvCell(found[key])).join(","));
  return "\ufeff" + [keys.map(csvCell).join(","), ...lines].join("\n") + "\n";
}
function picture() {
  const { size, lines, nodes, labels } = current, alpha = lineAlpha(lines);
  const round = (found) => Number(found.toFixed(2));
  const svg = svgElement("svg", { width: size.width, height: size.height, viewBox: `0 0 ${size.width} ${size.height}`, "font-family": "sans-serif", "font-size": FONT });
  svg.append(svgElement("rect", { width: size.width, height: size.height, fill: colours.ground }));
  for (const line of lines) {
    const [x0, y0, ...rest] = line.curve.map(round), colour = colours[line.direction] || colours.neutral;
    svg.append(svgElement("g", { opacity: round(opacity(line, alpha)), "data-edge": line.edge },
      svgElement("path", { d: `M${x0} ${y0}C${rest.join(" ")}`, fill: "none", stroke: colour, "stroke-width": round(line.width), "stroke-dasharray": line.dashes.join(" ") || null }),
      svgElement("polygon", { points: line.head.map((spot) => spot.map(round).join(",")).join(" "), fill: colour })));
  }
  for (const node of nodes) {
    svg.append(svgElement("circle", { cx: round(node.x), cy: round(node.y), r: round(current.radius), fill: node.isMarked ? colours.mark : colours.node, stroke: colours.ink, opacity: node.isFaint ? 0.3 : 1 },
      svgElement("title", {}, xmlText(names[node.index]))));
  }
  for (const label of labels) {
    svg.append(svgElement("text", {
      x: round(label.x), y: round(label.y), "text-anchor": "middle", "dominant-baseline": "central", fill: colours.ink, stroke: colours.ground, "stroke-width": 3,
      "paint-order": "stroke", opacity: label.isFaint ? 0.35 : 1,
    }, xmlText(label.text)));
  }
  return svg;
}
// XML has no control characters, whatever a name holds.
const xmlText = (text) => text.replace(new RegExp("[\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\ufffe\\uffff]", "g"), " ");
function download(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = element("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
function startExports() {
  byId("export-json").addEventListener("click", () => download("graph.json", "application/json", jsonText()));
  byId("export-csv").addEventListener("click", () => download("edges.csv", "text/csv", csvText()));
  byId("export-svg").addEventListener("click", () => {
    paint();
    download("graph.svg", "image/svg+xml", new XMLSerializer().serializeToString(picture()));
  });
}

// On paper nothing can be unfolded, scrolled or moved: all edges, the whole picture, one incident that fits.

const PAPER = { width: 780, height: 560 };
const MOST_EVENTS_PRINTED = 36;

function beforePrint() {
  const root = document.documentElement;
  root.dataset.paper = "";
  readColours();
  current = scene(PAPER, null, measureText);
  const drawing = picture();
  drawing.setAttribute("role", "img");
  drawing.setAttribute("aria-label", "Causal graph");
  replace("printed-graph", drawing);
  const every = sorted(all.slice()).slice(0, MOST_PRINTED);
  fillTable(every, printedHeading);
  byId("table-note").textContent = `All ${counted(edgeCount, "edge")}` + (every.length < edgeCount ? `, of which the first ${counted(every.length, "edge")} are printed.` : ".")
    + (graphs.length > 1 ? ` Asked: ${question(graph)}.` : "");
  byId("printed-on").textContent = `Printed ${new Date().toISOString().slice(0, 10)}. In the picture: ${byId("status").textContent}`;
  if (incidents.length) printTimeline();
}
// The part with the most arcs, where a sequence is too long for one line.
function printTimeline() {
  const incident = incidents[shownIncident.index], { links } = shownLinks(incident), length = Math.min(MOST_EVENTS_PRINTED, incident.events.length);
  const starts = Array.from({ length: incident.events.length - length + 1 }, (_, start) => start);
  const inside = (start) => links.filter(([cause, effect]) => cause >= start && effect < start + length).length;
  const start = starts.reduce((best, each) => (inside(each) > inside(best) ? each : best), 0);
  drawTimeline(incident, links, start, start + length);
  if (length < incident.events.length) byId("timeline-note").textContent += ` Printed: positions ${incident.start + start} to ${incident.start + start + length - 1}.`;
}
function afterPrint() {
  delete document.documentElement.dataset.paper;
  replace("printed-graph");
  readColours();
  renderTable();
  if (incidents.length) renderTimeline();
  askPaint();
}
function startPrinting() {
  addEventListener("beforeprint", beforePrint);
  addEventListener("afterprint", afterPrint);
}

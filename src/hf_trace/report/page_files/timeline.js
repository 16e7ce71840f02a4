// One sequence from left to right, its edges as arcs above it.

const incidents = data.incidents || [];
const shownIncident = { index: 0, at: null }; // at: position of the chosen event
const GROUND = 250;
const LONGEST_NAME = 230; // pixels

const linkStrength = ([, , cmi]) => Math.abs(cmi || 0);
// What happened at a neighbour is an event of the same type.
const own = (index) => (data.own && data.own[index] !== undefined ? data.own[index] : index);
const edgeAmong = (incident, cause, effect) => findEdge(own(incident.events[cause]), own(incident.events[effect]));
const isLongName = (index) => names[index].length > 3;
function linksOf(incident) {
  const every = byId("all-arcs").checked, found = view.graph ? graph.links[incidents.indexOf(incident)] : incident.links;
  return found.filter(([cause, effect]) => every || edgeAmong(incident, cause, effect) !== undefined);
}
function arcSteps(incident) {
  return [-Infinity, ...Array.from(new Set(linksOf(incident).map(linkStrength))).sort((a, b) => a - b)];
}
function showIncident(index, isAsked) {
  Object.assign(shownIncident, { index, at: null });
  byId("incident").value = String(index);
  const found = arcSteps(incidents[index]), slider = byId("arcs");
  slider.max = String(found.length - 1);
  // At first no more arcs than can be told apart.
  slider.value = String(Math.max(0, found.length - Math.max(40, incidents[index].events.length)));
  renderAnswers();
  renderRanking();
  renderTimeline();
  if (isAsked) reach("timeline-section");
}
function shownLinks(incident) {
  const found = arcSteps(incident), bound = found[Math.min(Number(byId("arcs").value), found.length - 1)];
  const links = linksOf(incident).filter((link) => linkStrength(link) >= bound).sort((a, b) => linkStrength(a) - linkStrength(b));
  return { bound, links };
}
function renderTimeline() {
  const incident = incidents[shownIncident.index], { bound, links } = shownLinks(incident);
  const words = bound === -Infinity ? "all" : `cmi ≥ ${number(bound)}`;
  byId("arcs-bound").textContent = words;
  byId("arcs").setAttribute("aria-valuetext", `${words}: ${counted(links.length, "arc")}`);
  const isChosenHere = view.edge === null || linksOf(incident).some(([cause, effect]) => isChosenPair(incident, cause, effect));
  const isPart = incident.events.length < incident.length;
  byId("timeline-note").textContent = [
    isPart ? `Positions ${incident.start} to ${incident.start + incident.events.length - 1} of ${counted(incident.length, "event")}` : counted(incident.events.length, "event"),
    `${links.length} of ${counted(view.graph ? linksOf(incident).length : incident.found, "arc")} drawn`,
    incident.times ? `over ${duration(incident.times[incident.times.length - 1] - incident.times[0])} from ${moment(incident.times[0])}` : "no times",
  ].join(", ") + ". The steps are events, not time; the row below tells the time."
    + (graph.looked_up ? " An arc is a place where the two ends of an edge stand at its usual distance; the model was not asked about each." : "")
    + (isChosenHere ? "" : " The chosen edge is not in this sequence.");
  drawTimeline(incident, links, 0, incident.events.length);
}
// Events from one position to another, the arcs between them.
function drawTimeline(incident, links, from, to) {
  const svg = byId("timeline"), room = svg.parentElement.clientWidth - 4, events = incident.events.slice(from, to);
  const isUpright = events.some(isLongName);
  const longestName = Math.min(LONGEST_NAME, Math.max(...events.map((index) => measureText(shortened(names[index], 48)))));
  const widest = isUpright ? 20 : Math.max(20, ...events.map((index) => measureText(visible(names[index])) + 8));
  const gap = Math.max(widest, Math.min(70, (room - 60) / Math.max(events.length - 1, 1)));
  const width = Math.max(room, 60 + gap * (events.length - 1)), foot = (isUpright ? longestName + 24 : 34) + (incident.times ? 22 : 0);
  const at = (position) => 30 + gap * (position - from);
  const inside = links.filter(([cause, effect]) => cause >= from && effect < to);
  filled(svg, { width, height: GROUND + foot, viewBox: `0 0 ${width} ${GROUND + foot}`, "aria-label": `Sequence ${visible(incident.sequence)}: ${counted(events.length, "event")}, ${counted(inside.length, "arc")}` }, []);
  const longest = Math.max(...inside.map(([cause, effect]) => effect - cause), 1);
  const largest = Math.max(...linksOf(incident).map(linkStrength), 1e-12);
  const ends = new Set(shownIncident.at === null ? [] : [shownIncident.at]);
  if (!byId("what-if").hidden) ends.add(Number(byId("removed").value));
  for (const [cause, effect] of inside) if (isChosenPair(incident, cause, effect)) ends.add(cause).add(effect);
  svg.replaceChildren(
    ...inside.flatMap((link) => arc(incident, link, at, longest, largest)),
    ...events.map((_, offset) => eventMark(incident, from + offset, at(from + offset), ends.has(from + offset))),
    ...events.map((index, offset) => eventName(index, at(from + offset), isUpright ? longestName : 0)),
    ...(incident.times ? clock(incident.times.slice(from, to), (position) => at(from + position), width, GROUND + foot - 8) : []),
  );
}
const isChosenPair = (incident, cause, effect) => view.edge !== null && edgeAmong(incident, cause, effect) === view.edge;
function arc(incident, [cause, effect, cmi, direction], at, longest, largest) {
  const edge = edgeAmong(incident, cause, effect);
  const from = at(cause) + 1, to = at(effect) - 1, rise = Math.min(1.25 * (GROUND - 20), 34 + 1.25 * (GROUND - 60) * ((effect - cause) / longest) ** 0.7);
  const path = `M${from} ${GROUND - 7}C${from} ${GROUND - 7 - rise} ${to} ${GROUND - 12 - rise} ${to} ${GROUND - 12}`;
  const width = 0.9 + 3 * Math.min(1, Math.abs(cmi || 0) / largest);
  const isDim = view.edge !== null && edge !== view.edge;
  const kind = (direction || "") + (isDim ? " dim" : "");
  const words = `${visible(names[incident.events[cause]]).slice(0, 200)} → ${visible(names[incident.events[effect]]).slice(0, 200)}: ${direction || "edge"}, ${number(cmi)} ${UNIT}, ${effect - cause} later`
    + (incident.times ? `, ${duration(incident.times[effect] - incident.times[cause])}` : "") + (edge === undefined ? "; no edge of the graph above" : "");
  const size = 3.5 + width;
  const head = direction === "inhibits"
    ? svgElement("path", { class: "head " + kind, d: `M${to - size} ${GROUND - 9}H${to + size}` })
    : svgElement("path", { class: "head " + kind, d: `M${to} ${GROUND - 7}l${-0.5 * size} ${-size}h${size}z` });
  return [
    svgElement("path", { class: "arc " + kind, d: path, "stroke-width": width.toFixed(2) }), head,
    svgElement("path", { class: "touch", d: path, "data-edge": edge === undefined ? null : edge, onclick: () => edge !== undefined && choose(edge, null) }, svgElement("title", {}, words)),
  ];
}
function eventMark(incident, position, x, isEnd) {
  const index = incident.events[position];
  const when = incident.times ? `, ${moment(incident.times[position])}` : "";
  return svgElement("circle", { cx: x, cy: GROUND, r: 5.5, class: isEnd ? "end" : null, "data-position": position, onclick: () => chooseEvent(position) },
    svgElement("title", {}, `${visible(names[index]).slice(0, 2000)}, position ${incident.start + position}${when}`));
}
function chooseEvent(position) {
  const incident = incidents[shownIncident.index], index = own(incident.events[position]);
  shownIncident.at = position;
  choose(null, index < (data.places || []).length ? index : null);
  renderAnswers();
  renderTimeline();
}
function eventName(index, x, longest) {
  if (!longest) return svgElement("text", { x, y: GROUND + 22, "text-anchor": "middle" }, visible(names[index]));
  const text = fitted(names[index], 48, longest, measureText);
  return svgElement("text", { x, y: GROUND + 12, transform: `rotate(90 ${x} ${GROUND + 12})`, "dominant-baseline": "central", direction: "ltr" }, text);
}
// Times since the start, as many as stand apart.
function clock(times, at, width, y) {
  let free = 0;
  return times.flatMap((time, position) => {
    const text = position ? "+" + briefly(time - times[0]) : "start", half = measureText(text) / 2 + 5;
    const x = Math.max(half, Math.min(at(position), width - half));
    if (x - half < free) return [];
    free = x + half;
    return [svgElement("text", { x, y, class: "faint", "text-anchor": "middle" }, text)];
  });
}
function startTimeline() {
  if (!incidents.length) {
    byId("timeline-controls").hidden = true;
    byId("timeline").parentElement.hidden = true;
    byId("timeline-note").textContent = data.metadata.contexts
      ? "Total effects are averages over many forced contexts; there is no single sequence to show."
      : "No sequence with an edge was kept for this page.";
    return;
  }
  replace("incident", ...incidents.map((each, index) => element("option", { value: index },
    `${shortened(each.sequence, 60)} (${counted(each.length, "event")}, ${counted(each.found, "arc")})`)));
  byId("incident").addEventListener("change", (event) => showIncident(Number(event.target.value), false));
  byId("arcs").addEventListener("input", renderTimeline);
  byId("all-arcs").addEventListener("change", () => showIncident(shownIncident.index, false));
  startAnswers();
  showIncident(0, false);
  // What is chosen may have been cleared by any field.
  onChange((what) => (what === "graph" ? showIncident(shownIncident.index, false) : renderTimeline()));
  addEventListener("resize", renderTimeline);
}

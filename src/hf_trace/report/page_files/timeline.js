// One sequence from left to right, its edges as arcs above it.

const incidents = data.incidents || [];
const shownIncident = { index: 0, bound: -Infinity };
const GROUND = 250;

const linkStrength = ([, , cmi]) => Math.abs(cmi || 0);
function linksOf(incident) {
  const every = byId("all-arcs").checked;
  return incident.links.filter(([cause, effect]) => every || findEdge(incident.events[cause], incident.events[effect]) !== undefined);
}
function arcSteps(incident) {
  return [-Infinity, ...Array.from(new Set(linksOf(incident).map(linkStrength))).sort((a, b) => a - b)];
}
function showIncident(index, isAsked) {
  shownIncident.index = index;
  byId("incident").value = String(index);
  const found = arcSteps(incidents[index]), slider = byId("arcs");
  slider.max = String(found.length - 1);
  // At first no more arcs than can be told apart.
  slider.value = String(Math.max(0, found.length - Math.max(40, incidents[index].events.length)));
  renderTimeline();
  if (isAsked) byId("timeline-section").scrollIntoView({ behavior: "smooth" });
}
function renderTimeline() {
  const incident = incidents[shownIncident.index], found = arcSteps(incident);
  const bound = found[Math.min(Number(byId("arcs").value), found.length - 1)];
  const links = linksOf(incident).filter((link) => linkStrength(link) >= bound).sort((a, b) => linkStrength(a) - linkStrength(b));
  byId("arcs-bound").textContent = bound === -Infinity ? "all" : `cmi ≥ ${number(bound)}`;
  const isPart = incident.events.length < incident.length;
  byId("timeline-note").textContent = [
    isPart ? `Positions ${incident.start} to ${incident.start + incident.events.length - 1} of ${counted(incident.length, "event")}` : counted(incident.events.length, "event"),
    `${links.length} of ${counted(incident.found, "arc")} drawn`,
    incident.times ? `over ${duration(incident.times[incident.times.length - 1] - incident.times[0])} from ${moment(incident.times[0])}` : "no times",
  ].join(", ") + ". The steps are events, not time; the row below tells the time.";
  drawTimeline(incident, links);
}
function drawTimeline(incident, links) {
  const svg = byId("timeline"), room = svg.parentElement.clientWidth - 4, count = incident.events.length;
  const isUpright = incident.events.some((index) => names[index].length > 3);
  const gap = Math.max(20, Math.min(70, (room - 60) / Math.max(count - 1, 1)));
  const width = Math.max(room, 60 + gap * (count - 1)), foot = (isUpright ? 136 : 34) + (incident.times ? 22 : 0);
  const at = (position) => 30 + gap * position;
  filled(svg, { width, height: GROUND + foot, viewBox: `0 0 ${width} ${GROUND + foot}`, "aria-label": `Sequence ${visible(incident.sequence)}: ${count} events, ${links.length} arcs` }, []);
  const longest = Math.max(...links.map(([cause, effect]) => effect - cause), 1);
  const largest = Math.max(...incident.links.map(linkStrength), 1e-12);
  const ends = new Set();
  for (const [cause, effect] of links) if (isChosenPair(incident, cause, effect)) ends.add(cause).add(effect);
  svg.replaceChildren(
    ...links.flatMap((link) => arc(incident, link, at, longest, largest)),
    ...incident.events.map((index, position) => eventMark(incident, position, at(position), ends.has(position))),
    ...incident.events.map((index, position) => eventName(index, at(position), isUpright)),
    ...(incident.times ? clock(incident.times, at, gap, width, GROUND + foot - 8) : []),
  );
}
const isChosenPair = (incident, cause, effect) => view.edge !== null && findEdge(incident.events[cause], incident.events[effect]) === view.edge;
function arc(incident, [cause, effect, cmi, direction], at, longest, largest) {
  const edge = findEdge(incident.events[cause], incident.events[effect]);
  const from = at(cause) + 1, to = at(effect) - 1, rise = Math.min(1.25 * (GROUND - 20), 34 + 1.25 * (GROUND - 60) * ((effect - cause) / longest) ** 0.7);
  const path = `M${from} ${GROUND - 7}C${from} ${GROUND - 7 - rise} ${to} ${GROUND - 12 - rise} ${to} ${GROUND - 12}`;
  const width = 0.9 + 3 * Math.min(1, Math.abs(cmi || 0) / largest);
  const isDim = view.edge !== null && edge !== view.edge;
  const kind = (direction || "") + (isDim ? " dim" : "");
  const words = `${visible(names[incident.events[cause]]).slice(0, 200)} → ${visible(names[incident.events[effect]]).slice(0, 200)}: ${direction || "edge"}, ${number(cmi)} nats, ${effect - cause} later`
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
  return svgElement("circle", { cx: x, cy: GROUND, r: 5.5, class: isEnd ? "end" : null, onclick: () => index < (data.places || []).length && choose(null, index) },
    svgElement("title", {}, `${visible(names[index]).slice(0, 2000)}, position ${incident.start + position}${when}`));
}
function eventName(index, x, isUpright) {
  const text = fitted(names[index], isUpright ? 22 : 4, isUpright ? 112 : 24, measureText);
  if (!isUpright) return svgElement("text", { x, y: GROUND + 22, "text-anchor": "middle" }, text);
  return svgElement("text", { x, y: GROUND + 12, transform: `rotate(90 ${x} ${GROUND + 12})`, "dominant-baseline": "central", direction: "ltr" }, text);
}
function clock(times, at, gap, width, y) {
  const every = Math.max(1, Math.ceil(76 / gap));
  return times.flatMap((time, position) => {
    if (position % every) return [];
    return [svgElement("text", { x: Math.min(at(position), width - 30), y, class: "faint", "text-anchor": "middle" }, position ? "+" + briefly(time - times[0]) : "start")];
  });
}
const briefly = (seconds) => duration(seconds).replace(/(econd|inute|our|ay|ear)s?$/, "").replace(/ m$/, " min");
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
  showIncident(0, false);
  onChange((what) => what === "choice" && renderTimeline());
  addEventListener("resize", renderTimeline);
}

// What stands behind the chosen edge or event type.

const PLAIN = {
  cmi: [STRENGTH[0].toUpperCase() + STRENGTH.slice(1), (v, edge) => `${number(v)} ${UNIT}${resampledRange(edge)}`],
  edge_cmi: ["Strength where found", (v) => `${number(v)} nats`],
  standard_error: ["Standard error", (v) => `${number(v)} ${UNIT}`],
  confidence: ["Confidence", (v) => percent(v)],
  resampled_share: ["Found again", (v) => `in ${percent(v)} of the resamples`],
  risk: ["Probability of the effect", (v) => chance(v)],
  baseline_risk: ["after other events", (v) => chance(v)],
  gain: ["Difference", (v) => number(v)],
  gain_error: ["its standard error", (v) => number(v)],
  onset: ["Counted onsets (S)", (v, edge) => `${number(v)}, rank ${number(value("onset_rank", edge))} of all pairs`],
  [DELAY[0]]: [DELAY[0] === "delay" ? "Median time between" : "Mean time between", (v, edge) => duration(v) + delayRange(edge)],
};

function resampledRange(edge) {
  const low = value("cmi_low", edge), high = value("cmi_high", edge);
  return typeof low === "number" && typeof high === "number" ? ` (resampled: ${number(low)} to ${number(high)})` : "";
}
function delayRange(edge) {
  const low = delay(edge, "0.1"), high = delay(edge, "0.9");
  return low === null || high === null ? "" : ` (80 % from ${duration(low)} to ${duration(high)})`;
}

function renderEvidence() {
  if (view.edge !== null) replace("evidence", ...edgeEvidence(view.edge));
  else if (view.node !== null) replace("evidence", ...nodeEvidence(view.node));
  else replace("evidence", ...overview());
}
function showEvidence() {
  const box = byId("evidence").getBoundingClientRect();
  if (box.top > innerHeight - 80) byId("evidence").scrollIntoView({ behavior: "smooth", block: "start" });
}
function overview() {
  const strongest = drawn().reverse().filter(touchesMatch).slice(0, 12);
  return [
    element("h2", {}, "Evidence"),
    element("p", {}, edgeCount ? "Choose an edge or an event type to see what stands behind it." : "No pair of event types was found to be an edge."),
    ...(strongest.length ? [element("h3", {}, "The strongest that are shown"), edgeList(strongest, "both")] : []),
  ];
}
function edgeList(found, ends) {
  return element("ol", {}, ...found.map((edge) => element("li", {},
    element("button", { type: "button", class: "link", onclick: () => choose(edge, null) }, ...listName(edge, ends)), " ",
    badge(edge), ` ${view.measure === null ? "" : shownValue(view.measure, value(view.measure, edge))}`)));
}
function listName(edge, ends) {
  const cause = nameOf(edges.cause[edge], "inline-name"), effect = nameOf(edges.effect[edge], "inline-name");
  return ends === "both" ? [cause, " → ", effect] : [ends === "cause" ? cause : effect];
}

function edgeEvidence(edge) {
  const counts = value("lag_counts", edge), seconds = data.time_lags[edge], direction = value("direction", edge);
  const lags = counts ? Object.keys(counts).map(Number).sort((a, b) => a - b) : [];
  return [
    element("h2", {}, nodeButton(edges.cause[edge]), badge(edge) || "→", nodeButton(edges.effect[edge])),
    element("p", { class: "note" }, inWords(edge)),
    element("dl", {}, ...facts(edge)),
    ...frequency(edge),
    ...(lags.length ? [element("h3", {}, "How many events after"), bars(lags.map((lag) => counts[lag]), lags.map(String), direction)] : lagList(edge)),
    ...(seconds ? [element("h3", {}, "How long after"), bars(seconds, data.times, direction)] : []),
    ...examples(edge),
  ];
}
const nodeButton = (node) => element("button", { type: "button", class: "link", onclick: () => choose(null, node) }, nameOf(node));
const WHERE = {
  within: "It acts within a place. ",
  between: "It acts from a place on those that are joined to it. ",
  both: "It acts within a place, and on those that are joined to it. ",
};
function inWords(edge) {
  const direction = value("direction", edge), isUndirected = value("undirected", edge);
  const more = direction === "inhibits" ? "less" : "more", ends = isUndirected ? "Each makes the other" : "The cause makes the effect";
  const word = direction ? `${ends} ${more} likely. ` : "";
  const order = isUndirected ? "Seen between events of one time only, so which of them is the cause is not known. " : "";
  const where = WHERE[value("place", edge)] || "";
  return word + where + order + (value("required", edge) ? "Required by background knowledge, whatever was found. " : "");
}
function facts(edge) {
  const support = value("support", edge);
  return [
    ...Object.entries(PLAIN).flatMap(([key, [label, say]]) => (typeof value(key, edge) === "number" ? fact(label, say(value(key, edge), edge)) : [])),
    ...(typeof support === "number" ? fact("Support", supportWords(support)) : []),
  ];
}
const supportWords = (support) => (data.level === "population"
  ? data.metadata.contexts ? counted(support, "forced context") : counted(support, "sequence")
  : counted(support, "pair") + " of positions");
function frequency(edge) {
  const share = value("frequency", edge), low = value("frequency_low", edge), high = value("frequency_high", edge);
  if (typeof share !== "number") return [];
  const range = element("i"), point = element("b");
  if (typeof low === "number") {
    range.style.left = 100 * low + "%";
    range.style.width = 100 * (high - low) + "%";
  }
  point.style.left = `calc(${100 * share}% - 1px)`;
  const interval = typeof low === "number" ? ` (95 % interval ${percent(low)} to ${percent(high)})` : "";
  const words = `In ${percent(share)} of the sequences where the pair was within reach${interval}`;
  return [element("h3", {}, "How often"), element("div", { class: "interval", role: "img", "aria-label": words }, range, point), element("div", {}, words + ".")];
}
function lagList(edge) {
  const lags = value("lags", edge) || (value("lag", edge) !== null ? [value("lag", edge)] : []);
  return lags.length ? [element("h3", {}, "How many events after"), element("div", {}, lags.join(", "))] : [];
}
function examples(edge) {
  const found = data.examples[edge] || [];
  if (!found.length) return [];
  return [element("h3", {}, "Examples"), element("ol", {}, ...found.map((each) => example(each)))];
}
function example(each) {
  const incident = data.incidents.findIndex((one) => one.sequence === each.sequence && isInside(one, each.positions));
  const [cause, effect] = each.positions;
  return element("li", {},
    "Sequence ", element("bdi", { class: "inline-name", title: each.sequence.slice(0, 3000) }, visible(each.sequence)),
    `, positions ${cause} and ${effect} (from 0)` + (typeof each.cmi === "number" ? `, ${number(each.cmi)} nats` : ""),
    each.times ? element("div", { class: "note" }, `${moment(each.times[0])}, then ${duration(each.times[1] - each.times[0])} later`) : null,
    each.events.length ? strip(each) : null,
    incident >= 0 ? element("button", { type: "button", class: "link", onclick: () => showIncident(incident, true) }, element("span", { class: "inline-name" }, "Show in its timeline")) : null);
}
const isInside = (incident, positions) => positions.every((at) => at >= incident.start && at < incident.start + incident.events.length);
function strip(each) {
  return element("div", { class: "strip" }, ...each.events.map((index, offset) => element("span",
    { class: each.positions.includes(each.start + offset) ? "end" : null, title: names[index].slice(0, 3000), dir: "auto" }, shortened(names[index], 60))));
}

function nodeEvidence(node) {
  const found = drawn().reverse();
  const causes = found.filter((edge) => edges.effect[edge] === node), effects = found.filter((edge) => edges.cause[edge] === node);
  const count = data.counts ? data.counts[node] : null;
  return [
    element("h2", {}, nameOf(node)),
    element("p", { class: "note" }, typeof count === "number" ? counted(count, "event") + " in the log. " : "", "Of the edges that are shown:"),
    element("h3", {}, `Causes (${causes.length})`), edgeList(causes.slice(0, 50), "cause"),
    element("h3", {}, `Effects (${effects.length})`), edgeList(effects.slice(0, 50), "effect"),
  ];
}

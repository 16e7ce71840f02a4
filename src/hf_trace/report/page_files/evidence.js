// What stands behind the chosen edge or event type.

const plain = () => ({
  cmi: [UNIT === "nats" ? "Strength (cmi)" : "Strength", (v, edge) => `${number(v)} ${UNIT}${resampledRange(edge)}`],
  before: ["Strength before", (v) => number(v)],
  after: ["Strength after", (v) => number(v)],
  difference: ["Change", (v, edge) => number(v) + (value("low", edge) === null ? "" : ` (95 % interval ${number(value("low", edge))} to ${number(value("high", edge))})`)],
  edge_cmi: ["Strength where found", (v) => `${number(v)} nats`],
  standard_error: ["Standard error", (v) => `${number(v)} ${UNIT}`],
  confidence: ["Confidence", (v) => percent(v)],
  resampled_share: ["Found again", (v) => `in ${percent(v)} of the resamples`],
  risk: ["Probability of the effect", (v) => chance(v)],
  baseline_risk: ["after other events", (v) => chance(v)],
  gain: ["Difference", (v) => number(v)],
  gain_error: ["its standard error", (v) => number(v)],
  within: ["Within a place", (v) => `${number(v)} ${UNIT}`],
  between: ["From joined places", (v) => `${number(v)} ${UNIT}`],
  onset: ["Counted onsets (S)", (v, edge) => `${number(v)}, rank ${number(value("onset_rank", edge))} of all pairs`],
  [DELAY[0]]: [DELAY[0] === "delay" ? "Median time between" : "Mean time between", (v, edge) => duration(v) + delayRange(edge)],
});

function resampledRange(edge) {
  const low = value("cmi_low", edge), high = value("cmi_high", edge);
  return typeof low === "number" && typeof high === "number" ? ` (resampled: ${number(low)} to ${number(high)})` : "";
}
function delayRange(edge) {
  const low = delay(edge, "0.1"), high = delay(edge, "0.9");
  return low === null || high === null ? "" : ` (80 % from ${duration(low)} to ${duration(high)})`;
}

let opener = null; // what has led to the evidence, for the way back
function renderEvidence() {
  const hadFocus = byId("evidence").contains(document.activeElement);
  if (view.edge !== null) replace("evidence", ...edgeEvidence(view.edge));
  else if (view.node !== null) replace("evidence", ...nodeEvidence(view.node));
  else replace("evidence", ...overview());
  if (hadFocus) (byId("evidence").querySelector(".close") || byId("evidence")).focus({ preventScroll: true });
}
function showEvidence() {
  const box = byId("evidence").getBoundingClientRect();
  if (box.top > innerHeight - 80) reach("evidence");
}
// The way back: to the row or the list entry from which the edge was chosen.
function closeEvidence() {
  const selector = opener;
  opener = null;
  choose(null, null);
  const back = selector && document.querySelector(selector);
  (back || byId("evidence")).focus({ preventScroll: !back });
}
function closable(...heading) {
  const button = element("button", { type: "button", class: "close", "aria-label": "Close the evidence", title: "Close (Esc)", onclick: closeEvidence }, "×");
  return element("div", { class: "heading" }, element("h2", {}, ...heading), button);
}
function overview() {
  const strongest = listed().slice(0, 12);
  const none = view.matches !== null && !view.matches.size ? `No event type has “${view.words.trim()}” in its name.` : "None of the edges passes the fields above.";
  return [
    element("h2", {}, "Evidence"),
    element("p", {}, edgeCount ? "Choose an edge or an event type to see what stands behind it." : "No pair of event types was found to be an edge."),
    ...(strongest.length ? [element("h3", {}, "The strongest that are shown"), edgeList(strongest, "both")] : edgeCount ? [element("p", {}, none)] : []),
  ];
}
function edgeList(found, ends) {
  const list = element("ol", {}, ...found.map((edge) => element("li", {},
    element("button", { type: "button", class: "link", "data-edge": edge, onclick: () => chooseFrom(`#evidence [data-edge="${edge}"]`, edge) }, ...listName(edge, ends)),
    ` ${view.measure === null ? "" : shownValue(view.measure, value(view.measure, edge))}`, isWeak(edge) ? element("small", { class: "note" }, " weak") : null)));
  return list;
}
function chooseFrom(selector, edge) {
  opener = selector;
  choose(edge, null);
}
// The sign between the names says how the cause acts; after them it would read as one more link of a chain.
const arrow = (edge) => element("span", { class: "badge " + (value("direction", edge) || ""), title: value("direction", edge) }, ` ${sign(edge)} `);
function listName(edge, ends) {
  const cause = nameOf(edges.cause[edge], "inline-name"), effect = nameOf(edges.effect[edge], "inline-name");
  return ends === "both" ? [cause, arrow(edge), effect] : [ends === "cause" ? cause : effect];
}

function edgeEvidence(edge) {
  const counts = value("lag_counts", edge), seconds = graph.time_lags[edge], direction = value("direction", edge);
  const lags = counts ? Object.keys(counts).map(Number).sort((a, b) => a - b) : [];
  return [
    closable(nodeButton(edges.cause[edge]), badge(edge) || "→", nodeButton(edges.effect[edge])),
    element("p", { class: "note" }, inWords(edge)),
    ...said(edge),
    element("dl", {}, ...facts(edge)),
    ...frequency(edge),
    ...lagPlot(edge),
    ...(seconds ? [element("h3", {}, "How long after, counted"), bars(seconds, data.times, direction)] : []),
    ...(lags.length ? [element("h3", {}, "How many events after"), bars(lags.map((lag) => counts[lag]), lags.map(String), direction)] : lagList(edge)),
    ...examples(edge),
  ];
}
const nodeButton = (node) => element("button", { type: "button", class: "link", onclick: () => choose(null, node) }, nameOf(node));
const WHERE = {
  within: "It acts within a place. ",
  between: "It acts from a place on those that are joined to it. ",
  both: "It acts within a place, and on those that are joined to it. ",
};
const CHANGES = { new: "It is new. ", gone: "It is gone. ", stronger: "It has become stronger. ", weaker: "It has become weaker. ", same: "It has not changed more than chance does. ", untested: "Whether it changed could not be tested. " };
function inWords(edge) {
  const direction = value("direction", edge), isUndirected = value("undirected", edge);
  const more = direction === "inhibits" ? "less" : "more", ends = isUndirected ? "Each makes the other" : "The cause makes the effect";
  const word = direction ? `${ends} ${more} likely. ` : "";
  const order = isUndirected ? "Seen between events of one time only, so which of them is the cause is not known. " : "";
  const weak = isWeak(edge) ? "Little speaks for it: few sequences, or an error half as large as its strength. " : "";
  return word + (WHERE[value("place", edge)] || "") + (CHANGES[value("change", edge)] || "") + order + weak
    + (value("required", edge) ? "Required by background knowledge, whatever was found. " : "");
}
function facts(edge) {
  const support = value("support", edge);
  return [
    ...Object.entries(plain()).flatMap(([key, [label, say]]) => (typeof value(key, edge) === "number" ? fact(label, say(value(key, edge), edge)) : [])),
    ...(typeof support === "number" ? fact("Support", supportWords(support)) : []),
  ];
}
const supportWords = (support) => (graph.level === "population"
  ? graph.metadata.contexts ? counted(support, "forced context") : counted(support, "sequence")
  : counted(support, "pair") + " of positions");
function frequency(edge) {
  const share = value("frequency", edge), low = value("frequency_low", edge), high = value("frequency_high", edge);
  if (typeof share !== "number") return [];
  const hasInterval = typeof low === "number";
  const interval = hasInterval ? ` (95 % interval ${percent(low)} to ${percent(high)})` : "";
  const words = `In ${percent(share)} of the sequences where the pair was within reach${interval}`;
  return [element("h3", {}, "How often"), rangeBar(hasInterval ? low : share, share, hasInterval ? high : share, words), element("div", {}, words + ".")];
}
function lagList(edge) {
  const lags = value("lags", edge) || (value("lag", edge) !== null ? [value("lag", edge)] : []);
  return lags.length ? [element("h3", {}, "How many events after"), element("div", {}, lags.join(", "))] : [];
}

// From when to when the effect comes, on an axis where each step is ten times the one before, alike for all edges.
const AXIS = [[0.001, "1 ms"], [1, "1 s"], [60, "1 min"], [3600, "1 h"], [86400, "1 day"], [2592000, "30 days"]];
function timeAxis() {
  const found = all.flatMap((edge) => ["0.1", "0.9"].map((level) => delay(edge, level))).filter((seconds) => seconds !== null);
  const low = Math.max(Math.min(...found.filter((seconds) => seconds > 0), 1), 1e-4), high = Math.max(...found, 10 * low);
  const at = (seconds) => Math.max(0, Math.min(1, Math.log(Math.max(seconds, low) / low) / Math.log(high / low)));
  return { at, ticks: AXIS.filter(([seconds]) => seconds >= low && seconds <= high) };
}
function lagPlot(edge) {
  const [low, middle, high] = ["0.1", "0.5", "0.9"].map((level) => delay(edge, level));
  if (low === null || middle === null || high === null) return [];
  const { at, ticks } = timeAxis();
  const words = `Half come within ${duration(middle)}, 80 % between ${duration(low)} and ${duration(high)}`;
  const marks = ticks.map(([seconds, label]) => {
    const tick = element("span", {}, label);
    tick.style.left = 100 * at(seconds) + "%";
    return tick;
  });
  const made = rangeBar(at(low), at(middle), at(high), words);
  made.classList.add("delays", value("direction", edge) || "neutral");
  return [element("h3", {}, "How long after"), made, element("div", { class: "axis", "aria-hidden": "true" }, ...marks), element("div", {}, words + ".")];
}

function examples(edge) {
  const found = graph.examples[edge] || [];
  if (!found.length) return [];
  return [element("h3", {}, graph.looked_up ? "Places where it may have acted" : "Examples"), element("ol", {}, ...found.map((each) => example(each)))];
}
function example(each) {
  const incident = data.incidents.findIndex((one) => one.sequence === each.sequence && isInside(one, each.positions));
  const [cause, effect] = each.positions;
  return element("li", {},
    "Sequence ", element("bdi", { class: "inline-name", title: each.sequence.slice(0, 3000) }, visible(each.sequence)),
    `, positions ${cause} and ${effect} (from 0)` + (typeof each.cmi === "number" && !graph.looked_up ? `, ${number(each.cmi)} nats` : ""),
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
    closable(nameOf(node)),
    element("p", { class: "note" }, typeof count === "number" ? counted(count, "event") + " in the log. " : "", "Of the edges that are shown:"),
    element("h3", {}, `Causes (${causes.length})`), edgeList(causes.slice(0, 50), "cause"),
    element("h3", {}, `Effects (${effects.length})`), edgeList(effects.slice(0, 50), "effect"),
  ];
}

// What the page knows and which part of it is shown. Nothing here touches the page.

const data = JSON.parse(document.getElementById("document").textContent);
const names = data.names || [];
const numberOf = new Map(names.map((name, index) => [name, index]));
// One graph for each question that was asked of the log, over the same event types.
const graphs = [data, ...(data.others || [])];
let graph, edges, edgeCount, all, edgeBetween;
let UNIT; // what the strength of an edge is a number of: nats, unless the graph says otherwise
let MEASURES, DELAY;

const view = {
  graph: 0,
  measure: null,
  bound: -Infinity, // edges below are hidden
  words: "", // searched for in names
  direction: "",
  place: "",
  change: "",
  alone: !graphs.some((part) => part.found), // whether event types without a shown edge are drawn
  edge: null, // the chosen edge
  node: null, // the chosen event type
  matches: null, // numbers of the event types that match the search, or null
};

const listeners = [];
const onChange = (listener) => listeners.push(listener);
const changed = (what) => listeners.forEach((listener) => listener(what));

function openGraph(at) {
  view.graph = at;
  graph = graphs[at];
  edges = graph.edges || { cause: [], effect: [] };
  edgeCount = edges.cause.length;
  all = Array.from({ length: edgeCount }, (_, edge) => edge);
  edgeBetween = new Map(all.map((edge) => [edges.cause[edge] + " " + edges.effect[edge], edge]));
  UNIT = graph.metadata.strength || "nats";
  MEASURES = [
    ["cmi", UNIT === "nats" ? "strength (cmi)" : "strength"], ["frequency", "frequency"], ["confidence", "confidence"],
    ["resampled_share", "share of resamples"], ["support", "support"], ["risk", "probability of the effect"],
    ["onset", "counted onsets (S)"],
  ].filter(([key]) => (edges[key] || []).some((found) => typeof found === "number"));
  // Times from cause to effect have heavy tails, of which a mean says little. Earlier graphs have no more than the mean.
  DELAY = edges.lag_seconds_quantiles ? ["delay", "after (median)"] : ["lag_seconds", "after (mean)"];
}
openGraph(0);

function delay(edge, level) {
  const found = (edges.lag_seconds_quantiles || [])[edge];
  return found && typeof found[level] === "number" ? found[level] : null;
}
function value(key, edge) {
  if (key === "delay") return delay(edge, "0.5");
  if (key === "delays") return delay(edge, "0.1") === null ? null : ["0.1", "0.9"].map((level) => delay(edge, level));
  return edges[key] ? edges[key][edge] ?? null : null;
}
const strength = (key, edge) => {
  const found = value(key, edge);
  return typeof found === "number" ? Math.abs(found) : -Infinity;
};
const findEdge = (cause, effect) => edgeBetween.get(cause + " " + effect);
const edgeOf = (cause, effect) => findEdge(numberOf.get(cause), numberOf.get(effect));

// In how many sequences an edge could be seen. Forced contexts are as many as one likes; what happened is not.
function seen(edge) {
  const found = value(graph.metadata.contexts ? "occurrences" : "support", edge);
  return graph.level === "population" && found !== null ? found : Infinity;
}
const FEW = 5;
const isWeak = (edge) => seen(edge) < FEW || strength("cmi", edge) < 2 * (value("standard_error", edge) || 0);
const isUnchanged = (edge) => ["same", "untested"].includes(value("change", edge));
// How solid an edge is drawn: in full from 20 sequences on; beside edges that changed the others are pale.
const solidity = (edge) => Math.min(1, 0.35 + (0.65 * seen(edge)) / 20) * (isUnchanged(edge) ? 0.4 : 1);
const DASHES = { gone: [2, 4], between: [10, 4], weak: [4, 3] };
function dashes(edge) {
  if (value("change", edge) === "gone") return DASHES.gone;
  if (value("place", edge) === "between") return DASHES.between;
  return isWeak(edge) ? DASHES.weak : [];
}

// Control characters and marks that turn the direction of a text must not leave the name they stand in.
const HIDDEN = new RegExp("[\\u0000-\\u001f\\u007f-\\u009f\\u061c\\u200e\\u200f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069]", "g");
const visible = (text) => String(text).replace(HIDDEN, " ");
const graphemes = typeof Intl.Segmenter === "function"
  ? (text) => Array.from(new Intl.Segmenter().segment(text), (part) => part.segment)
  : (text) => Array.from(text);
function shortened(text, limit) {
  const shown = visible(text);
  if (shown.length <= limit) return shown;
  const parts = graphemes(shown.slice(0, 8 * limit));
  const ends = shown.length > 8 * limit ? graphemes(shown.slice(-8 * limit)) : parts;
  if (parts.length <= limit && ends === parts) return shown;
  const head = Math.ceil((limit - 1) / 2);
  return parts.slice(0, head).join("") + "…" + ends.slice(ends.length - (limit - 1 - head)).join("");
}

function number(found, digits = 3) {
  if (typeof found !== "number") return "";
  if (Number.isInteger(found)) return found.toLocaleString("en-US");
  const size = Math.abs(found);
  if (size >= 1000) return Math.round(found).toLocaleString("en-US");
  return size >= 0.001 || size === 0 ? found.toPrecision(digits) : found.toExponential(1);
}
const percent = (share) => (typeof share === "number" ? (100 * share).toFixed(share < 0.1 ? 1 : 0) + " %" : "");
// An average over sampled futures, which can overshoot certainty.
const chance = (found) => (found > 1 ? "≈ 100 %" : percent(found));
const counted = (found, noun) => `${found.toLocaleString("en-US")} ${noun}${found === 1 ? "" : "s"}`;
const UNITS = [["years", 31557600], ["days", 86400], ["hours", 3600], ["minutes", 60]];
function duration(seconds) {
  for (const [unit, length] of UNITS) if (seconds > length) return (seconds / length).toFixed(1) + " " + unit;
  return (seconds === 0 ? "0" : String(Number(seconds.toPrecision(3)))) + (seconds === 1 ? " second" : " seconds");
}
const briefly = (seconds) => duration(seconds).replace(/(econd|inute|our|ay|ear)s?$/, "").replace(/ m$/, " min");
const moment = (seconds) => (data.dates
  ? new Date(1000 * seconds).toISOString().replace("T", " ").replace(/\.\d+Z|Z/, "") + " UTC"
  : `second ${seconds.toLocaleString("en-US")}`);

// Which edges are shown

function searched(words) {
  const wanted = words.trim().toLowerCase();
  if (!wanted) return null;
  return new Set(names.flatMap((name, index) => (name.toLowerCase().includes(wanted) ? [index] : [])));
}
const isAbove = (edge) => view.bound === -Infinity || (view.measure !== null && strength(view.measure, edge) >= view.bound);
const acts = (edge) => !view.direction || value("direction", edge) === view.direction;
const isAt = (edge) => !view.place || [view.place, "both"].includes(value("place", edge));
const isChanged = (edge) => !view.change || value("change", edge) === view.change || (view.change === "any" && !isUnchanged(edge));
const passes = (edge) => acts(edge) && isAt(edge) && isChanged(edge);
// Edges above the slider, weakest first, as they are drawn one over the other.
function drawn() {
  const key = view.measure;
  const shown = all.filter((edge) => isAbove(edge) && passes(edge));
  return key === null ? shown : shown.sort((a, b) => strength(key, a) - strength(key, b) || b - a);
}
const touchesMatch = (edge) => view.matches === null || view.matches.has(edges.cause[edge]) || view.matches.has(edges.effect[edge]);
const listed = () => drawn().filter(touchesMatch).reverse();

// The steps of the slider: each different value once, below them "all".
function steps(key) {
  if (key === null) return [-Infinity];
  const found = new Set(all.map((edge) => strength(key, edge)).filter((found) => found > -Infinity));
  return [-Infinity, ...Array.from(found).sort((a, b) => a - b)];
}
// Few enough edges to see something at first.
function firstBound(key) {
  const most = Math.min(globalThis.innerWidth < 600 ? 60 : 300, Math.max(40, Math.round(1.5 * (data.types || names.length))));
  if (key === null || edgeCount <= most) return -Infinity;
  const ranked = all.map((edge) => strength(key, edge)).sort((a, b) => b - a);
  return ranked[most - 1];
}

// The edges as rows: sorted, filtered with the graph, drawn a part at a time.

const ROWS = 100;
const MOST_PRINTED = 2000;
const columns = () => [
  ["cause", "cause"], ["effect", "effect"], ["direction", "acts"], ["change", "change"], ["before", "before"], ["after", "after"], ["difference", "difference"],
  ["place", "place"], ["cmi", UNIT === "nats" ? "cmi (nats)" : UNIT], ["edge_cmi", "where found"], ["frequency", "frequency"],
  ["confidence", "confidence"], ["resampled_share", "resamples"], ["risk", "probability"], ["baseline_risk", "after others"],
  ["support", "support"], ["onset", "onsets (S)"], ["onset_rank", "rank by S"], ["lags", "lags"], DELAY, ["delays", "10–90 %"],
].filter(([key]) => edges.cause.some((_, edge) => value(key, edge) !== null));
const TEXTS = ["cause", "effect", "direction", "change", "place", "lags"];
const order = { key: view.measure || "cause", isDown: view.measure !== null };
let rows = ROWS;

function shownValue(key, found) {
  if (found === null || found === undefined) return "";
  if (key === DELAY[0]) return duration(found);
  if (key === "delays") return found.map(briefly).join(" to ");
  if (Array.isArray(found)) return found.join(", ");
  if (["frequency", "confidence", "resampled_share"].includes(key)) return percent(found);
  if (["risk", "baseline_risk"].includes(key)) return chance(found);
  return typeof found === "number" ? number(found) : String(found);
}
function sortValue(key, edge) {
  if (key === "cause" || key === "effect") return names[edges[key][edge]].toLowerCase();
  const found = value(key, edge);
  return Array.isArray(found) ? found[0] ?? null : found;
}
function sorted(found) {
  const { key, isDown } = order;
  const keyed = found.map((edge) => [sortValue(key, edge), edge]);
  keyed.sort(([a, m], [b, n]) => {
    if (a === null || b === null) return (a === null) - (b === null) || m - n;
    if (a === b) return m - n;
    return (a < b ? -1 : 1) * (isDown ? -1 : 1);
  });
  return keyed.map(([, edge]) => edge);
}
function sortBy(key) {
  order.isDown = order.key === key ? !order.isDown : !TEXTS.includes(key);
  order.key = key;
  renderTable();
}
const side = (key) => (TEXTS.includes(key) ? null : "number");
function heading([key, label]) {
  const isSorted = order.key === key;
  const button = element("button", { type: "button", onclick: () => sortBy(key), "data-key": key }, label + (isSorted ? (order.isDown ? " ▾" : " ▴") : ""));
  return element("th", { scope: "col", class: side(key), "aria-sort": isSorted ? (order.isDown ? "descending" : "ascending") : "none" }, button);
}
// Buttons are not repeated on further pages.
const printedHeading = ([key, label]) => element("th", { scope: "col", class: side(key) }, label);
function cell(key, edge) {
  if (key === "cause") {
    return element("td", {}, element("button", { type: "button", class: "link", title: names[edges.cause[edge]].slice(0, 3000) }, element("bdi", {}, shortened(names[edges.cause[edge]], 200))));
  }
  if (key === "effect") return element("td", { title: names[edges.effect[edge]].slice(0, 3000) }, element("bdi", {}, shortened(names[edges.effect[edge]], 200)));
  if (key === "direction") return element("td", {}, badge(edge, true));
  return element("td", { class: side(key) }, shownValue(key, value(key, edge)));
}
function row(edge) {
  const kinds = [edge === view.edge ? "chosen" : "", isWeak(edge) ? "weak" : ""].join(" ").trim();
  const made = element("tr", { class: kinds || null, "data-edge": edge }, ...columns().map(([key]) => cell(key, edge)));
  made.addEventListener("click", () => {
    chooseFrom(`#edges tr[data-edge="${edge}"] button`, edge);
    if (byId("graph-section").getBoundingClientRect().bottom < 150) reach("graph-section");
  });
  return made;
}
function renderTable() {
  const table = byId("edges"), found = sorted(listed()), focused = document.activeElement && document.activeElement.dataset.key;
  fillTable(found.slice(0, rows));
  byId("more").hidden = found.length <= rows;
  byId("table-note").textContent = `${Math.min(rows, found.length).toLocaleString("en-US")} of ${counted(found.length, "edge")} listed, as the fields above say.`;
  if (focused) table.tHead.querySelector(`[data-key="${focused}"]`).focus();
}
function fillTable(found, made = heading) {
  const table = byId("edges");
  table.tHead.replaceChildren(element("tr", {}, ...columns().map(made)));
  table.tBodies[0].replaceChildren(...found.map(row));
}
function markRow() {
  for (const each of byId("edges").tBodies[0].rows) each.classList.toggle("chosen", Number(each.dataset.edge) === view.edge);
}

// Pairs that counting ranks high and that are no edge

function renderLeftOut() {
  const found = graph.left_out || [];
  byId("left-out").hidden = !found.length;
  const rows = found.map(({ cause, effect, onset, rank }) => element("tr", {}, element("td", {}, nameOf(cause, "inline-name")), element("td", {}, nameOf(effect, "inline-name")),
    element("td", { class: "number" }, number(onset)), element("td", { class: "number" }, number(rank))));
  const heads = ["cause", "effect", "onsets (S)", "rank by S"].map((label, index) => element("th", { scope: "col", class: index > 1 ? "number" : null }, label));
  replace("counted-pairs", element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows));
}
function startTable() {
  byId("more").addEventListener("click", () => {
    rows += 5 * ROWS;
    renderTable();
  });
  byId("show-left-out").addEventListener("click", (event) => {
    const isShown = byId("left-out-table").hidden;
    byId("left-out-table").hidden = !isShown;
    event.target.setAttribute("aria-expanded", String(isShown));
  });
}

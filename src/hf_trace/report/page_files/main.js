// The parts around the graph, and what happens when a field changes.

function startHeader() {
  document.title = data.title;
  byId("title").textContent = data.title;
  const level = { instance: "one sequence", summary: "event types of one sequence", population: "event types over all sequences" };
  byId("subtitle").textContent = `${level[data.level]}: ${counted(data.types, "event type")}, ${counted(data.found, "edge")}`;
  if (data.oracle.warning) {
    byId("warning").textContent = data.oracle.warning;
    byId("warning").hidden = false;
  }
  replace("log", ...data.log.map((each) => element("div", {}, element("dt", {}, each.label), element("dd", {}, each.value, each.note ? element("small", {}, each.note) : null))));
  replace("oracle", element("h2", {}, "Model: loss on events it had not seen (nats per event, lower is better)"), ...oracleBars());
}
function oracleBars() {
  const { loss, additive, bigram, unigram, events } = data.oracle;
  const found = [["this model", loss, "own"], ["past events and how long ago", additive], ["the event before", bigram], ["frequencies", unigram]].filter(([, amount]) => typeof amount === "number");
  if (!found.length) return [element("p", {}, "Not recorded: how well the model predicts is unknown, so judge the edges with care.")];
  const most = Math.max(...found.map(([, amount]) => amount));
  return [
    ...found.map(([label, amount, kind]) => {
      const bar = element("i");
      bar.style.width = (100 * amount) / most + "%";
      return element("div", { class: "bar " + (kind || "") }, element("span", {}, label), bar, element("span", {}, amount.toFixed(3)));
    }),
    typeof events === "number" ? element("span", { class: "note" }, `on ${counted(events, "event")}`) : null,
  ];
}
function startWords() {
  replace("assumptions", ...data.assumptions.map((each) => element("div", {}, element("dt", {}, each.title), element("dd", {}, each.text))));
  replace("not-tested", ...data.not_tested.map((each) => element("li", {}, each)));
  const settings = Object.entries(data.metadata.settings || {}).filter(([, found]) => found !== null);
  replace("settings", ...settings.map(([key, found]) => element("div", {}, element("dt", {}, key),
    element("dd", {}, visible(typeof found === "object" ? JSON.stringify(found) : String(found))))));
  byId("command").textContent = data.command;
  byId("command").hidden = !data.command;
}
function startLegend() {
  const kinds = new Set(edges.direction || []);
  const entries = [["excites", "→ excites"], ["inhibits", "⊣ inhibits"]].filter(([kind]) => kinds.has(kind));
  const width = view.measure === null ? null : element("span", {}, `width: ${MEASURES.find(([key]) => key === view.measure)[1]}`);
  replace("legend", ...entries.map(([kind, label]) => element("span", { class: "badge " + kind }, label)), width);
}

function applySlider() {
  const found = steps(view.measure);
  view.bound = found[Math.min(Number(byId("slider").value), found.length - 1)];
  renderBound();
}
function renderBound() {
  byId("bound").textContent = view.bound === -Infinity ? "all" : shownValue(view.measure, view.bound) + (view.measure === "cmi" ? ` ${UNIT}` : "");
}
function setMeasure(key) {
  view.measure = key;
  const found = steps(key), slider = byId("slider");
  view.bound = firstBound(key);
  slider.max = String(found.length - 1);
  slider.value = String(found.indexOf(view.bound));
  renderBound();
  startLegend();
}
function renderStatus() {
  const shown = drawn(), matching = listed().length;
  const hidden = shown.filter((edge) => !places[edges.cause[edge]] || !places[edges.effect[edge]]).length;
  const parts = [`${shown.length.toLocaleString("en-US")} of ${counted(edgeCount, "edge")} shown`];
  if (view.matches !== null) parts.push(`${counted(view.matches.size, "event type")} found, ${counted(matching, "edge")} at them`);
  if (hidden) parts.push(`${counted(hidden, "edge")} between rarely joined types in the table only`);
  if (data.found > edgeCount) parts.push(`the strongest of ${data.found.toLocaleString("en-US")} found`);
  byId("status").textContent = parts.join("; ") + ".";
}
function startControls() {
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("timeline-controls").addEventListener("submit", (event) => event.preventDefault());
  replace("measure", ...MEASURES.map(([key, label]) => element("option", { value: key }, label)));
  byId("measure").parentElement.hidden = MEASURES.length < 2;
  byId("slider").parentElement.hidden = view.measure === null;
  byId("direction").parentElement.hidden = !edges.direction;
  byId("measure").addEventListener("change", (event) => {
    setMeasure(event.target.value);
    sortByMeasure();
    changed("filter");
  });
  byId("slider").addEventListener("input", () => {
    applySlider();
    changed("filter");
  });
  byId("direction").addEventListener("change", (event) => {
    view.direction = event.target.value;
    changed("filter");
  });
  byId("search").addEventListener("input", (event) => {
    view.matches = searched(event.target.value);
    view.edge = view.node = null;
    changed("filter");
  });
  byId("search").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && view.matches !== null && view.matches.size) choose(null, Array.from(view.matches)[0]);
  });
}
function sortByMeasure() {
  if (COLUMNS.some(([key]) => key === view.measure)) Object.assign(order, { key: view.measure, isDown: true });
}

let tableTimer = 0;
onChange((what) => {
  renderEvidence();
  renderStatus();
  markRow();
  if (what !== "filter") return;
  // Rows follow when the slider rests.
  clearTimeout(tableTimer);
  tableTimer = setTimeout(renderTable, 60);
});
startHeader();
startWords();
startControls();
startGraph();
setMeasure(view.measure);
startTable();
startExports();
paint();
renderTable();
renderEvidence();
renderStatus();
startTimeline();
document.documentElement.dataset.ready = String(Math.round(performance.now()));

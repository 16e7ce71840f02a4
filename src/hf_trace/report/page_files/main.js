// The parts around the graph, and what happens when a field changes.

function startHeader() {
  document.title = [data.title, data.headline].filter(Boolean).join(". ");
  byId("title").textContent = data.title;
  byId("headline").textContent = data.headline || "";
  if (data.oracle.warning) {
    byId("warning").textContent = data.oracle.warning;
    byId("warning").hidden = false;
  }
  replace("log", ...data.log.map((each) => element("div", {}, element("dt", {}, each.label), element("dd", {}, each.value, each.note ? element("small", {}, each.note) : null))));
  byId("log").hidden = !data.log.length;
  replace("oracle", element("h2", {}, "Model: loss on events it had not seen (nats per event, lower is better)"), ...oracleBars());
  byId("command").textContent = data.command;
  byId("command").hidden = !data.command;
}
function oracleBars() {
  const { loss, additive, bigram, unigram, events } = data.oracle;
  const found = [["this model", loss, "own"], ["past events and how long ago", additive], ["the event before", bigram], ["frequencies", unigram]].filter(([, amount]) => typeof amount === "number");
  if (!found.length) return [element("p", {}, "Not recorded: how well the model predicts is unknown, so judge the edges with care.")];
  const most = Math.max(...found.map(([, amount]) => amount));
  const rows = found.map(([label, amount, kind]) => element("div", { class: "bar " + (kind || "") }, element("span", {}, label), bar(amount / most), element("span", {}, amount.toFixed(3))));
  return typeof events === "number" ? [...rows, element("span", { class: "note" }, `on ${counted(events, "event")}`)] : rows;
}

// What a question changes

function startQuestions() {
  byId("questions").hidden = graphs.length < 2;
  replace("questions", element("legend", {}, "Question"), ...graphs.map((part, at) => {
    const choice = element("input", { type: "radio", name: "question", value: at, checked: at === 0 });
    choice.addEventListener("change", () => switchTo(at));
    return element("label", {}, choice, element("span", {}, part.question || `graph ${at + 1}`), element("small", { class: "note" }, ` ${counted(part.edges.cause.length, "edge")}`));
  }));
}
// The chosen edge stays chosen where both graphs have it.
function switchTo(at) {
  const pair = view.edge === null ? null : [edges.cause[view.edge], edges.effect[view.edge]];
  openGraph(at);
  view.edge = pair === null ? null : findEdge(...pair) ?? null;
  startPart();
  changed("graph");
}
function startPart() {
  const level = { instance: "one sequence", summary: "event types of one sequence", population: "event types over all sequences" };
  byId("subtitle").textContent = `${level[graph.level]}: ${counted(data.types, "event type")}, ${counted(graph.found, "edge")}`;
  startFields();
  setMeasure(MEASURES.length ? MEASURES[0][0] : null);
  startWords();
  renderLeftOut();
}
function startWords() {
  replace("assumptions", ...graph.assumptions.map((each) => element("div", {}, element("dt", {}, each.title), element("dd", {}, each.text))));
  replace("not-tested", ...graph.not_tested.map((each) => element("li", {}, each)));
  const settings = Object.entries(graph.metadata.settings || {}).filter(([, found]) => found !== null);
  replace("settings", ...settings.map(([key, found]) => element("div", {}, element("dt", {}, key),
    element("dd", {}, visible(typeof found === "object" ? JSON.stringify(found) : String(found))))));
}
function renderLegend() {
  const has = (test) => all.some(test), swatch = (kind, label) => element("span", {}, element("i", { class: "swatch " + kind }), label);
  const kinds = new Set(edges.direction || []);
  const entries = [["excites", "→ excites"], ["inhibits", "⊣ inhibits"]].filter(([kind]) => kinds.has(kind));
  replace("legend", ...entries.map(([kind, label]) => element("span", { class: "badge " + kind }, label)),
    ...(view.measure === null ? [] : [element("span", {}, `width: ${MEASURES.find(([key]) => key === view.measure)[1]}`)]),
    ...(has((edge) => solidity(edge) < 1) ? [swatch("pale", edges.change ? "pale: unchanged, or few sequences" : "pale: few sequences")] : []),
    ...(has(isWeak) ? [swatch("dashed", `dashed: weak (fewer than ${FEW}, or within two errors)`)] : []),
    ...(has((edge) => value("place", edge) === "between") ? [swatch("long", "long dashes: between places")] : []),
    ...(has((edge) => value("change", edge) === "gone") ? [swatch("dotted", "dotted: gone")] : []));
}

// Fields

const SELECTS = {
  direction: [["", "either way"], ["excites", "excites"], ["inhibits", "inhibits"]],
  place: [["", "anywhere"], ["within", "within a place"], ["between", "between places"]],
  change: [["", "all"], ["any", "what changed"], ["new", "new"], ["gone", "gone"], ["stronger", "stronger"], ["weaker", "weaker"], ["same", "same"], ["untested", "untested"]],
};
function startFields() {
  replace("measure", ...MEASURES.map(([key, label]) => element("option", { value: key }, label)));
  byId("measure").parentElement.hidden = MEASURES.length < 2;
  byId("slider").parentElement.hidden = !MEASURES.length;
  for (const key of Object.keys(SELECTS)) {
    byId(key).parentElement.hidden = !edges[key];
    replace(key, ...SELECTS[key].filter(([found]) => !found || found === "any" || (edges[key] || []).includes(found) || (key === "place" && (edges[key] || []).includes("both")))
      .map(([found, label]) => element("option", { value: found }, label)));
    byId(key).value = view[key] = "";
  }
}
function applySlider() {
  const found = steps(view.measure);
  view.bound = found[Math.min(Number(byId("slider").value), found.length - 1)];
  renderBound();
}
function renderBound() {
  const words = view.bound === -Infinity ? "all" : shownValue(view.measure, view.bound) + (view.measure === "cmi" && UNIT.startsWith("nats") ? ` ${UNIT}` : "");
  byId("bound").textContent = words;
  byId("slider").setAttribute("aria-valuetext", `${view.bound === -Infinity ? words : "at least " + words}: ${counted(drawn().length, "edge")}`);
}
function setMeasure(key) {
  view.measure = key;
  setBound(firstBound(key));
  renderLegend();
  if (columns().some(([column]) => column === key)) Object.assign(order, { key, isDown: true });
}
function setBound(bound) {
  const found = steps(view.measure);
  view.bound = bound;
  byId("slider").max = String(found.length - 1);
  byId("slider").value = String(found.indexOf(bound));
  renderBound();
}
// Let an edge be seen that the fields hide.
function reveal(edge) {
  for (const key of Object.keys(SELECTS)) byId(key).value = view[key] = "";
  if (!isAbove(edge)) setBound(strength(view.measure, edge) > -Infinity ? strength(view.measure, edge) : -Infinity);
  changed("filter");
}
function renderStatus() {
  const shown = drawn(), matching = listed().length, alone = leftOut();
  const hidden = shown.filter((edge) => !places[edges.cause[edge]] || !places[edges.effect[edge]]).length;
  const parts = [`${shown.length.toLocaleString("en-US")} of ${counted(edgeCount, "edge")} shown`];
  const words = `“${shortened(view.words.trim(), 60)}”`;
  if (view.matches !== null) parts.push(view.matches.size ? `${counted(view.matches.size, "event type")} found, ${counted(matching, "edge")} at them` : `no event type has ${words} in its name`);
  if (hidden) parts.push(`${counted(hidden, "edge")} between rarely joined types in the table only`);
  if (graph.found > edgeCount) parts.push(`the strongest of ${graph.found.toLocaleString("en-US")} found`);
  if (alone && !view.alone) parts.push(`${counted(alone, "event type")} without a shown edge left out`);
  byId("status").textContent = parts.join("; ") + ".";
  byId("search").classList.toggle("missed", view.matches !== null && !view.matches.size);
  byId("alone").parentElement.hidden = !alone && !view.alone;
  renderBound();
}
function startControls() {
  for (const form of ["controls", "timeline-controls"]) byId(form).addEventListener("submit", (event) => event.preventDefault());
  for (const key of Object.keys(SELECTS)) {
    byId(key).addEventListener("change", (event) => {
      view[key] = event.target.value;
      changed("filter");
    });
  }
  byId("measure").addEventListener("change", (event) => {
    setMeasure(event.target.value);
    changed("filter");
  });
  byId("slider").addEventListener("input", () => {
    applySlider();
    changed("filter");
  });
  byId("alone").checked = view.alone;
  byId("alone").addEventListener("change", (event) => {
    view.alone = event.target.checked;
    changed("filter");
  });
  byId("search").addEventListener("input", (event) => {
    view.words = event.target.value;
    view.matches = searched(view.words);
    view.edge = view.node = null;
    changed("filter");
  });
  byId("search").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && view.matches !== null && view.matches.size) choose(null, Array.from(view.matches)[0]);
  });
  addEventListener("keydown", (event) => event.key === "Escape" && !event.defaultPrevented && (view.edge !== null || view.node !== null) && closeEvidence());
}

let tableTimer = 0;
function followFields() {
  onChange((what) => {
    renderEvidence();
    renderStatus();
    markRow();
    clearTimeout(tableTimer);
    if (what === "graph") renderTable();
    // Rows follow when the slider rests.
    else if (what === "filter") tableTimer = setTimeout(renderTable, 60);
  });
}
startHeader();
startControls();
startQuestions();
startFindings();
startGraph();
followFields();
startPart();
startTable();
startExports();
startPrinting();
paint();
renderTable();
renderEvidence();
renderStatus();
startTimeline();
document.documentElement.dataset.ready = String(Math.round(performance.now()));

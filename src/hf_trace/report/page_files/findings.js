// What was found in words, above everything else, where somebody has put it into words.

const findings = data.findings || null;
const question = (part) => (part.question || "").split(":")[0];
const ofQuestion = () => (findings && findings.questions && findings.questions[question(graph)]) || [];

function startFindings() {
  byId("findings-section").hidden = byId("next-section").hidden = findings === null;
  if (findings === null) return;
  replace("summary", ...(findings.summary || []).map((each) => element("p", {}, visible(each))));
  // What was assumed stands in a section of its own, on every page.
  for (const key of ["next", "chosen"]) {
    const said = findings[key] || [];
    byId(key).parentElement.hidden = !said.length;
    replace(key, ...said.map((each) => element("li", {}, visible(each))));
  }
  renderFindings();
  onChange((what) => what === "graph" ? renderFindings() : markFinding());
}
function renderFindings() {
  const found = ofQuestion(), weak = found.filter((each) => each.weak).length;
  byId("findings").parentElement.hidden = !found.length;
  byId("findings-title").textContent = graphs.length > 1 ? `The strongest, as asked: ${question(graph)}` : "The strongest";
  byId("findings-note").textContent = weak ? `${weak} of ${found.length} are weak: little speaks for them, so they are faint.` : "";
  replace("findings", ...found.map(finding));
  markFinding();
}
function finding(each, index) {
  const edge = edgeOf(each.cause, each.effect);
  const show = () => {
    chooseFrom(`#findings li:nth-child(${index + 1}) button`, edge);
    reach("graph-section");
  };
  const ends = edge === undefined ? null : element("button", { type: "button", class: "link", onclick: show }, ...listName(edge, "both"));
  const marks = [each.weak ? "weak" : "", each.kind].filter(Boolean).map((mark) => element("span", { class: "mark" }, mark));
  return element("li", { class: each.weak ? "weak" : null, "data-edge": edge }, ends, " ", ...marks, element("span", {}, visible(each.text)), each.caution ? element("small", {}, "Caution: " + visible(each.caution)) : null);
}
function markFinding() {
  for (const each of byId("findings").children) each.classList.toggle("chosen", view.edge !== null && Number(each.dataset.edge) === view.edge);
}
// The sentence of an edge, for its evidence.
function said(edge) {
  const found = ofQuestion().find((each) => edgeOf(each.cause, each.effect) === edge);
  if (!found) return [];
  return [element("p", {}, visible(found.text)), ...(found.caution ? [element("p", { class: "note" }, "Caution: " + visible(found.caution))] : [])];
}

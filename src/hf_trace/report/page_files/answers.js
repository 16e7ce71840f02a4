// What if an event of an incident had not been, and which events are suspected: worked out before, shown here.

const MOST_ANSWERS = 5;
const answered = (incident) => (incident.what_if && incident.what_if.removed) || {};
const eventWords = (incident, position) => `${shortened(names[incident.events[position]], 60)} (${incident.start + position})`;

function startAnswers() {
  byId("removed").addEventListener("change", (event) => chooseEvent(Number(event.target.value)));
}
function renderAnswers() {
  const incident = incidents[shownIncident.index], found = answered(incident);
  const positions = Object.keys(found).map(Number).sort((a, b) => a - b);
  byId("what-if").hidden = !positions.length;
  if (!positions.length) return;
  const first = positions.reduce((best, position) => (largest(found[position]) > largest(found[best]) ? position : best));
  const at = shownIncident.at === null ? first : shownIncident.at;
  const choices = positions.includes(at) ? positions : [...positions, at].sort((a, b) => a - b);
  const changes = (position) => ((found[position] || []).length ? `: ${counted(found[position].length, "change")}` : "");
  replace("removed", ...choices.map((position) => element("option", { value: position }, eventWords(incident, position) + changes(position))));
  byId("removed").value = String(at);
  const nothing = found[at] ? "Without it, no later event becomes clearly more or less likely." : "The model was not asked about this event.";
  replace("answers", ...(changes(at) ? found[at].slice(0, MOST_ANSWERS).map((answer) => changeOf(incident, at, answer)) : [element("p", { class: "note" }, nothing)]));
}
const largest = (answers) => Math.max(0, ...answers.map(([, before, after]) => Math.abs(after - before)));
function changeOf(incident, removed, [effect, before, after]) {
  const sentence = element("p", {}, "Without ", element("em", {}, eventWords(incident, removed)), ", ", element("em", {}, eventWords(incident, effect)),
    ` would have had ${chance(after)} instead of ${chance(before)}.`);
  const line = (label, share) => [element("span", {}, label), bar(Math.min(1, share)), element("span", {}, chance(share))];
  return element("div", { class: "answer" }, sentence, element("div", { class: "histogram " + (after < before ? "excites" : "inhibits") }, ...line("as it was", before), ...line("without it", after)));
}

function renderRanking() {
  const incident = incidents[shownIncident.index], found = incident.ranking || [];
  byId("ranking").hidden = !found.length;
  if (found.length) replace("ranked", "of ", element("em", {}, eventWords(incident, incident.ranked)));
  const most = Math.max(...found.map(({ score }) => Math.abs(score)), 1e-12);
  replace("ranks", ...found.map(({ cause, score, sentence }) => element("li", {},
    element("strong", {}, element("bdi", {}, visible(cause))), ` ${number(score)}`, element("div", { class: "interval" }, bar(Math.abs(score) / most)),
    sentence ? element("span", { class: "note" }, visible(sentence)) : null)));
}

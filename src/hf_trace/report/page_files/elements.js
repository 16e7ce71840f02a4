// Making parts of the page. Text enters as text only.

const byId = (id) => document.getElementById(id);
const SVG = byId("timeline").namespaceURI;

function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}
function svgElement(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}
function filled(made, attributes, children) {
  for (const [key, found] of Object.entries(attributes)) {
    if (key === "onclick") made.addEventListener("click", found);
    else if (found !== null && found !== undefined && found !== false) made.setAttribute(key, found === true ? "" : String(found));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}
const replace = (id, ...children) => byId(id).replaceChildren(...children);

// Bring a part of the page into sight.
const reach = (id) => byId(id).scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth", block: "start" });

// A name that may be long: cut by the page, whole in its title.
const nameOf = (index, kind = "name") => element("bdi", { class: kind, title: names[index].slice(0, 3000) }, visible(names[index]));
function fact(label, ...found) {
  return [element("dt", {}, label), element("dd", {}, ...found)];
}
function bars(counts, labels, direction) {
  const most = Math.max(...counts);
  const rows = counts.flatMap((count, index) => (count ? [element("span", {}, labels[index]), bar(count / most), element("span", {}, number(count))] : []));
  return element("div", { class: "histogram " + (direction || "") }, ...rows);
}
function bar(share) {
  const made = element("i");
  made.style.width = 100 * share + "%";
  return made;
}
// A range and a point in it, as shares of the width.
function rangeBar(low, point, high, words) {
  const range = element("i"), middle = element("b");
  range.style.left = 100 * low + "%";
  range.style.width = 100 * (high - low) + "%";
  middle.style.left = `calc(${100 * point}% - 1px)`;
  return element("div", { class: "interval", role: "img", "aria-label": words }, range, middle);
}

// How an edge acts: by sign, word and colour.
const sign = (edge) => (value("undirected", edge) ? "—" : value("direction", edge) === "inhibits" ? "⊣" : "→");
function badge(edge, withSign = false) {
  const direction = value("direction", edge);
  return direction ? element("span", { class: "badge " + direction }, (withSign ? sign(edge) + " " : "") + direction) : null;
}

// A note that follows the pointer
function tip(event, ...children) {
  const box = byId("tip");
  if (!children.length) {
    box.hidden = true;
    return;
  }
  box.replaceChildren(...children);
  box.hidden = false;
  const left = event.clientX + 14, top = event.clientY + 16;
  box.style.left = Math.max(4, Math.min(left, innerWidth - box.offsetWidth - 8)) + "px";
  box.style.top = (top + box.offsetHeight > innerHeight - 8 ? Math.max(4, event.clientY - box.offsetHeight - 12) : top) + "px";
}
const edgeWords = (edge) => [
  nameOf(edges.cause[edge]), badge(edge) || sign(edge), nameOf(edges.effect[edge]),
  element("span", {}, [
    value("cmi", edge) !== null ? `${number(value("cmi", edge))} ${UNIT}` : "",
    value("frequency", edge) !== null ? `in ${percent(value("frequency", edge))} of ${counted(value("support", edge) || 0, "sequence")}` : "",
    isWeak(edge) ? `seen ${seen(edge)} times only` : "",
  ].filter(Boolean).join(", ")),
];

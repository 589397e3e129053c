// Small curves of what goes on, tick by tick: on the live page and below the report's films.
const WIDTH = 300, HEIGHT = 40, ROOM = 3;
const SVG = Object.assign(document.createElement("div"), { innerHTML: "<svg></svg>" }).firstChild.namespaceURI;

// An empty drawing; `name` is read out for who can't see it.
export function curve(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", name);
  svg.classList.add("curve");
  return svg;
}

// Draw points [x, y] (y may be null: a gap) between the places `from` and `to`; `marks` [x, text] are lines across.
export function draw(svg, points, { from, to, low, high, marks = [] }) {
  const values = points.map((point) => point[1]).filter((value) => value !== null);
  const least = Math.min(low ?? Infinity, ...values), most = Math.max(high ?? -Infinity, ...values);
  const across = (x) => (WIDTH * (x - from)) / Math.max(to - from, 1);
  const up = (y) => HEIGHT - ROOM - ((HEIGHT - 2 * ROOM) * (y - least)) / (most - least || 1);
  let path = "", pen = "M";
  for (const [x, y] of points) {
    if (y === null) { pen = "M"; continue; }
    path += `${pen}${across(x).toFixed(1)} ${up(y).toFixed(1)}`;
    pen = "L";
  }
  svg.replaceChildren(
    ...marks.filter(([x]) => x >= from && x <= to).map(([x, text]) => line(across(x), "mark", text)),
    shape("path", { d: path || "M0 0", class: "values", fill: "none", "vector-effect": "non-scaling-stroke" }));
  return values.length ? [least, most] : null;
}

// Move the line that says where one is; null takes it away.
export function cursor(svg, x, { from, to }) {
  svg.querySelector(".cursor")?.remove();
  if (x !== null) svg.append(line((WIDTH * (x - from)) / Math.max(to - from, 1), "cursor", ""));
}

function line(x, kind, text) {
  const made = shape("path", { d: `M${x.toFixed(1)} 0V${HEIGHT}`, class: kind, "vector-effect": "non-scaling-stroke" });
  if (text) made.append(Object.assign(document.createElementNS(SVG, "title"), { textContent: text }));
  return made;
}
function shape(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

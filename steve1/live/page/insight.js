// What the agent is about, beside the picture of the live page: steve1/live/insight.py says what the messages hold.
import { curve, draw } from "./curves.js";

const SPAN = 1200; // ticks of the curves: a minute
const MOUSE = { attack: "L", use: "R" };
const KEYS = {
  drop: "Q", forward: "W", inventory: "E", left: "A", back: "S", right: "D", sneak: "shift", sprint: "ctrl",
  jump: "space", ...MOUSE,
  ...Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`hotbar.${i + 1}`, String(i + 1)])),
};

export function start(page) {
  const { element } = page, mount = page.mounts.insight;
  const make = (kind, ...inside) => {
    const made = element("div", "", kind);
    made.append(...inside);
    return made;
  };
  const panel = document.createElement("details"), warning = element("p", "", "far");
  panel.id = "look";
  panel.open = innerWidth > 900;

  // ---- what is pressed, and whither the camera turns ----
  const caps = Object.fromEntries(Object.entries(KEYS).map(([name, label]) => {
    const cap = element("span", label, `cap ${name.replace(".", "_")}`);
    cap.title = name;
    return [name, cap];
  }));
  const dial = document.createElement("canvas");
  dial.width = dial.height = 96;
  dial.className = "dial";
  dial.setAttribute("aria-label", "camera");
  const degrees = element("div", "", "dim degrees");
  const by = element("div", "", "dim");

  // ---- the likeliest actions ----
  const likely = { with_goal: make("likely"), without_goal: make("likely") }, moved = element("p", "", "dim moved");
  const lists = make("lists", make("", element("h3", "With the goal"), likely.with_goal),
    make("", element("h3", "Without it"), likely.without_goal));

  // ---- curves and strip ----
  const curves = {};
  const charts = make("curves");
  for (const [name, label] of [["pitch", "pitch"], ["value", "hits"], ["score", "MineCLIP score"]]) {
    curves[name] = { svg: curve(label), label: element("span", label), range: element("span", "", "dim"), points: [] };
    charts.append(make("", make("head", curves[name].label, curves[name].range), curves[name].svg));
  }
  const strip = make("strip"), stripHead = element("h3", "Nearest moments of training");
  let marks = [], measure = "", newest = null;

  panel.append(element("summary", "Look into it"), make("action", make("caps", ...Object.values(caps)),
    make("", dial, degrees)), by, lists, moved, charts, stripHead, strip);
  mount.append(panel, warning);
  mount.hidden = false;
  stripHead.hidden = warning.hidden = true;

  const ask = () => page.send({ type: "look", on: panel.open });
  panel.addEventListener("toggle", ask);
  page.on("open", ask);
  page.on("status", (status) => { if (status.look && panel.open) show(status.look); });
  page.on("curves", (message) => {
    curves.pitch.points = message.points.map(([tick, pitch]) => [tick, pitch]);
    curves.value.points = message.points.map(([tick, , value]) => [tick, value]);
    curves.score.points = message.scores;
    marks = message.marks;
    drawCurves();
  });
  page.on("strip", showStrip);

  function show(look) {
    for (const [name, cap] of Object.entries(caps)) cap.classList.toggle("down", look.keys.includes(name));
    drawDial(look);
    by.textContent = look.insight ? "" : "A person plays.";
    lists.hidden = moved.hidden = !look.insight;
    if (look.insight) showInsight(look.insight);
    if (look.point && look.point[0] !== newest) {
      newest = look.point[0];
      addPoints(look);
      drawCurves();
    }
  }
  function showInsight({ with_goal, without_goal, moved: by_guidance, moved_by_goal }) {
    list(likely.with_goal, with_goal);
    list(likely.without_goal, without_goal || []);
    const share = (found) => `keys ${percent(found.buttons)}, camera ${percent(found.camera)}`;
    moved.textContent = by_guidance
      ? `Guidance moved ${share(by_guidance)}; the goal alone ${share(moved_by_goal)}.` : "No guidance: one half only.";
  }
  function list(into, actions) {
    into.replaceChildren(...actions.map(([label, p]) => {
      const row = make("row", element("span", label), element("b", percent(p))), bar = element("i", "");
      bar.style.width = `${100 * p}%`;
      row.title = label;
      row.prepend(bar);
      return row;
    }));
  }
  function addPoints({ point: [tick, pitch, value], score, mark, measure: [name, unit] = ["hits", ""] }) {
    if (name !== measure) {
      measure = name;
      curves.value.label.textContent = `${name} (${unit})`;
      curves.value.points = [];
    }
    if (mark && !marks.some(([at]) => at === mark[0])) marks.push(mark);
    curves.pitch.points.push([tick, pitch]);
    curves.value.points.push([tick, value]);
    const scores = curves.score.points;
    if (score && (!scores.length || scores.at(-1)[0] !== score[0])) scores.push(score);
  }
  function drawCurves() {
    const to = Math.max(0, ...Object.values(curves).map((one) => one.points.at(-1)?.[0] ?? 0)), from = Math.max(0, to - SPAN);
    for (const [name, one] of Object.entries(curves)) {
      one.points = one.points.filter(([tick]) => tick >= from);
      const bounds = name === "pitch" ? { low: -90, high: 90 } : name === "value" ? { low: 0 } : {};
      // Pitch is positive downwards, and so it is drawn.
      const shown = name === "pitch" ? one.points.map(([x, y]) => [x, y === null ? null : -y]) : one.points;
      draw(one.svg, shown, { from, to, marks, ...bounds });
      const last = one.points.at(-1)?.[1];
      one.range.textContent = last === undefined || last === null ? "–" : `${Number(last.toFixed(name === "pitch" ? 1 : 3))}`;
    }
  }
  function drawDial({ camera: [pitch, yaw], arrow: [down, right] }) {
    const pen = dial.getContext("2d"), middle = dial.width / 2, radius = middle - 4, style = getComputedStyle(dial);
    const [x, y] = [middle + radius * right, middle + radius * down];
    pen.clearRect(0, 0, dial.width, dial.height);
    pen.strokeStyle = style.getPropertyValue("--line");
    pen.lineWidth = 1;
    pen.beginPath();
    pen.arc(middle, middle, radius, 0, 7);
    pen.stroke();
    pen.strokeStyle = pen.fillStyle = style.getPropertyValue("--accent");
    pen.lineWidth = 3;
    pen.beginPath();
    pen.moveTo(middle, middle);
    pen.lineTo(x, y);
    pen.stroke();
    pen.beginPath();
    pen.arc(x, y, 4, 0, 7);
    pen.fill();
    degrees.textContent = [turn(pitch, "up", "down"), turn(yaw, "left", "right")].filter(Boolean).join(" ") || "still";
  }
  function turn(angle, less, more) {
    return angle ? `${Math.abs(angle).toFixed(1)}° ${angle < 0 ? less : more}` : "";
  }
  function showStrip({ prompt, moments, warning: text }) {
    strip.replaceChildren(...moments.map((moment) => {
      const picture = document.createElement("img"), what = `${moment.episode}, frame ${moment.frame}`;
      picture.src = `data:image/jpeg;base64,${moment.jpeg}`;
      picture.alt = picture.title = what;
      return make("", picture, element("div", moment.cosine.toFixed(3), "dim"), element("div", what, "dim where"));
    }));
    stripHead.hidden = !moments.length;
    warning.textContent = text ? `“${prompt}”: ${text}` : "";
    warning.hidden = !text;
  }
  function percent(p) {
    return `${(100 * p).toFixed(p < 0.1 ? 1 : 0)} %`;
  }
}

// The live page: the socket, the picture, the prompt and the buttons. hands.js and insight.js are handed `page`.
import { start as startHands } from "./hands.js";
import { start as startInsight } from "./insight.js";

const $ = (id) => document.getElementById(id);
const canvas = $("screen"), pen = canvas.getContext("2d");
const token = new URLSearchParams(location.search).get("token") || "";
const texts = new Map(); // prompts that were sent and not answered yet, by their id
let socket = null, status = null, news = { prompts: [], films: [] }, recalled = null, refusal = 0, asked = 0, tries = 0;
let sliding = false; // while the slider is held, what the server says does not move it

function connected() { return socket !== null && socket.readyState === WebSocket.OPEN; }
function send(message) {
  if (connected()) socket.send(JSON.stringify(message));
}
function url(path) { return `${path}?token=${encodeURIComponent(token)}`; }

// ---- what the other modules are given ----
const handlers = {
  status: [showStatus], news: [showNews], taken: [taken], overtaken: [overtaken], refused: [refused],
};
const page = {
  state: {}, // the newest message of each type: page.state.status, page.state.news, ...
  canvas, // what is shown; the picture that belongs to the newest status is drawn a moment after it
  keysToGame: false, // while true the shortcuts below keep still: the keys are the game's
  mounts: { hands: $("hands"), insight: $("insight"), overlay: $("overlay") }, // hidden until somebody shows them
  send, // (message): to the server; lost where it is not connected
  url, // (path): the address of something else that the server has, such as url("films/NAME.mp4")
  on: (type, handler) => (handlers[type] ||= []).push(handler), // also "open" and "closed", of the socket
  refuse: showRefusal, // (text): say for some seconds why something can't be done
  element, clock,
};
function tell(message) {
  page.state[message.type] = message;
  for (const handler of handlers[message.type] || []) handler(message);
}

function element(tag, text, kind) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}
function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

// ---- what comes from the server ----
function connect() {
  const from = new URL(url("live"), location.href);
  from.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(from);
  socket.binaryType = "blob";
  socket.onmessage = (event) => {
    if (typeof event.data !== "string") { draw(event.data); return; }
    tell(JSON.parse(event.data));
  };
  socket.onopen = () => {
    tries = 0;
    tell({ type: "open" });
  };
  socket.onclose = (event) => {
    tell({ type: "closed" });
    keepPrompt();
    status = null;
    veil(event.code === 1001 ? "The session has ended. What you typed is kept; trying to reach it again …"
      : "The server is gone. What you typed is kept; trying to reach it again …", "gone");
    $("phase").textContent = "not connected";
    tries += 1;
    setTimeout(again, Math.min(500 * tries, 5000));
  };
}
async function again() {
  // A socket that fails does not say why; a page does.
  const answer = await fetch(url("./"), { method: "HEAD", cache: "no-store" }).catch(() => null);
  if (answer !== null && answer.ok) { connect(); return; }
  if (answer !== null && answer.status === 403)
    veil("Another session is here now, with a link of its own: open the one that it printed. What you typed is kept.", "gone");
  tries += 1;
  setTimeout(again, Math.min(500 * tries, 5000));
}
function veil(text, kind) {
  $("veil").textContent = text;
  $("veil").hidden = !text;
  $("veil").className = `veil ${kind}`;
}
function keepPrompt() {
  // What was sent and never answered goes back to where it was typed, unless something else is there by now.
  const lost = [...texts.values()].pop();
  texts.clear();
  if (lost && !$("text").value) $("text").value = lost;
}
function taken(message) {
  texts.delete(message.id);
}
function overtaken(message) {
  if (message.what === "prompt") showRefusal("An earlier prompt was overtaken by a newer one before it could be acted on.");
}
function refused(message) {
  const text = texts.get(message.id);
  texts.delete(message.id);
  if (text && !$("text").value) $("text").value = text;
  if (status) showValues(status);
  showRefusal(message.text);
}
async function draw(blob) {
  try {
    const picture = await createImageBitmap(blob);
    if (canvas.width !== picture.width || canvas.height !== picture.height) {
      canvas.width = picture.width;
      canvas.height = picture.height;
    }
    pen.drawImage(picture, 0, 0);
    picture.close();
  } finally {
    send({ type: "shown" });
  }
}
const VEILS = {
  starting: "The world is being made …", paused: "Paused", failed: "The world has stopped", waiting: "", playing: "",
};
function showStatus(now) {
  const before = status;
  status = now;
  veil(VEILS[now.phase], now.phase);
  if (!refusal) showProblem(now.problem);
  $("pause").firstChild.textContent = now.phase === "paused" ? "Resume" : "Pause";
  $("save").disabled = now.filmed === 0;
  if (!before || before.prompt !== now.prompt || before.waiting !== now.waiting) {
    const lines = [element("span", now.prompt ? "Now: " : "No goal yet: the agent does as it likes", "dim"),
      element("span", now.prompt)];
    if (now.waiting !== null) lines.push(element("div", `Next: ${now.waiting || "no goal"}`, "dim"));
    $("now").replaceChildren(...lines);
    markCurrent();
  }
  const remarks = now.prompt ? now.remarks.join(". ") : "";
  if ($("remarks").textContent !== remarks) $("remarks").textContent = remarks;
  $("remarks").hidden = !remarks;
  showValues(now, before);
  const facts = {
    phase: now.phase, fps: now.fps.toFixed(1), step: now.step, guidance: now.cond_scale || "off", in_seed: now.seed,
    world: now.world || "…", filmed: clock(now.filmed / 20),
  };
  for (const [name, value] of Object.entries(facts)) $(name).textContent = value;
}
function showValues(now, before = null) {
  // Only what changed, so that what somebody is typing into the other field stays.
  if (!sliding && (!before || before.cond_scale !== now.cond_scale))
    $("scale").value = $("scale_slider").value = now.cond_scale;
  if (!before || before.seed !== now.seed) $("seed").value = now.seed;
}
function showProblem(text) {
  $("problem").textContent = text;
  $("problem").hidden = !text;
}
function showRefusal(text) {
  clearTimeout(refusal);
  showProblem(text);
  refusal = setTimeout(() => { refusal = 0; showProblem(status ? status.problem : ""); }, 6000);
}
function showNews(message) {
  news = message;
  recalled = null;
  $("prompts").replaceChildren(...news.prompts.slice().reverse().map((asked) => {
    const row = document.createElement("li");
    const again = element("button", asked.prompt || "no goal");
    again.title = "Send it again";
    again.onclick = () => ask(asked.prompt);
    const facts = [clock(asked.seconds)];
    if (asked.step !== null) facts.push(`step ${asked.step}`);
    if (asked.latency_ms !== null) facts.push(`acted on after ${asked.latency_ms} ms`);
    row.append(again, element("div", facts.join(" · "), "dim"),
      ...asked.remarks.map((remark) => element("div", remark, "remark")));
    return row;
  }));
  if (!news.prompts.length) $("prompts").append(element("li", "What you ask is listed here.", "dim"));
  markCurrent();
  $("films").replaceChildren(...news.films.slice().reverse().map((film) => {
    const row = document.createElement("li"), links = document.createElement("div");
    const watch = element("a", film.name);
    watch.href = url(film.video);
    watch.target = "_blank";
    const video = element("a", "video"), prompts = element("a", "prompts");
    video.href = url(film.video);
    prompts.href = url(film.json);
    video.download = prompts.download = "";
    links.append(element("span", `${clock(film.seconds)} · download `), video, " ", prompts);
    links.className = "dim";
    row.append(watch, links);
    return row;
  }));
  if (!news.films.length) $("films").append(element("li", "Saved films are listed here.", "dim"));
}
function markCurrent() {
  const newest = $("prompts").querySelector("button");
  if (newest) newest.className = status && newest.textContent === (status.prompt || "no goal") ? "current" : "";
}

// ---- what the user does ----
function ask(text) {
  if (!connected()) { showRefusal("Not connected: the prompt is kept until the server is back."); return false; }
  asked += 1;
  texts.set(asked, text);
  send({ type: "prompt", text, id: asked });
  return true;
}
const act = {
  pause: () => send({ type: "pause", paused: !(status && status.phase === "paused") }),
  reset_agent: () => send({ type: "reset_agent" }),
  reset_world: () => send({ type: "reset_world" }),
  new_world: () => send({ type: "reset_world", seed: status ? (status.seed + 1) % 2 ** 31 : 0 }),
  save: () => send({ type: "save" }),
};
for (const name of Object.keys(act)) $(name).onclick = act[name];
$("ask").onsubmit = (event) => {
  event.preventDefault();
  if (!ask($("text").value)) return;
  $("text").value = "";
  recalled = null;
};
$("go_seed").onsubmit = (event) => {
  event.preventDefault();
  if ($("seed").value !== "") send({ type: "reset_world", seed: Number($("seed").value) });
  else if (status) $("seed").value = status.seed;
};
$("scale_slider").oninput = () => {
  sliding = true;
  $("scale").value = $("scale_slider").value;
  send({ type: "cond_scale", value: Number($("scale_slider").value) });
};
$("scale_slider").onchange = () => { sliding = false; };
$("scale").onchange = () => {
  if ($("scale").value !== "") send({ type: "cond_scale", value: Number($("scale").value) });
  else if (status) $("scale").value = status.cond_scale;
};
$("text").onkeydown = (event) => {
  if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
  const texts = news.prompts.map((asked) => asked.prompt).filter((text) => text);
  if (!texts.length) return;
  event.preventDefault();
  recalled = (recalled === null ? texts.length : recalled) + (event.key === "ArrowUp" ? -1 : 1);
  recalled = Math.max(0, Math.min(texts.length, recalled));
  $("text").value = recalled < texts.length ? texts[recalled] : "";
};
const KEYS = { KeyP: "pause", KeyA: "reset_agent", KeyR: "reset_world", KeyN: "new_world", KeyS: "save" };
document.addEventListener("keydown", (event) => {
  if (page.keysToGame) return;
  const typing = event.target instanceof HTMLInputElement && event.target.type !== "range";
  if (event.key === "Escape" && typing) { event.target.blur(); return; }
  if (event.ctrlKey || event.metaKey || event.repeat || (typing && !event.altKey)) return;
  if (event.code in KEYS) {
    event.preventDefault();
    $(KEYS[event.code]).click();
  } else if (event.key === "/") {
    event.preventDefault();
    $("text").focus();
  }
});
startHands(page);
startInsight(page);
connect();

// The live page: the socket, the picture, the prompt and the buttons. hands.js and insight.js are handed `page`.
import { start as startHands } from "./hands.js";
import { start as startInsight } from "./insight.js";

const $ = (id) => document.getElementById(id);
const canvas = $("screen"), pen = canvas.getContext("2d");
let socket = null, status = null, news = { prompts: [], films: [] }, recalled = null, refusal = 0;

function send(message) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}
// ---- what the other modules are given ----
const handlers = { status: [showStatus], news: [showNews], refused: [(message) => showRefusal(message.text)] };
const page = {
  state: {}, // the newest message of each type: page.state.status, page.state.news, ...
  canvas, // what is shown; the picture that belongs to the newest status is drawn a moment after it
  keysToGame: false, // while true the shortcuts below keep still: the keys are the game's
  mounts: { hands: $("hands"), insight: $("insight"), overlay: $("overlay") }, // hidden until somebody shows them
  send, // (message): to the server; lost where it is not connected
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
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
  socket.binaryType = "blob";
  socket.onmessage = (event) => {
    if (typeof event.data !== "string") { draw(event.data); return; }
    tell(JSON.parse(event.data));
  };
  socket.onopen = () => tell({ type: "open" });
  socket.onclose = () => {
    tell({ type: "closed" });
    $("veil").textContent = "The connection is lost; trying again …";
    $("veil").className = "veil";
    $("veil").hidden = false;
    setTimeout(connect, 1000);
  };
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
  $("veil").textContent = VEILS[now.phase];
  $("veil").hidden = !VEILS[now.phase];
  $("veil").className = `veil ${now.phase}`;
  if (!refusal) showProblem(now.problem);
  $("pause").firstChild.textContent = now.phase === "paused" ? "Resume" : "Pause";
  $("save").disabled = now.filmed === 0;
  if (!before || before.prompt !== now.prompt) {
    $("now").replaceChildren(element("span", now.prompt ? "Now: " : "No goal yet: the agent does as it likes", "dim"),
      element("span", now.prompt));
    markCurrent();
  }
  if (!before || before.cond_scale !== now.cond_scale) {
    if (document.activeElement !== $("scale")) $("scale").value = now.cond_scale;
    if (document.activeElement !== $("scale_slider")) $("scale_slider").value = now.cond_scale;
  }
  if ((!before || before.seed !== now.seed) && document.activeElement !== $("seed")) $("seed").value = now.seed;
  const facts = {
    phase: now.phase, fps: now.fps.toFixed(1), step: now.step, guidance: now.cond_scale || "off", in_seed: now.seed,
    world: now.world || "…", filmed: clock(now.filmed / 20),
  };
  for (const [name, value] of Object.entries(facts)) $(name).textContent = value;
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
    again.onclick = () => send({ type: "prompt", text: asked.prompt });
    const facts = [clock(asked.seconds)];
    if (asked.step !== null) facts.push(`step ${asked.step}`);
    if (asked.latency_ms !== null) facts.push(`acted on after ${asked.latency_ms} ms`);
    row.append(again, element("div", facts.join(" · "), "dim"));
    return row;
  }));
  if (!news.prompts.length) $("prompts").append(element("li", "What you ask is listed here.", "dim"));
  markCurrent();
  $("films").replaceChildren(...news.films.slice().reverse().map((film) => {
    const row = document.createElement("li"), links = document.createElement("div");
    const watch = element("a", film.name);
    watch.href = film.video;
    watch.target = "_blank";
    const video = element("a", "video"), prompts = element("a", "prompts");
    video.href = film.video;
    prompts.href = film.json;
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
  send({ type: "prompt", text: $("text").value });
  $("text").value = "";
  recalled = null;
};
$("go_seed").onsubmit = (event) => {
  event.preventDefault();
  if ($("seed").value !== "") send({ type: "reset_world", seed: Number($("seed").value) });
};
$("scale_slider").oninput = () => {
  $("scale").value = $("scale_slider").value;
  send({ type: "cond_scale", value: Number($("scale_slider").value) });
};
$("scale").onchange = () => {
  if ($("scale").value === "") { $("scale").value = status.cond_scale; return; }
  $("scale_slider").value = $("scale").value;
  send({ type: "cond_scale", value: Number($("scale").value) });
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

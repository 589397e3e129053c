// Playing with keyboard and mouse on the live page, and saving what was played as a recording.
//
// While the mouse is locked to the picture the keys are the game's. A message says all keys that are down and those
// that went down since the last one, so that a short press counts and a lost message does no harm.

const KEYS = {
  KeyW: "forward", KeyS: "back", KeyA: "left", KeyD: "right", Space: "jump", ShiftLeft: "sneak", ControlLeft: "sprint",
  KeyR: "sprint", KeyE: "inventory", KeyQ: "drop", KeyF: "swapHands",
  Digit1: "hotbar.1", Digit2: "hotbar.2", Digit3: "hotbar.3", Digit4: "hotbar.4", Digit5: "hotbar.5",
  Digit6: "hotbar.6", Digit7: "hotbar.7", Digit8: "hotbar.8", Digit9: "hotbar.9",
};
const BUTTONS = { 0: "attack", 1: "pickItem", 2: "use" };
const SHOWN = [
  ["W A S D", "walk"], ["Space", "jump"], ["Shift", "sneak"], ["Ctrl, R", "sprint"], ["left, right, middle mouse", "hit, use, pick"],
  ["1 to 9, wheel", "hot bar"], ["E", "inventory"], ["Q", "drop"], ["F", "swap hands"],
  ["Tab", "you or the agent"], ["Esc", "the mouse is yours again"],
];

export function start(page) {
  const { element, canvas } = page, mount = page.mounts.hands;
  const down = new Map(); // physical key -> MineRL's name
  let tapped = new Set(), dx = 0, dy = 0, wheel = 0, mine = false, holder = null, due = 0;

  // ---- what is shown ----
  const who = element("p", "", "dim"), take = element("button", ""), about = element("div", "", "dim");
  const label = document.createElement("input"), save = element("button", "Save as recording");
  const discard = element("button", "Discard"), saved = element("ul", "", "list"), keys = element("dl", "", "playing_keys");
  take.id = "take";
  who.id = "holder";
  about.id = "recorded";
  saved.id = "recordings";
  save.id = "save_recording";
  discard.id = "discard_recording";
  take.title = "Tab does the same while the mouse is locked to the picture";
  discard.title = "Throw away what is not saved yet";
  Object.assign(label, { type: "text", id: "label", maxLength: 200, autocomplete: "off", placeholder: "what it shows (optional)" });
  label.setAttribute("aria-label", "what the recording shows");
  for (const [key, what] of SHOWN) keys.append(element("dt", key), element("dd", what));
  const form = document.createElement("form"), row = document.createElement("div");
  row.className = "controls";
  row.append(save, discard);
  form.append(label, row);
  mount.append(element("h2", "Play and teach"), who, take, keys, about, form, saved);
  mount.hidden = false;

  // ---- what is said ----
  function input() {
    clearTimeout(due);
    due = 0;
    if (mine) page.send({ type: "input", keys: [...new Set(down.values())], tapped: [...tapped], dx, dy, wheel });
    tapped = new Set();
    dx = dy = wheel = 0;
  }
  function soon() { // the mouse moves more often than a message is worth
    if (!due) due = setTimeout(input, 8);
  }
  function release() {
    down.clear();
    tapped.clear();
    dx = dy = wheel = 0;
    input();
  }
  function press(key, name) {
    if (!down.has(key)) tapped.add(name);
    down.set(key, name);
    input();
  }
  function lift(key) {
    if (down.delete(key)) input();
  }

  // ---- who plays ----
  function toggle() {
    if (mine) page.send({ type: "hand_back" });
    else if (holder === null) page.send({ type: "take" });
    else if (confirm("Another page plays. Take over from it?")) page.send({ type: "take", from_another: true });
  }
  function lock() {
    const asked = canvas.requestPointerLock?.();
    if (asked) asked.catch(() => page.refuse("The browser did not lock the mouse to the picture; click the picture again."));
  }
  take.onclick = () => {
    const takes = !mine;
    toggle();
    take.blur();
    if (takes) lock();
  };
  canvas.addEventListener("click", () => { if (!document.pointerLockElement) lock(); });
  document.addEventListener("pointerlockchange", () => {
    page.keysToGame = document.pointerLockElement === canvas;
    canvas.parentElement.classList.toggle("locked", page.keysToGame);
    release();
  });
  addEventListener("blur", release);
  document.addEventListener("visibilitychange", () => { if (document.hidden) release(); });
  addEventListener("beforeunload", (event) => { if (mine) event.preventDefault(); }); // Ctrl with W closes tabs

  page.on("status", (now) => {
    holder = now.holder;
    const before = mine;
    mine = holder !== null && holder === now.you;
    if (before && !mine) release();
    canvas.parentElement.classList.toggle("mine", mine);
    who.textContent = mine ? (page.keysToGame ? "You play." : "You play: click the picture to lock the mouse to it.")
      : holder === null ? "The agent plays." : `Page ${holder} plays (this is page ${now.you}); you watch.`;
    take.textContent = mine ? "Hand back to the agent" : "Take over";
    const recording = now.recording;
    for (const part of [about, form, saved]) part.hidden = recording === null;
    if (recording === null) return;
    about.textContent = recording.problem ||
      `Recorded since the last save: ${page.clock(recording.ticks / 20)}, you in ${page.clock(recording.human / 20)}`;
    save.disabled = recording.ticks === 0;
    discard.disabled = recording.ticks === 0;
    if (saved.childElementCount !== recording.saved.length || saved.dataset.newest !== recording.saved.at(-1)?.name) {
      saved.dataset.newest = recording.saved.at(-1)?.name;
      saved.replaceChildren(...recording.saved.toReversed().map((one) => {
        const line = element("li", one.label || one.name);
        line.append(element("div", `${one.name} · ${page.clock(one.ticks / 20)}, you in ${page.clock(one.human / 20)}`, "dim"));
        return line;
      }));
    }
  });
  page.on("closed", () => { mine = false; down.clear(); tapped.clear(); });
  form.onsubmit = (event) => {
    event.preventDefault();
    page.send({ type: "save_recording", label: label.value });
    label.value = "";
  };
  discard.type = "button";
  discard.onclick = () => { if (confirm("Throw away what is not saved?")) page.send({ type: "discard_recording" }); };

  // ---- keys and mouse ----
  addEventListener("keydown", (event) => {
    if (!page.keysToGame) return;
    event.preventDefault();
    if (event.repeat) return;
    if (event.code === "Escape") document.exitPointerLock();
    else if (event.code === "Tab") toggle();
    else if (event.code in KEYS) press(event.code, KEYS[event.code]);
  }, true);
  addEventListener("keyup", (event) => {
    if (page.keysToGame) event.preventDefault();
    lift(event.code);
  }, true);
  canvas.addEventListener("mousedown", (event) => {
    if (page.keysToGame && event.button in BUTTONS) { event.preventDefault(); press(event.button, BUTTONS[event.button]); }
  });
  addEventListener("mouseup", (event) => lift(event.button));
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("mousemove", (event) => {
    if (!page.keysToGame || !mine) return;
    dx += event.movementX;
    dy += event.movementY;
    soon();
  });
  canvas.addEventListener("wheel", (event) => {
    if (!page.keysToGame || !mine) return;
    event.preventDefault();
    wheel += Math.sign(event.deltaY);
    soon();
  }, { passive: false });
}

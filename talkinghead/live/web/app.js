// The page: how a call begins, what happens in it, and how it ends.

import { ApiError, getConfig } from "./api.js";
import { Call } from "./call.js";
import { Controls } from "./controls.js";
import { Overlay } from "./overlay.js";
import { byId, inCall, phase, say, sayFailure, sentence, setPhase } from "./page.js";
import { Stage } from "./stage.js";
import { StartPanel } from "./start.js";
import { Talk } from "./talk.js";

const STEPS = { reading: "Looking at the photo", connecting: "Connecting", connected: "Warming up" };
const RETRY_S = 10; // where a full server does not say when to come again

let config = { portrait: false, voice: false, emotions: ["neutral"], version: "", limits: {}, ice_servers: [] };
/** @type {Call|null} */
let call = null;
/** @type {Controls|null} */
let controls = null;
let generation = -1;
let countdown = 0;

const stage = new Stage();
const panel = new StartPanel(connect);
const talk = new Talk(() => call);
const overlay = new Overlay(byId("overlay"), () => call?.report());

async function load() {
  setPhase("loading");
  try {
    config = { ...config, ...(await getConfig()) };
  } catch (error) {
    stage.veil({ title: "The page cannot reach its server", text: /** @type {Error} */ (error).message, go: "Try again", act: load });
    setPhase("lost");
    return;
  }
  controls ??= new Controls(byId("controls"), config.emotions, (message) => call?.send(message) ?? false);
  byId("version").textContent = config.version ? `talkinghead ${config.version}` : "";
  panel.use(config);
  talk.use(config);
  toStart("");
}

function toStart(/** @type {string} */ text) {
  setPhase("start");
  panel.show();
  say(text);
}

async function connect() {
  leave();
  panel.refuse("");
  say("");
  stage.veil({ title: panel.photo ? STEPS.reading : STEPS.connecting, busy: true });
  setPhase("connecting");
  const mine = new Call(config.ice_servers);
  call = mine;
  mine.addEventListener("phase", (event) => moved(/** @type {CustomEvent} */ (event).detail));
  mine.addEventListener("notes", (event) => advise(/** @type {CustomEvent} */ (event).detail));
  mine.addEventListener("message", (event) => hear(/** @type {CustomEvent} */ (event).detail));
  mine.addEventListener("open", () => controls?.sendAll());
  const shown = stage.play(mine.stream, () => say("The browser keeps the sound off: press the loudspeaker in the picture."));
  shown.then(() => {
    if (call !== mine) return;
    setPhase("call");
    say("Press Talk and speak, or send a sound file.");
  });
  try {
    await mine.start(panel.photo, panel.statement);
  } catch (error) {
    if (call === mine) refused(error);
  }
}

/** The server did not take the call: it is full, the photo cannot be used, or something worse. */
function refused(/** @type {unknown} */ error) {
  const { status, message, retryAfterS } = error instanceof ApiError ? error : new ApiError(0, String(error));
  leave();
  if (status === 503) {
    wait(message, retryAfterS ?? RETRY_S);
  } else if ([400, 413, 415, 422].includes(status) && panel.photo) {
    toStart("");
    panel.refuse(sentence(`this photo cannot be used: ${message}`));
  } else {
    stage.veil({ title: "The call did not start", text: sentence(message), go: "Try again", act: connect });
    setPhase("lost");
  }
}

/** Counts down to when a place may be free. It is the user who tries again, at any time. */
function wait(/** @type {string} */ message, /** @type {number} */ seconds) {
  const until = performance.now() + seconds * 1000;
  const tick = () => {
    const left = Math.ceil((until - performance.now()) / 1000);
    stage.say("All places are taken", left > 0 ? `${sentence(message)} A place may be free in ${left} s.` : "A place may be free now.");
    if (left <= 0) clearInterval(countdown);
  };
  stage.veil({ title: "", go: "Try again", act: connect });
  setPhase("full");
  countdown = setInterval(tick, 500);
  tick();
}

function moved(/** @type {{phase: string, reason?: string}} */ { phase: to, reason = "" }) {
  const running = inCall();
  if (to === "lost") {
    talk.stop();
    say("");
    const title = running ? "The connection was lost" : "The call did not start";
    stage.veil({ title, text: reason, go: "Reconnect", act: connect, cancel: "End" });
    setPhase("lost");
  } else if (to === "unsteady") {
    if (!running) return;
    setPhase("unsteady");
    say("The network is unsteady. Trying to get the call back …", true);
  } else if (!running) {
    stage.say(/** @type {Record<string, string>} */ (STEPS)[to]);
  } else if (to === "connected") {
    setPhase("call");
    say("The call is back.");
  }
}

/** What the server says on the data channel. */
function hear(/** @type {any} */ message) {
  if (message.type === "state") {
    byId("state").textContent = byId("state").dataset.state = message.state;
    if (message.generation !== generation) stage.hushed();
    generation = message.generation;
    if (message.state !== "speaking") talk.spoken();
  } else if (message.type === "stats") {
    overlay.server = message;
  } else if (message.type === "error") {
    say(message.message, true);
  }
}

function advise(/** @type {string[]} */ notes) {
  byId("advice-list").replaceChildren(...notes.map((note) => Object.assign(document.createElement("li"), { textContent: sentence(note) })));
  byId("advice").hidden = notes.length === 0;
}

/** Ends what there is of a call, here and on the server. */
function leave() {
  clearInterval(countdown);
  talk.stop();
  call?.end();
  call = null;
  stage.clear();
  advise([]);
  overlay.restart();
  generation = -1;
}

function end(text = "") {
  leave();
  toStart(text);
}

async function interrupt() {
  stage.hush();
  await call?.interrupt().catch(sayFailure);
}

function drop(/** @type {DragEvent} */ event) {
  event.preventDefault();
  byId("frame").classList.remove("over");
  const file = event.dataTransfer?.files[0];
  if (!file) return;
  if (inCall()) talk.sendSound(file);
  else if (phase() === "start") panel.take(file);
}

byId("veil-cancel").addEventListener("click", () => end());
byId("end").addEventListener("click", () => end("The call has ended."));
byId("interrupt").addEventListener("click", interrupt);
byId("advice-close").addEventListener("click", () => advise([]));
byId("stats").addEventListener("click", () => {
  const shown = byId("overlay").hasAttribute("hidden");
  overlay.show(shown);
  byId("stats").setAttribute("aria-pressed", String(shown));
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && inCall() && !event.isComposing) interrupt();
});
// On the whole page: a file that misses the frame must not make the browser leave the call for it.
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", drop);
byId("frame").addEventListener("dragover", () => byId("frame").classList.add("over"));
byId("frame").addEventListener("dragleave", () => byId("frame").classList.remove("over"));
window.addEventListener("pagehide", leave);
window.addEventListener("pageshow", (event) => event.persisted && end("The call has ended."));

load();

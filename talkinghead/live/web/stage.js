// The square with the picture: the video, what lies over it while there is none, and how loud it is.

const HUSH_AFTER_STATE_MS = 250; // what the browser's jitter buffer may still hold of the interrupted sound
const HUSH_AT_MOST_MS = 1_500;

const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

export class Stage {
  #video = /** @type {HTMLVideoElement} */ (byId("video"));
  #go = /** @type {HTMLButtonElement} */ (byId("veil-go"));
  #mute = byId("mute");
  #muted = false;
  #hushed = 0;
  /** @type {() => void} */
  #action = () => undefined;

  constructor() {
    this.#go.addEventListener("click", () => this.#action());
    this.#mute.addEventListener("click", () => this.mute(!this.#muted));
  }

  /**
   * Plays the stream; resolves with its first picture. To be called while the press on Start is handled: browsers let sound
   * begin only then. Where they refuse nevertheless, the picture plays without it, and `refused` is called.
   */
  play(/** @type {MediaStream} */ stream, /** @type {() => void} */ refused) {
    const video = this.#video;
    video.srcObject = stream;
    const shown = new Promise((done) => {
      if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(done);
      else /** @type {HTMLVideoElement} */ (video).addEventListener("loadeddata", done, { once: true });
    });
    video.play().catch((error) => {
      if (error.name !== "NotAllowedError" || video.srcObject !== stream) return;
      this.mute(true);
      video.play().catch(() => undefined);
      refused();
    });
    return shown.then(() => video.classList.toggle("on", video.srcObject === stream));
  }

  clear() {
    this.#video.srcObject = null;
    this.#video.classList.remove("on");
    clearTimeout(this.#hushed);
    this.#hushed = 0;
    this.#volume();
  }

  mute(/** @type {boolean} */ on) {
    this.#muted = on;
    this.#mute.setAttribute("aria-pressed", String(on));
    this.#volume();
  }

  /** Silence at the ear at once, before the server's own arrives. */
  hush() {
    this.#loudAfter(HUSH_AT_MOST_MS);
  }

  /** The server has interrupted: what it sends from now on is to be heard. */
  hushed() {
    if (this.#hushed) this.#loudAfter(HUSH_AFTER_STATE_MS);
  }

  #loudAfter(/** @type {number} */ ms) {
    clearTimeout(this.#hushed);
    this.#hushed = setTimeout(() => {
      this.#hushed = 0;
      this.#volume();
    }, ms);
    this.#volume();
  }

  #volume() {
    this.#video.muted = this.#muted || this.#hushed !== 0;
  }

  /** @param {{title: string, text?: string, busy?: boolean, go?: string, act?: () => void, cancel?: string}} what */
  veil({ title, text = "", busy = false, go = "", act = () => undefined, cancel = "Cancel" }) {
    byId("veil-title").textContent = title;
    byId("veil-text").textContent = text;
    byId("spinner").hidden = !busy;
    byId("veil-cancel").textContent = cancel;
    this.#go.hidden = !go;
    this.#go.textContent = go;
    this.#action = act;
  }

  /** Changes the veil's words only: what has the focus keeps it. */
  say(/** @type {string} */ title, /** @type {string|null} */ text = null) {
    byId("veil-title").textContent = title;
    if (text !== null) byId("veil-text").textContent = text;
  }
}

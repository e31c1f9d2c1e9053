// Before the call: the photo, the consent that it needs, and Start.

import { byId } from "./page.js";
import { PhotoPicker } from "./photo.js";

export class StartPanel {
  #picker = new PhotoPicker(byId("photo"), byId("preview"));
  #consent = /** @type {HTMLInputElement} */ (byId("consent"));
  #ready = false;

  /** @param {() => void} connect */
  constructor(connect) {
    byId("start-form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#complete()) connect();
    });
    this.#consent.addEventListener("change", () => this.#need());
    byId("photo-change").addEventListener("click", () => this.#picker.browse());
    byId("photo-remove").addEventListener("click", () => {
      this.#picker.clear();
      byId("photo").focus();
    });
    this.#picker.addEventListener("change", () => {
      this.#consent.checked = false; // given for one picture, not for the next
      this.refuse("");
      this.show();
    });
    this.#picker.addEventListener("problem", (event) => this.refuse(/** @type {CustomEvent} */ (event).detail));
  }

  /** What the server offers: a portrait of its own, a voice for text, limits. */
  use(/** @type {{portrait: boolean, voice: boolean, limits?: {upload_bytes?: number}}} */ { portrait, voice, limits }) {
    this.#ready = portrait;
    if (limits?.upload_bytes) this.#picker.limitBytes = limits.upload_bytes;
    byId("drop-title").textContent = portrait ? "Or drop a photo of your own here" : "Drop a photo here, or choose one";
    byId("intro").textContent = portrait
      ? "A portrait is ready: press Start, or use a photo of your own."
      : `Choose a portrait. It comes to life and speaks with your voice${voice ? ", a sound file or text" : " or a sound file"}.`;
  }

  /** What was ticked, in words: the server keeps it with the call. */
  get statement() {
    return this.#consent.labels?.[0]?.textContent?.trim().replace(/\s+/g, " ") ?? "";
  }

  get photo() {
    return this.#picker.photo;
  }

  take(/** @type {File} */ file) {
    this.#picker.take(file);
  }

  /** Brings the panel up to date; to be called whenever the page returns to it. */
  show() {
    const chosen = this.photo !== null;
    byId("drop").hidden = byId("photo").hidden = chosen;
    byId("photo-tools").hidden = !chosen;
    byId("consent-row").hidden = !chosen && this.#ready;
    byId("intro").hidden = chosen;
    this.#need();
  }

  /** Says why the photo cannot be used; "" takes it back. */
  refuse(/** @type {string} */ text) {
    byId("refusal").textContent = text;
    byId("refusal").hidden = text === "";
  }

  /** What Start still needs, as one line. */
  #need() {
    let need = "";
    if (!this.photo && !this.#ready) need = "Choose a photo first.";
    else if (this.photo && !this.#consent.checked) need = "Tick the box first: a portrait is taken only with consent.";
    byId("start").setAttribute("aria-disabled", String(need !== ""));
    byId("problem").hidden = true; // said again when Start is pressed
    return need;
  }

  /** Start stays a button that can be pressed, and says what it needs: one that is switched off leaves people guessing. */
  #complete() {
    const need = this.#need();
    byId("problem").textContent = need;
    byId("problem").hidden = need === "";
    if (need) (this.photo ? this.#consent : byId("photo")).focus();
    return need === "";
  }
}

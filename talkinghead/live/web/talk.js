// What the avatar is to say, or to listen to: the microphone, sound files, text.

import { Microphone } from "./microphone.js";
import { byId, megabytes, say, sayFailure } from "./page.js";

/** @typedef {import("./call.js").Call} Call */

export class Talk {
  #call;
  #limitBytes = Infinity;
  #speaking = false;
  #listen = /** @type {HTMLInputElement} */ (byId("listen"));
  #language = /** @type {HTMLSelectElement} */ (byId("language"));
  /** @type {Microphone|null} */
  #microphone = null;

  /** @param {() => Call|null} call the call that runs now */
  constructor(call) {
    this.#call = call;
    byId("microphone").addEventListener("click", () => this.#toggle());
    this.#listen.addEventListener("change", () => {
      call()?.send({ type: "listen", on: this.#listen.checked, barge_in: true });
      if (this.#microphone) this.#explain();
    });
    const sound = /** @type {HTMLInputElement} */ (byId("sound"));
    byId("file").addEventListener("click", () => sound.click());
    sound.addEventListener("change", () => {
      const [file] = sound.files ?? [];
      if (file) this.sendSound(file);
      sound.value = ""; // the same file may be sent again
    });
    this.#language.value = navigator.language.split("-")[0];
    if (!this.#language.value) this.#language.value = "en"; // the voice knows many more; these are offered
    byId("say").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#speakText();
    });
    byId("text").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#speakText();
    });
  }

  use(/** @type {{voice: boolean, limits?: {sound_bytes?: number, text_characters?: number}}} */ { voice, limits }) {
    byId("say").hidden = !voice;
    this.#limitBytes = limits?.sound_bytes ?? Infinity;
    if (limits?.text_characters) /** @type {HTMLTextAreaElement} */ (byId("text")).maxLength = limits.text_characters;
  }

  async sendSound(/** @type {File} */ file) {
    if (file.size > this.#limitBytes) {
      say(`${file.name} is larger than ${megabytes(this.#limitBytes)}. Choose a shorter one.`, true);
      return;
    }
    say(`Sending ${file.name} …`);
    try {
      await this.#call()?.sendSound(file);
      this.#speaking = true;
      say(`Speaking ${file.name}`);
    } catch (error) {
      sayFailure(error);
    }
  }

  /** The avatar is quiet again: what is said of a file is out of date. */
  spoken() {
    if (this.#speaking) say("");
    this.#speaking = false;
  }

  /** The call is over, or its connection. */
  stop() {
    this.#close();
    this.#listen.checked = false;
  }

  async #speakText() {
    const field = /** @type {HTMLTextAreaElement} */ (byId("text"));
    const words = field.value.trim();
    if (!words) return;
    try {
      await this.#call()?.sendText(words, this.#language.value);
      field.value = "";
    } catch (error) {
      sayFailure(error);
    }
  }

  async #toggle() {
    if (this.#microphone) {
      this.#close();
      this.#call()?.send({ type: "end_of_speech" });
      say("The microphone is off.");
      return;
    }
    const call = this.#call();
    try {
      const opened = await Microphone.open();
      if (!call || this.#call() !== call || this.#microphone) {
        opened.close(); // the call ended, or Talk was pressed twice, while the browser asked
        return;
      }
      this.#microphone = opened;
      await call.speak(opened.track);
      opened.track.addEventListener("ended", () => this.#close()); // pulled out
    } catch (error) {
      sayFailure(error);
      return;
    }
    byId("microphone").setAttribute("aria-pressed", "true");
    byId("microphone-label").textContent = "Talking";
    this.#explain();
    this.#meter();
  }

  #explain() {
    say(this.#listen.checked ? "The avatar listens to you." : "Speak: the avatar says it. Headphones avoid an echo.");
  }

  #close() {
    if (!this.#microphone) return;
    this.#microphone.close();
    this.#microphone = null;
    this.#call()
      ?.speak(null)
      .catch(() => undefined);
    byId("microphone").setAttribute("aria-pressed", "false");
    byId("microphone-label").textContent = "Talk";
  }

  #meter() {
    if (!this.#microphone) return;
    byId("microphone").style.setProperty("--level", this.#microphone.level().toFixed(2));
    requestAnimationFrame(() => this.#meter());
  }
}

// The sliders, the gaze pad and the emotions: what they say goes out as "controls" messages, at most 20 a second.

const SEND_EVERY_MS = 50;
const TIMES = new Set(["distance", "pose_scale", "blink_rate", "emotion_strength"]); // multiples of the usual amount

export class Controls {
  #root;
  #send;
  #pad;
  #dot;
  #gazeX;
  #gazeY;
  /** @type {Record<string, unknown>} */
  #waiting = {};
  #timer = 0;
  #sentAt = -Infinity;

  /**
   * @param {HTMLFieldSetElement} root
   * @param {string[]} emotions
   * @param {(message: object) => boolean} send
   */
  constructor(root, emotions, send) {
    this.#root = root;
    this.#send = send;
    this.#pad = find(root, "#pad");
    this.#dot = find(root, "#dot");
    this.#gazeX = /** @type {HTMLInputElement} */ (find(root, "#gaze-x"));
    this.#gazeY = /** @type {HTMLInputElement} */ (find(root, "#gaze-y"));
    this.#offerEmotions(emotions);
    for (const slider of this.#sliders) {
      this.#show(slider);
      slider.addEventListener("input", () => {
        this.#show(slider);
        this.#change({ [String(slider.dataset.control)]: Number(slider.value) });
      });
    }
    this.#followPointer();
    for (const axis of [this.#gazeX, this.#gazeY]) {
      axis.addEventListener("input", () => this.#look());
      axis.addEventListener("keydown", (event) => this.#steer(event));
    }
    find(root, "#reset").addEventListener("click", () => this.reset());
  }

  get #sliders() {
    return /** @type {HTMLInputElement[]} */ ([...this.#root.querySelectorAll("input[data-control]")]);
  }

  get #emotion() {
    return /** @type {HTMLInputElement|null} */ (this.#root.querySelector('[name="emotion"]:checked'))?.value ?? "neutral";
  }

  /** Everything as it stands, for a call that has just begun. */
  sendAll() {
    const values = Object.fromEntries(this.#sliders.map((slider) => [String(slider.dataset.control), Number(slider.value)]));
    this.#change({ ...values, emotion: this.#emotion, gaze: [Number(this.#gazeX.value), Number(this.#gazeY.value)] });
  }

  reset() {
    for (const slider of this.#sliders) {
      slider.value = slider.defaultValue;
      this.#show(slider);
    }
    const [first] = /** @type {NodeListOf<HTMLInputElement>} */ (this.#root.querySelectorAll('[name="emotion"]'));
    if (first) first.checked = true;
    this.#gazeX.value = this.#gazeY.value = "0";
    this.#look();
    this.sendAll();
  }

  #offerEmotions(/** @type {string[]} */ emotions) {
    const chips = emotions.map((name, index) => {
      const label = document.createElement("label");
      const radio = Object.assign(document.createElement("input"), { type: "radio", name: "emotion", value: name, checked: index === 0 });
      radio.className = "reachable";
      radio.addEventListener("change", () => this.#change({ emotion: name }));
      label.append(radio, Object.assign(document.createElement("span"), { textContent: name }));
      return label;
    });
    find(this.#root, "#emotions").replaceChildren(...chips);
  }

  #show(/** @type {HTMLInputElement} */ slider) {
    const text = TIMES.has(String(slider.dataset.control)) ? `${Number(slider.value).toFixed(2).replace(/0$/, "")}×` : slider.value;
    slider.setAttribute("aria-valuetext", text);
    /** @type {HTMLOutputElement} */ (find(this.#root, `output[for="${slider.id}"]`)).value = text;
  }

  #followPointer() {
    this.#pad.addEventListener("pointerdown", (event) => {
      if (this.#root.disabled) return;
      this.#pad.setPointerCapture(event.pointerId);
      event.preventDefault(); // else the press takes the focus from the axes
      this.#gazeX.focus({ preventScroll: true });
      this.#aim(event);
    });
    this.#pad.addEventListener("pointermove", (event) => {
      if (this.#pad.hasPointerCapture(event.pointerId)) this.#aim(event);
    });
    this.#pad.addEventListener("dblclick", () => {
      this.#gazeX.value = this.#gazeY.value = "0";
      this.#look();
    });
  }

  #aim(/** @type {PointerEvent} */ event) {
    const box = this.#pad.getBoundingClientRect();
    const limit = Number(this.#gazeX.max);
    this.#gazeX.value = String((((event.clientX - box.left) / box.width) * 2 - 1) * limit); // the input clamps and rounds
    this.#gazeY.value = String((1 - ((event.clientY - box.top) / box.height) * 2) * limit);
    this.#look();
  }

  /** Either axis takes all four arrows, so that the pad is steered with one hand; Home looks ahead. */
  #steer(/** @type {KeyboardEvent} */ event) {
    const step = event.shiftKey ? 5 : 1;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    const move = /** @type {Record<string, number[]>} */ (moves)[event.key];
    if (!move && event.key !== "Home") return;
    event.preventDefault();
    const [x, y] = move ? [Number(this.#gazeX.value) + move[0], Number(this.#gazeY.value) + move[1]] : [0, 0];
    this.#gazeX.value = String(x);
    this.#gazeY.value = String(y);
    this.#look();
  }

  #look() {
    const [x, y] = [Number(this.#gazeX.value), Number(this.#gazeY.value)];
    const limit = Number(this.#gazeX.max);
    this.#dot.style.left = `${50 + (44 * x) / limit}%`;
    this.#dot.style.top = `${50 - (44 * y) / limit}%`;
    const text = `${Math.abs(x)}° ${x < 0 ? "left" : "right"}, ${Math.abs(y)}° ${y < 0 ? "down" : "up"}`;
    find(this.#root, "#gaze-value").textContent = x || y ? text : "Straight ahead";
    this.#gazeX.setAttribute("aria-valuetext", text);
    this.#gazeY.setAttribute("aria-valuetext", text);
    this.#change({ gaze: [x, y] });
  }

  /** The latest value of each field is sent at once, or as soon as SEND_EVERY_MS have passed since the last message. */
  #change(/** @type {Record<string, unknown>} */ fields) {
    Object.assign(this.#waiting, fields);
    if (this.#timer) return;
    const wait = Math.max(0, this.#sentAt + SEND_EVERY_MS - performance.now());
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      this.#sentAt = performance.now();
      this.#send({ type: "controls", ...this.#waiting });
      this.#waiting = {};
    }, wait);
  }
}

/** @param {ParentNode} root @param {string} selector @returns {HTMLElement} */
function find(root, selector) {
  return /** @type {HTMLElement} */ (root.querySelector(selector));
}

// Picking a photo: by drop, file dialogue or a phone's camera roll. It is shown, made smaller where it must be, and kept
// in memory, so that a call can be made again without picking it again.

import { megabytes } from "./page.js";

const LONG_SIDE_PX = 4096; // what the server works with at most: more would only take longer to send

export class PhotoPicker extends EventTarget {
  #input;
  #canvas;
  #limitBytes = Infinity;
  /** @type {{blob: Blob, name: string}|null} */
  photo = null;

  /** @param {HTMLInputElement} input @param {HTMLCanvasElement} canvas */
  constructor(input, canvas) {
    super();
    this.#input = input;
    this.#canvas = canvas;
    input.addEventListener("change", () => {
      const [file] = input.files ?? [];
      if (file) this.take(file);
    });
  }

  set limitBytes(/** @type {number} */ bytes) {
    this.#limitBytes = bytes;
  }

  browse() {
    this.#input.click();
  }

  /** Event "change" follows; "problem" (detail: one line) where the file cannot be a photo. */
  async take(/** @type {File} */ file) {
    if (file.type && !file.type.startsWith("image/")) {
      this.#complain(`${file.name} is not a picture. Choose a JPEG, PNG or WebP photo.`);
      return;
    }
    let picture = null;
    try {
      picture = await createImageBitmap(file); // turned upright as its EXIF data says
    } catch {
      // The server reads more kinds of files than browsers do, so that it has the last word: only the preview is missing.
    }
    const blob = picture ? await this.#fitting(file, picture) : file;
    if (blob.size > this.#limitBytes) {
      this.#complain(`${file.name} is larger than ${megabytes(this.#limitBytes)}. Choose a smaller photo.`);
      return;
    }
    this.#draw(picture);
    picture?.close();
    this.photo = { blob, name: file.name };
    this.dispatchEvent(new Event("change"));
  }

  clear() {
    this.photo = null;
    this.#input.value = "";
    this.#canvas.hidden = true;
    this.dispatchEvent(new Event("change"));
  }

  async #fitting(/** @type {File} */ file, /** @type {ImageBitmap} */ picture) {
    const shrink = Math.min(1, LONG_SIDE_PX / Math.max(picture.width, picture.height));
    if (shrink === 1 && file.size <= this.#limitBytes) return file;
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(picture.width * shrink);
    canvas.height = Math.round(picture.height * shrink);
    /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).drawImage(picture, 0, 0, canvas.width, canvas.height);
    const smaller = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
    return /** @type {Blob|null} */ (smaller) ?? file;
  }

  /** The photo's middle as a square, as the frame shows it. Drawn, not linked: the page's policy allows no blob: pictures. */
  #draw(/** @type {ImageBitmap|null} */ picture) {
    const context = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext("2d"));
    const size = this.#canvas.width;
    context.fillStyle = "#777";
    context.fillRect(0, 0, size, size);
    if (picture) {
      const side = Math.min(picture.width, picture.height);
      context.imageSmoothingQuality = "high";
      // Faces are rather in the upper part of an upright photo.
      context.drawImage(picture, (picture.width - side) / 2, (picture.height - side) / 4, side, side, 0, 0, size, size);
    } else {
      context.fillStyle = "#fff";
      context.font = `${size / 24}px sans-serif`;
      context.textAlign = "center";
      context.fillText("No preview in this browser; the server will look at it", size / 2, size / 2);
    }
    this.#canvas.hidden = false;
  }

  #complain(/** @type {string} */ detail) {
    this.#input.value = "";
    this.dispatchEvent(new CustomEvent("problem", { detail }));
  }
}

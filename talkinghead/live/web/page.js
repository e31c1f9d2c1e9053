// What every part of the page needs: elements, the phase, the line of status.

/** @type {<T extends HTMLElement = HTMLElement>(id: string) => T} the page has it, as tests/live/test_web.py checks */
export const byId = (id) => /** @type {any} */ (document.getElementById(id));

/** loading, start, connecting, full, call, unsteady or lost. */
export const phase = () => String(document.body.dataset.phase);
export const inCall = () => ["call", "unsteady"].includes(phase());

/** Elements name the phases in which they are there (data-phases). */
export function setPhase(/** @type {string} */ name) {
  const focused = document.activeElement;
  document.body.dataset.phase = name;
  for (const element of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-phases]"))) {
    element.hidden = !String(element.dataset.phases).split(" ").includes(name);
  }
  byId("controls").toggleAttribute("disabled", !inCall());
  // What was pressed may be gone now: the keyboard goes on where the next step is.
  if (!focused || focused === document.body || focused.closest("[hidden]") || focused === byId("veil-cancel")) nextStep(name)?.focus({ preventScroll: true });
}

function nextStep(/** @type {string} */ name) {
  if (name === "start") return byId("start");
  if (name === "call") return byId("microphone");
  return byId("veil-go").hidden ? byId("veil-cancel") : byId("veil-go");
}

/** One line under the picture, read out by screen readers. */
export function say(/** @type {string} */ text, bad = false) {
  byId("status").textContent = sentence(text);
  byId("status").classList.toggle("bad", bad);
}

export const sayFailure = (/** @type {unknown} */ error) => say(/** @type {Error} */ (error).message, true);

/** The server's messages are lines for a terminal: small at the beginning, without an end. */
export function sentence(/** @type {string} */ text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[\p{L}\p{N})]$/u.test(whole) ? `${whole}.` : whole;
}

export function megabytes(/** @type {number} */ bytes) {
  return `${Math.round(bytes / 1e5) / 10} MB`;
}

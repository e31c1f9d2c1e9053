// The server's HTTP interface. Addresses are relative to the page, so that it also works behind a proxy's path prefix.

/** @typedef {{id: string, token: string, notes?: string[]}} SessionKey  the token is kept in memory only */
/** @typedef {{type: string, sdp: string}} Description */

/** A request that did not succeed; the message is one line for the user. status 0: the server did not answer. */
export class ApiError extends Error {
  /** @param {number} status @param {string} message @param {number|null} [retryAfterS] */
  constructor(status, message, retryAfterS = null) {
    super(message);
    this.status = status;
    this.retryAfterS = retryAfterS;
  }
}

const NO_ANSWER = "The server does not answer. Check that it runs and that you are online.";

/** What the server can do: {portrait, voice, emotions, version, limits}. */
export const getConfig = () => request("GET", "config");

/** `statement`: the words that were ticked. @param {Blob} photo @param {string} name @param {string} statement @returns {Promise<SessionKey>} */
export function openSession(photo, name, statement) {
  const form = new FormData();
  form.append("consent", "yes"); // first, so that the server can refuse before it reads a picture
  form.append("who", `the caller: ${statement}`);
  form.append("purpose", "a call from the page");
  form.append("portrait", photo, name);
  return request("POST", "sessions", { body: form });
}

/** Makes a session of the server's own portrait and answers the offer at once: one round trip. */
export const offerAlone = (/** @type {Description} */ offer) => request("POST", "offer", { json: offer });

export const offerTo = (/** @type {SessionKey} */ key, /** @type {Description} */ offer) =>
  request("POST", `sessions/${key.id}/offer`, { key, json: offer });

export const addCandidate = (/** @type {SessionKey} */ key, /** @type {RTCIceCandidateInit} */ candidate) =>
  request("PATCH", `sessions/${key.id}/offer`, { key, json: { candidate } });

export const sendSound = (/** @type {SessionKey} */ key, /** @type {File} */ file) =>
  request("POST", `sessions/${key.id}/audio`, { key, body: file, type: file.type || "application/octet-stream" });

export const sendText = (/** @type {SessionKey} */ key, /** @type {string} */ text, /** @type {string} */ language) =>
  request("POST", `sessions/${key.id}/text`, { key, json: { text, language } });

export const interrupt = (/** @type {SessionKey} */ key) => request("POST", `sessions/${key.id}/interrupt`, { key });

/** keepalive lets the request outlive the page (a beacon cannot be a DELETE). A session that is already gone is fine. */
export const endSession = (/** @type {SessionKey} */ key) =>
  request("DELETE", `sessions/${key.id}`, { key, keepalive: true }).catch(() => undefined);

/**
 * @param {string} method @param {string} path
 * @param {{key?: SessionKey, json?: unknown, body?: BodyInit, type?: string, keepalive?: boolean}} [options]
 */
async function request(method, path, { key, json, body, type, keepalive = false } = {}) {
  /** @type {Record<string, string>} */
  const headers = {};
  if (key) headers.Authorization = `Bearer ${key.token}`;
  if (json !== undefined) headers["Content-Type"] = "application/json";
  else if (type) headers["Content-Type"] = type;
  let response;
  try {
    const sent = json === undefined ? body : JSON.stringify(json);
    response = await fetch(new URL(path, document.baseURI), { method, headers, body: sent, keepalive, cache: "no-store" });
  } catch {
    throw new ApiError(0, NO_ANSWER);
  }
  const answer = await response.json().catch(() => ({})); // 204 has no body; a proxy's error page is no JSON
  if (response.ok) return answer;
  throw new ApiError(response.status, answer.error ?? `The server refused (${response.status}).`, retryAfter(response));
}

/** Seconds; the header is a number or a date (RFC 9110, 10.2.3). */
function retryAfter(/** @type {Response} */ response) {
  const value = response.headers.get("Retry-After");
  if (value === null) return null;
  const seconds = /^\d+$/.test(value.trim()) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : null;
}

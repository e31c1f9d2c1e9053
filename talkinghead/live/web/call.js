// One call: a peer connection, the session on the server that feeds it, and the data channel that directs the avatar.

import * as api from "./api.js";

const FIRST_CANDIDATE_MS = 250;
const CONNECT_MS = 15_000;
const UNSTEADY_MS = 8_000; // ICE often recovers by itself, e.g. when a phone changes cells

/**
 * Events: "phase" (detail: reading | connecting | connected | unsteady | lost, with a reason), "notes" (detail: string[]),
 * "message" (detail: what the server said on the data channel), "open" (the data channel can be used).
 */
export class Call extends EventTarget {
  #pc;
  #channel;
  #voice;
  #ended = false;
  #lost = false;
  #timer = 0;
  /** @type {api.SessionKey|null} */
  #key = null;
  /** @type {RTCIceCandidateInit[]|null} candidates found after the offer left; null until then */
  #late = null;

  /** @param {RTCIceServer[]} iceServers */
  constructor(iceServers) {
    super();
    this.stream = new MediaStream();
    this.#pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    this.#pc.addTransceiver("video", { direction: "recvonly" });
    // Both ways from the start: the microphone is turned on later by replaceTrack alone, without another offer.
    this.#voice = this.#pc.addTransceiver("audio", { direction: "sendrecv" });
    this.#channel = this.#pc.createDataChannel("control", { ordered: true });
    this.#pc.ontrack = ({ track }) => this.stream.addTrack(track);
    this.#pc.onicecandidate = ({ candidate }) => this.#found(candidate);
    this.#pc.onconnectionstatechange = () => this.#changed();
    this.#channel.onopen = () => this.dispatchEvent(new Event("open"));
    this.#channel.onmessage = ({ data }) => this.#tell("message", JSON.parse(data));
    this.#channel.onclose = () => this.#lose("The server ended the call.");
  }

  /** Connects. Rejects with an ApiError; resolves when the answer is in, before the first picture. */
  async start(/** @type {{blob: Blob, name: string}|null} */ photo, statement = "") {
    const prepared = this.#prepare(); // goes on while the server reads the photo
    prepared.catch(() => undefined);
    let answer;
    if (photo) {
      this.#tell("phase", { phase: "reading" });
      this.#own(await api.openSession(photo.blob, photo.name, statement));
      this.#tell("phase", { phase: "connecting" });
      await prepared;
      answer = await api.offerTo(this.#mine, this.#offer());
    } else {
      this.#tell("phase", { phase: "connecting" });
      await prepared;
      answer = await api.offerAlone(this.#offer());
      this.#own({ id: answer.session_id, token: answer.token, notes: answer.notes });
    }
    if (this.#ended) return;
    await this.#pc.setRemoteDescription({ type: answer.type, sdp: answer.sdp });
    this.#trickle();
    this.#wait(CONNECT_MS, "No connection could be made. The network may block calls (UDP), or the server needs a TURN relay.");
  }

  /** Ends the call here and on the server. Safe at any time, also while `start` still runs. */
  end() {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    if (this.#key) api.endSession(this.#key);
    this.#pc.close();
  }

  /** A message on the data channel; false when it cannot be sent now. */
  send(/** @type {object} */ message) {
    if (this.#channel.readyState !== "open") return false;
    this.#channel.send(JSON.stringify(message));
    return true;
  }

  /** Over the data channel, the quickest way; by HTTP where that is not open. */
  async interrupt() {
    if (!this.send({ type: "interrupt" }) && this.#key) await api.interrupt(this.#key);
  }

  /** The microphone's track, or null for silence. */
  speak(/** @type {MediaStreamTrack|null} */ track) {
    return this.#voice.sender.replaceTrack(track);
  }

  sendSound(/** @type {File} */ file) {
    return api.sendSound(this.#mine, file);
  }

  /** language: its code (BCP 47). */
  sendText(/** @type {string} */ text, /** @type {string} */ language) {
    return api.sendText(this.#mine, text, language);
  }

  report() {
    return this.#pc.getStats();
  }

  get #mine() {
    if (!this.#key) throw new api.ApiError(0, "The call is not connected yet.");
    return this.#key;
  }

  #own(/** @type {api.SessionKey} */ key) {
    this.#key = key;
    if (this.#ended) {
      api.endSession(key); // ended while the server was making it
      throw new api.ApiError(0, "The call was cancelled.");
    }
    if (key.notes?.length) this.#tell("notes", key.notes);
  }

  /** Makes our offer; resolves with its first candidate. All of them would take another tenth of a second, and one mostly does. */
  async #prepare() {
    const first = new Promise((done) => {
      this.#pc.addEventListener("icecandidate", ({ candidate }) => (usable(candidate) || !candidate) && done(undefined));
      setTimeout(done, FIRST_CANDIDATE_MS);
    });
    await this.#pc.setLocalDescription();
    await first;
  }

  /** The offer with what was found so far. */
  #offer() {
    this.#late = [];
    const { type, sdp } = /** @type {RTCSessionDescription} */ (this.#pc.localDescription);
    return { type, sdp };
  }

  #found(/** @type {RTCIceCandidate|null} */ candidate) {
    if (!this.#late || !candidate || !usable(candidate)) return; // what was found before is part of the offer
    this.#late.push(candidate.toJSON());
    if (this.#pc.remoteDescription) this.#trickle();
  }

  /** Sends the other candidates, such as a relay's. */
  #trickle() {
    for (const candidate of this.#late?.splice(0) ?? []) {
      api.addCandidate(this.#mine, candidate).catch(() => undefined); // without it the others may still connect
    }
  }

  #changed() {
    const state = this.#pc.connectionState;
    if (state === "connected") {
      clearTimeout(this.#timer);
      this.#tell("phase", { phase: "connected" });
    } else if (state === "disconnected") {
      this.#tell("phase", { phase: "unsteady" });
      this.#wait(UNSTEADY_MS, "The network is gone.");
    } else if (state === "failed") {
      this.#lose("The network connection failed.");
    }
  }

  #wait(/** @type {number} */ ms, /** @type {string} */ reason) {
    if (this.#pc.connectionState === "connected") return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#lose(reason), ms);
  }

  #lose(/** @type {string} */ reason) {
    if (this.#ended || this.#lost) return;
    this.#lost = true;
    clearTimeout(this.#timer);
    this.#tell("phase", { phase: "lost", reason });
  }

  #tell(/** @type {string} */ name, /** @type {unknown} */ detail) {
    if (!this.#ended) this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** The server speaks UDP; the empty candidate marks the end. */
function usable(/** @type {RTCIceCandidate|null} */ candidate) {
  return Boolean(candidate?.candidate) && candidate?.protocol !== "tcp";
}

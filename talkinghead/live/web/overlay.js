// Measurements, once a second: what the browser counts (getStats) beside what the server says of its own stages.

const EVERY_MS = 1_000;
const KEPT_SKEWS = 9; // a single estimate jumps by a frame or two; the median of these does not
const LIVE_S = 0.25; // sound that waits longer than this is no live sound
const FORGOTTEN_MS = 3_000; // the server's figures are of its last second, and up to another one old
const STAGES = { features: "Hearing", motion: "Motion", drawn: "Drawing", encoded: "Encoding", sent: "Sending" };

/** @typedef {{fps?: number, latency_ms?: Record<string, number>, queued_s?: number, level?: unknown}} ServerStats */
/** @typedef {Record<string, any>} Numbers */

export class Overlay {
  #root;
  #report;
  #timer = 0;
  /** @type {Numbers|null} */
  #last = null;
  /** @type {number[]} */
  #skews = [];
  /** @type {ServerStats} */
  #server = {};
  #waitedAt = -Infinity;

  /** @param {HTMLElement} root @param {() => Promise<RTCStatsReport>|undefined} report */
  constructor(root, report) {
    this.#root = root;
    this.#report = report;
  }

  set server(/** @type {ServerStats} */ stats) {
    this.#server = stats;
    if (stats.queued_s && stats.queued_s > LIVE_S) this.#waitedAt = performance.now();
  }

  show(/** @type {boolean} */ on) {
    this.#root.hidden = !on;
    clearInterval(this.#timer);
    this.#last = null;
    this.#skews = [];
    if (!on) return;
    this.#root.textContent = "Measuring …";
    this.#timer = setInterval(() => this.#tick(), EVERY_MS);
    this.#tick();
  }

  /** A new call: nothing of the one before counts. */
  restart() {
    this.#server = {};
    this.#waitedAt = -Infinity;
    this.#last = null;
    this.#skews = [];
  }

  async #tick() {
    const report = await this.#report()?.catch(() => undefined);
    if (!report || this.#root.hidden) return;
    const now = collect(report);
    const before = this.#last;
    this.#last = now;
    if (now.skew_ms !== null) this.#skews = [...this.#skews, now.skew_ms].slice(-KEPT_SKEWS);
    if (before && now.t_s > before.t_s) this.#draw(rates(before, now), now);
  }

  #draw(/** @type {Numbers} */ rate, /** @type {Numbers} */ now) {
    const { fps, latency_ms = {}, queued_s, level } = this.#server;
    const skew = this.#skews.length ? [...this.#skews].sort((a, b) => a - b)[this.#skews.length >> 1] : null;
    const rows = [
      ["Decoded", `${fixed(rate.fps, 1)} /s`],
      ["Sent", `${fixed(fps, 1)} /s`],
      ["Dropped", String(now.dropped)],
      ["Freezes", String(now.freezes)],
      ["Picture", now.width ? `${now.width} × ${now.height}` : "–"],
      ["Codec", now.codec || "–"],
      ["Bit rate", `${fixed(rate.kbps, 0)} kbit/s`],
      ["Lost packets", String(now.lost)],
      ["Round trip", ms(now.rtt_ms)],
      ["A/V skew", skew === null ? "–" : `sound ${skew < 0 ? "−" : "+"}${ms(Math.abs(skew))}`],
      ["Buffers", `${fixed(rate.video_buffer_ms, 0)} · ${ms(rate.audio_buffer_ms)}`],
      ["Sound waiting", queued_s === undefined ? "–" : `${fixed(queued_s, 1)} s`],
      ["Load level", level === undefined ? "–" : String(level)],
    ];
    // Of a file that waits to be spoken, the way to its features is mostly that wait: told as "Sound waiting", no latency.
    const live = performance.now() - this.#waitedAt > FORGOTTEN_MS;
    const stages = Object.entries(STAGES).filter(([stage]) => live || stage !== "features");
    const known = stages.map(([stage, name]) => [name, latency_ms[stage]]);
    const network_ms = now.rtt_ms === null ? null : now.rtt_ms / 2;
    const way = [...known, ["Network", network_ms], ["Buffer", rate.video_buffer_ms], ["Decoding", rate.decode_ms]];
    this.#root.replaceChildren(list(rows), bars(way));
  }
}

/** The counters that matter, from a report of getStats. */
function collect(/** @type {RTCStatsReport} */ report) {
  const all = /** @type {any[]} */ ([...report.values()]);
  const inbound = (/** @type {string} */ kind) => all.find((s) => s.type === "inbound-rtp" && s.kind === kind) ?? {};
  const [video, audio] = [inbound("video"), inbound("audio")];
  const transport = all.find((s) => s.type === "transport");
  const pair = all.find((s) => s.type === "candidate-pair" && (s.id === transport?.selectedCandidatePairId || (!transport && s.nominated)));
  // Both name the sender's time of what plays now: a picture newer than the sound means that the sound comes after it.
  const known = video.estimatedPlayoutTimestamp > 0 && audio.estimatedPlayoutTimestamp > 0;
  return {
    t_s: (video.timestamp ?? 0) / 1000,
    video,
    audio,
    width: video.frameWidth,
    height: video.frameHeight,
    codec: String(all.find((s) => s.id === video.codecId)?.mimeType ?? "").replace("video/", ""),
    dropped: video.framesDropped ?? 0,
    freezes: video.freezeCount ?? 0,
    lost: (video.packetsLost ?? 0) + (audio.packetsLost ?? 0),
    rtt_ms: pair?.currentRoundTripTime === undefined ? null : pair.currentRoundTripTime * 1000,
    skew_ms: known ? video.estimatedPlayoutTimestamp - audio.estimatedPlayoutTimestamp : null,
  };
}

/** What happened between two collections. */
function rates(/** @type {Numbers} */ before, /** @type {Numbers} */ now) {
  const grown = (/** @type {string} */ kind, /** @type {string} */ name) => (now[kind][name] ?? 0) - (before[kind][name] ?? 0);
  const mean_ms = (/** @type {string} */ kind, /** @type {string} */ total, /** @type {string} */ count) =>
    grown(kind, count) > 0 ? (1000 * grown(kind, total)) / grown(kind, count) : null;
  const time_s = now.t_s - before.t_s;
  return {
    fps: grown("video", "framesDecoded") / time_s,
    kbps: (grown("video", "bytesReceived") + grown("audio", "bytesReceived")) / time_s / 125,
    decode_ms: mean_ms("video", "totalDecodeTime", "framesDecoded"),
    video_buffer_ms: mean_ms("video", "jitterBufferDelay", "jitterBufferEmittedCount"),
    audio_buffer_ms: mean_ms("audio", "jitterBufferDelay", "jitterBufferEmittedCount"),
  };
}

const fixed = (/** @type {number|null|undefined} */ value, /** @type {number} */ digits) =>
  value === null || value === undefined || !Number.isFinite(value) ? "–" : value.toFixed(digits);
const ms = (/** @type {number|null|undefined} */ value) =>
  value && Math.abs(value) >= 1000 ? `${fixed(value / 1000, 1)} s` : `${fixed(value, value && Math.abs(value) < 10 ? 1 : 0)} ms`;
const element = (/** @type {string} */ tag, /** @type {string} */ text) => Object.assign(document.createElement(tag), { textContent: text });

function list(/** @type {string[][]} */ rows) {
  const dl = document.createElement("dl");
  dl.append(...rows.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
  return dl;
}

/** Every stage's time as a bar, as long as it is compared with the longest, and their sum. */
function bars(/** @type {any[][]} */ stages) {
  const known = stages.filter(([, value]) => Number.isFinite(value));
  const longest = Math.max(1, ...known.map(([, value]) => value));
  const total = known.reduce((sum, [, value]) => sum + value, 0);
  const rows = [...known, ["Total", total]].map(([name, value], index) => {
    const row = element("div", "");
    const bar = element("b", "");
    row.className = "stage-row";
    bar.style.setProperty("--share", String(index < known.length ? value / longest : 0));
    row.append(element("span", name), bar, element("span", ms(value)));
    return row;
  });
  const box = element("div", "");
  box.append(element("h2", "Latency by stage"), ...rows);
  return box;
}

// The microphone: asked for only when it is wanted, and let go at once, so that the browser's sign goes out.

/** The reason for which there is no microphone, as one line that says what to do. */
export class MicrophoneError extends Error {}

const REASONS = {
  NotAllowedError: "The microphone is blocked. Allow it beside the page's address and press Talk again, or send a sound file.",
  NotFoundError: "No microphone was found. Plug one in and press Talk again, or send a sound file.",
  NotReadableError: "Another program holds the microphone. Close it and press Talk again.",
};

export class Microphone {
  #stream;
  #context = new AudioContext();
  #analyser = this.#context.createAnalyser();
  #samples = new Float32Array(512);

  /** @param {MediaStream} stream */
  constructor(stream) {
    this.#stream = stream;
    this.#analyser.fftSize = this.#samples.length;
    this.#context.createMediaStreamSource(stream).connect(this.#analyser);
  }

  /** Rejects with MicrophoneError. */
  static async open() {
    if (!window.isSecureContext || !navigator.mediaDevices) {
      throw new MicrophoneError("Browsers give the microphone only to https pages or localhost. Open the page there, or send a sound file.");
    }
    try {
      // Echo cancellation: the avatar says the words once more from the loudspeaker beside the microphone.
      const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
      return new Microphone(await navigator.mediaDevices.getUserMedia({ audio }));
    } catch (error) {
      const { name, message } = /** @type {DOMException} */ (error);
      const known = /** @type {Record<string, string>} */ (REASONS)[name];
      throw new MicrophoneError(known ?? `The microphone cannot be used (${message || name}).`);
    }
  }

  get track() {
    return this.#stream.getAudioTracks()[0];
  }

  /** Loudness now, 0..1 on a scale of decibels, for a meter. */
  level() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    const power = this.#samples.reduce((sum, x) => sum + x * x, 0) / this.#samples.length;
    return Math.min(1, Math.max(0, 1 + Math.log10(power + 1e-9) / 5)); // -50 dB .. 0 dB
  }

  close() {
    for (const track of this.#stream.getTracks()) track.stop();
    this.#context.close();
  }
}

// The telephone of one call: joins its room as the caller, by LiveKit. It knows nothing of the page.

import "./livekit-client.js";

const { ConnectionState, Room, RoomEvent, Track, setLogLevel } = globalThis.LivekitClient;
setLogLevel("warn");

/** RFC 4733 event codes are the places of the keys. */
const KEYS = "0123456789*#";
/** What is shown as no sound at all, in dB below full scale. */
const FLOOR = -60;
/** How fast what is shown falls after a sound, a picture. */
const FALL = 0.03;

const MICROPHONE_PROBLEMS = {
  NotAllowedError: "The browser does not give this page the microphone. Allow it beside the page's address, then call again.",
  NotFoundError: "There is no microphone. Connect one, then call again.",
  NotReadableError: "The microphone cannot be used: another program may have it. Close that, then call again.",
};

/** The microphone's track; throws an Error that says what to do. */
export async function microphone() {
  if (!navigator.mediaDevices) throw new Error("Browsers give the microphone only to a page that came by HTTPS, or from this machine.");
  try {
    const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
    const stream = await navigator.mediaDevices.getUserMedia({ audio });
    return stream.getAudioTracks()[0];
  } catch (error) {
    throw new Error(MICROPHONE_PROBLEMS[error.name] ?? `The microphone cannot be used: ${error.message}`);
  }
}

/** How loud its tracks are together, or were just before: 0 for silence, 1 for full scale. */
class Level {
  #analyser;
  #samples;
  #shown = 0;

  constructor(context) {
    this.#analyser = context.createAnalyser();
    this.#samples = new Float32Array(this.#analyser.fftSize);
  }

  add(track) {
    this.#analyser.context.createMediaStreamSource(new MediaStream([track])).connect(this.#analyser);
  }

  get now() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    const power = this.#samples.reduce((sum, sample) => sum + sample * sample, 0) / this.#samples.length;
    const level = power ? Math.max(0, 1 - (10 * Math.log10(power)) / FLOOR) : 0;
    return (this.#shown = Math.max(level, this.#shown - FALL, 0));
  }
}

/**
 * `on.connected` is called once the agent can be heard, `on.interrupted` with whether the connection
 * is broken, `on.ended` when the call is over and this side has not hung up.
 */
export class Telephone {
  #room = new Room();
  #context = new AudioContext();
  #own = new Level(this.#context);
  #others = new Level(this.#context);
  #track;
  #on;
  /** Whether it was in the room: to leave that is then how the caller hangs up. */
  isJoined = false;
  #isAnswered = false;
  #isOver = false;

  constructor(track, on) {
    this.#track = track;
    this.#on = on;
    this.#own.add(track);
    this.#room
      .on(RoomEvent.TrackSubscribed, (other, _, participant) => this.#hear(other, participant))
      .on(RoomEvent.Reconnecting, () => on.interrupted(true))
      .on(RoomEvent.Reconnected, () => on.interrupted(false))
      .on(RoomEvent.Disconnected, () => this.#end());
  }

  /** Throws if LiveKit cannot be reached, or does not take the token. */
  async join(url, token) {
    await this.#room.connect(url, token);
    this.isJoined = true;
    await this.#room.localParticipant.publishTrack(this.#track, { source: Track.Source.Microphone });
  }

  get levels() {
    return { own: this.#own.now, others: this.#others.now };
  }

  mute(isMuted) {
    this.#track.enabled = !isMuted;
  }

  async press(key) {
    if (this.#room.state !== ConnectionState.Connected) return;
    await this.#room.localParticipant.publishDtmf(KEYS.indexOf(key), key);
  }

  async hangUp() {
    this.#isOver = true;
    this.#release();
    await this.#room.disconnect();
  }

  #hear(other, participant) {
    if (other.kind !== Track.Kind.Audio) return;
    other.attach();
    this.#others.add(other.mediaStreamTrack);
    if (participant.isAgent && !this.#isAnswered) this.#answer();
  }

  /** As livekit-sip does: agents wait for it before they speak. */
  async #answer() {
    this.#isAnswered = true;
    await this.#room.localParticipant.setAttributes({ "sip.callStatus": "active" });
    this.#on.connected();
  }

  #end() {
    if (this.#isOver || !this.isJoined) return;
    this.#isOver = true;
    this.#release();
    this.#on.ended();
  }

  #release() {
    this.#track.stop();
    if (this.#context.state !== "closed") this.#context.close();
  }
}

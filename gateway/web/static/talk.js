// The page at /talk: one call at a time, from the form to why it ended.

import { duration, fragment, post } from "./page.js";
import { Telephone, microphone } from "./telephone.js";

/** How long the gateway may take to learn that a call is over, in ms: a lost caller may be back. */
const END_KNOWN_WITHIN = 15_000;
const LOOK_AGAIN = 500;
/** After so long without a sound the page says that the microphone is silent, in ms. */
const SILENT_FOR = 4_000;

const part = (id) => document.getElementById(id);
const page = part("talk");
const fields = part("fields");
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The call that is made or lasts; null for none. */
let call = null;

class Call {
  id = "";
  telephone = null;
  connectedAt = 0;
  heardAt = 0;
  isMuted = false;
  isHungUp = false;

  /** Throws an Error in plain words. */
  async make(request) {
    show("asking", "Waiting for the microphone …");
    const track = await microphone();
    if (this.isHungUp) return track.stop();
    this.telephone = new Telephone(track, {
      connected: () => this.connected(),
      interrupted: (isBroken) => say(isBroken ? "The connection broke, trying again …" : "Connected"),
      ended: () => this.end(),
    });
    show("calling", "Calling …");
    try {
      await this.join(request);
    } catch (error) {
      await this.telephone.hangUp();
      throw error;
    }
  }

  async join(request) {
    const { call_id, server_url, participant_token } = await post("/livekit-api/web-calls", request);
    this.id = call_id;
    if (this.isHungUp) return this.stop();
    show("ringing", "Ringing …");
    try {
      await this.telephone.join(server_url, participant_token);
    } catch (error) {
      if (this.isHungUp) return;
      await this.stop();
      throw new Error(`This browser cannot reach LiveKit at ${server_url}: ${error.message}`);
    }
  }

  /** End a call that the browser has not joined: nobody else would. */
  stop() {
    return post(`/livekit-api/calls/${encodeURIComponent(this.id)}/hangup`).catch(() => {});
  }

  connected() {
    this.connectedAt = this.heardAt = Date.now();
    show("connected", "Connected");
  }

  async hangUp() {
    const isJoined = this.telephone?.isJoined;
    this.isHungUp = true;
    await this.telephone?.hangUp();
    if (this.id && !isJoined) await this.stop();
    await this.end();
  }

  async end() {
    if (call !== this) return;
    call = null;
    const seconds = this.connectedAt ? ` after ${duration(Date.now() - this.connectedAt)}` : " before an agent answered";
    show("ended", `The call ended${seconds}.`);
    if (this.id) await explain(this.id);
  }

  /** Called with each picture of the page. */
  draw() {
    const { own, others } = this.telephone?.levels ?? { own: 0, others: 0 };
    part("own-level").value = own;
    part("agent-level").value = others;
    if (!this.connectedAt) return;
    const now = Date.now();
    part("time").textContent = duration(now - this.connectedAt);
    if (own || this.isMuted) this.heardAt = now;
    part("silence").hidden = now - this.heardAt < SILENT_FOR;
  }

  mute() {
    this.isMuted = !this.isMuted;
    this.telephone?.mute(this.isMuted);
    part("mute").setAttribute("aria-pressed", this.isMuted);
  }

  press(key) {
    if (!this.connectedAt) return;
    this.telephone.press(key);
    part("pressed").textContent += key;
  }
}

// ---------------------------------------------------------------- what is shown

function say(text) {
  part("state").textContent = text;
}

function show(state, text) {
  const lasts = state !== "idle" && state !== "ended";
  const began = page.dataset.state === "idle" || page.dataset.state === "ended";
  page.dataset.state = state;
  say(text);
  part("ended").textContent = lasts ? "" : text;
  fields.hidden = lasts;
  part("line").hidden = !lasts;
  part("outcome").hidden = lasts;
  if (lasts && began) part("hang-up").focus();
  if (!lasts) part("call").focus();
}

/** The gateway's own explanation, from the page of the call, once that has ended. */
async function explain(id) {
  const path = `/calls/${encodeURIComponent(id)}`;
  part("call-link").href = path;
  part("call-link").hidden = false;
  for (const deadline = Date.now() + END_KNOWN_WITHIN; Date.now() < deadline; await pause(LOOK_AGAIN)) {
    const response = await fetch(path).catch(() => null);
    if (!response?.ok || call) continue;
    const shown = fragment(await response.text());
    if (shown.querySelector("#call[data-live]")) continue;
    const state = shown.querySelector("#call-head .state");
    part("why").replaceChildren(...[state, shown.querySelector("#call-why")].filter(Boolean));
    return;
  }
}

function problem(error) {
  show("ended", "The call was not made.");
  part("problem").textContent = error.message;
  part("problem").hidden = false;
}

function clear() {
  for (const id of ["why", "pressed", "time"]) part(id).replaceChildren();
  for (const id of ["problem", "call-link", "silence"]) part(id).hidden = true;
  part("mute").setAttribute("aria-pressed", false);
}

// ---------------------------------------------------------------- what people do

fields.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (call) return;
  const made = (call = new Call());
  const { profile, ...request } = Object.fromEntries([...new FormData(fields)].filter(([, value]) => value.trim()));
  remember();
  clear();
  part("called").textContent = request.to_number;
  try {
    await made.make(profile ? { ...request, session_options: { profile: profile.trim() } } : request);
  } catch (error) {
    if (call !== made) return;
    call = null;
    problem(error);
    if (made.id) explain(made.id);
  }
});

part("hang-up").addEventListener("click", () => call?.hangUp());
part("mute").addEventListener("click", () => call?.mute());
document.querySelector(".keys").addEventListener("click", (event) => call?.press(event.target.dataset.key));
document.addEventListener("keydown", (event) => {
  if (/^[0-9*#]$/.test(event.key) && !event.repeat && !event.ctrlKey && !event.metaKey && !event.altKey) call?.press(event.key);
});
window.addEventListener("pagehide", () => {
  if (call?.id && !call.telephone.isJoined) navigator.sendBeacon(`/livekit-api/calls/${encodeURIComponent(call.id)}/hangup`);
});

// ---------------------------------------------------------------- the fields are kept for the next call

const kept = "talk";

function remember() {
  localStorage.setItem(kept, JSON.stringify(Object.fromEntries(new FormData(fields))));
}

for (const [name, value] of Object.entries(JSON.parse(localStorage.getItem(kept) ?? "{}"))) {
  const field = fields.elements.namedItem(name);
  if (field) field.value = value;
}

function draw() {
  call?.draw();
  requestAnimationFrame(draw);
}
draw();
part("call").disabled = false; // before, the form would be sent as if there were no script

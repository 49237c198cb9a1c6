// One call: its actions, its recording beside the transcript, and what changes while it lasts.

import { follow, localize, post, reloaded } from "./page.js";

const call = document.querySelector("#call");
const state = document.querySelector("#live-state");
const id = call.dataset.call;
/** How often a call that lasts is looked at again, in ms: not all of its events are announced. */
const LOOK_AGAIN = 10_000;
const ZOOMS = [1, 2, 4, 8, 16];
let zoom = 0;

// ---------------------------------------------------------------- dialogs and buttons

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.open) document.getElementById(button.dataset.open).showModal();
  if ("close" in button.dataset) button.closest("dialog").close();
  if (button.dataset.retry) retry(button);
  if (button.dataset.zoom) setZoom(zoom + Number(button.dataset.zoom));
  if (button.classList.contains("play")) play(Number(button.closest("li").dataset.place));
});

for (const form of document.querySelectorAll("form[data-post]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const problem = form.querySelector(".error");
    const button = form.querySelector("button[value=do]");
    const fields = Object.fromEntries([...new FormData(form)].filter(([, value]) => value));
    problem.hidden = true;
    button.disabled = true;
    try {
      await post(form.dataset.post, Object.keys(fields).length ? fields : undefined);
      form.closest("dialog").close();
      await show();
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    }
    button.disabled = false;
  });
}

async function retry(button) {
  button.disabled = true;
  try {
    await post(`/livekit-api/calls/${encodeURIComponent(id)}/deliveries/${encodeURIComponent(button.dataset.retry)}/retry`);
    await show();
  } catch (error) {
    button.after(Object.assign(document.createElement("span"), { className: "error", role: "alert", textContent: error.message }));
  }
}

// ---------------------------------------------------------------- the timeline and the recording

function setZoom(level) {
  zoom = Math.min(Math.max(level, 0), ZOOMS.length - 1);
  document.querySelector(".chart-area").setAttribute("width", `${100 * ZOOMS[zoom]}%`);
}

function play(place) {
  const audio = document.querySelector("#audio");
  if (!audio) return;
  audio.currentTime = place;
  audio.play();
}

const timed = () => [...document.querySelectorAll(".said li[data-place]")];

function followAudio() {
  const audio = document.querySelector("#audio");
  if (!audio) return;
  const failed = () => { document.querySelector("#audio-error").hidden = false; };
  audio.addEventListener("error", failed);
  if (audio.error) failed();
  audio.addEventListener("timeupdate", () => {
    const lines = timed();
    const current = lines.findLast((line) => Number(line.dataset.place) <= audio.currentTime + 0.05);
    for (const line of lines) line.classList.toggle("playing", line === current && !audio.paused);
    movePlayhead(lines[0], audio.currentTime);
  });
}

/** The chart's time is the call's, the recording's begins later. */
function movePlayhead(line, place) {
  const area = document.querySelector(".chart-area");
  const playhead = document.querySelector("#playhead");
  if (!line || !area.dataset.start) return;
  const at = Number(line.dataset.from) - Number(line.dataset.place) * 1000 + place * 1000;
  const x = (100 * (at - Number(area.dataset.start))) / Number(area.dataset.length);
  if (x < 0 || x > 100) return;
  for (const name of ["x1", "x2"]) playhead.setAttribute(name, `${x}%`);
  playhead.setAttribute("visibility", "visible");
}

// ---------------------------------------------------------------- what changes

const isBusy = () => document.querySelector("dialog[open]") || document.querySelector("#audio")?.paused === false;

let isLoading = false;
async function show() {
  if (isLoading) return;
  isLoading = true;
  const page = await reloaded().catch(() => null);
  isLoading = false;
  const fresh = page?.querySelector("#call");
  if (!fresh || isBusy()) return;
  const focused = document.activeElement?.id;
  const isOpen = [...call.querySelectorAll("details")].map((details) => details.open);
  if (!("live" in fresh.dataset)) delete call.dataset.live;
  call.replaceChildren(...fresh.childNodes);
  call.querySelectorAll("details").forEach((details, number) => { details.open = isOpen[number] ?? false; });
  localize(call);
  setZoom(zoom);
  followAudio();
  if (focused) document.getElementById(focused)?.focus();
}

followAudio();
if ("follow" in call.dataset) follow(call.dataset.after, {
  update({ rows, more }) {
    if (id in rows || (more && "live" in call.dataset)) show();
  },
  missed: show,
  state(isConnected) {
    state.textContent = isConnected ? ("live" in call.dataset ? "Live" : "") : "Connecting …";
    state.classList.toggle("on", isConnected);
  },
});
setInterval(() => {
  if ("live" in call.dataset && document.visibilityState === "visible" && !isBusy()) show();
}, LOOK_AGAIN);

// What all pages need: times in the reader's zone, durations that run, HTML of the gateway's own.

const policy = window.trustedTypes?.createPolicy("fragments", { createHTML: (text) => text });

/** The elements of `text`, HTML that a template of the gateway has escaped. */
export function fragment(text) {
  const template = document.createElement("template");
  template.innerHTML = policy ? policy.createHTML(text) : text;
  return template.content;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

function moment(at, style) {
  const date = new Date(at);
  const isToday = date.toDateString() === new Date().toDateString();
  const time = clock.format(date);
  return style === "day" && !isToday ? `${day.format(date)}, ${time}` : time;
}

export function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const [hours, minutes, second] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (number) => String(number).padStart(2, "0");
  if (hours) return `${hours}:${two(minutes)}:${two(second)}`;
  return minutes ? `${minutes}:${two(second)}` : `${second} s`;
}

/** Show the times below `root` in the reader's zone. */
export function localize(root) {
  for (const time of root.querySelectorAll("time[data-at]")) {
    const at = Number(time.dataset.at);
    time.textContent = moment(at, time.dataset.style);
    time.title = `${whole.format(new Date(at))} · ${time.dateTime}`;
  }
  tick(root);
}

function tick(root) {
  for (const span of root.querySelectorAll("[data-since]")) {
    span.textContent = duration(Date.now() - Number(span.dataset.since));
  }
}

/** Ask the gateway to do something; throws an Error with the gateway's own words. */
export async function post(path, body) {
  const init = { method: "POST", headers: { "Content-Type": "application/json" } };
  const response = await fetch(path, body ? { ...init, body: JSON.stringify(body) } : init);
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.message ?? `the gateway answered ${response.status}`);
  return answer;
}

/**
 * Follow the gateway's changes. `on.update` gets each message, `on.missed` is called when some are
 * missing, `on.state` with whether the connection stands. The browser connects again by itself with
 * the id of the last message; where the gateway refuses, after a while that grows.
 */
export function follow(after, on) {
  let pause = 1000;
  let last = after;
  const connect = () => {
    const source = new EventSource(`/live?after=${encodeURIComponent(last)}`);
    source.onopen = () => { pause = 1000; on.state(true); };
    source.addEventListener("update", (event) => { last = event.lastEventId; on.update(JSON.parse(event.data)); });
    source.addEventListener("missed", (event) => { last = event.lastEventId; setTimeout(on.missed, Math.random() * 2000); });
    source.onerror = () => {
      on.state(false);
      if (source.readyState !== EventSource.CLOSED) return;
      signInIfNeeded();
      setTimeout(connect, pause * (0.5 + Math.random()));
      pause = Math.min(pause * 2, 60_000);
    };
  };
  connect();
}

/** Where the session has ended the gateway leads to the sign-in, and from there back. */
async function signInIfNeeded() {
  const response = await fetch(location.href, { method: "HEAD", redirect: "manual" }).catch(() => null);
  if (response?.type === "opaqueredirect") location.reload();
}

/** The page as the gateway makes it now, to take parts of. */
export async function reloaded() {
  const response = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (response.redirected || !response.ok) return null;
  return fragment(await response.text());
}

localize(document);
setInterval(() => tick(document), 1000);

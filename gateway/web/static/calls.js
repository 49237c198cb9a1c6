// The list of calls: rows change in place, new calls come on top, filters know the reader's zone.

import { follow, fragment, localize, reloaded } from "./page.js";

const live = document.querySelector("#live");
const note = document.querySelector("#note");
const state = document.querySelector("#live-state");
const MAX_ROWS = 50;
const unseen = new Set();

const rowOf = (id) => document.querySelector(`#rows tr[data-call="${CSS.escape(id)}"]`);

function newRow(html) {
  const row = fragment(html).querySelector("tr");
  localize(row);
  return row;
}

function showCalls(rows) {
  const isNewest = "newest" in live.dataset;
  for (const [id, html] of Object.entries(rows)) {
    const present = rowOf(id);
    const row = newRow(html);
    if (present) replace(present, row);
    else if (isNewest && isNewer(row)) insert(row);
    else if (isNewer(row)) unseen.add(id);
  }
  if (unseen.size) tell(`${unseen.size} new ${unseen.size === 1 ? "call" : "calls"}: load the list again to see whether they match.`);
}

/** A row that has the focus keeps it. */
function replace(present, row) {
  const hadFocus = present.contains(document.activeElement);
  present.replaceWith(row);
  row.classList.add("changed");
  if (hadFocus) row.querySelector("a").focus();
}

function isNewer(row) {
  const first = document.querySelector("#rows tr");
  return !first || Number(row.dataset.start) >= Number(first.dataset.start);
}

function insert(row) {
  const body = document.querySelector("#rows");
  if (!body) { reload(); return; }
  body.prepend(row);
  row.classList.add("changed");
  while (body.rows.length > MAX_ROWS) body.lastElementChild.remove();
}

function showPanels(panels) {
  for (const [id, html] of Object.entries(panels)) {
    const panel = document.getElementById(id);
    if (!panel || panel.contains(document.activeElement)) continue;
    panel.replaceChildren(fragment(html));
  }
}

function tell(text) {
  note.hidden = false;
  note.replaceChildren(`${text} `);
  const button = document.createElement("button");
  button.textContent = "Load again";
  button.addEventListener("click", reload);
  note.append(button);
}

let isLoading = false;
async function reload() {
  if (isLoading) return;
  isLoading = true;
  const page = await reloaded().catch(() => null);
  isLoading = false;
  if (!page?.querySelector("#live")) { tell("The list could not be loaded."); return; }
  for (const id of ["calls", "today", "health"]) document.getElementById(id).replaceWith(page.querySelector(`#${id}`));
  unseen.clear();
  note.hidden = true;
  localize(live);
}

follow(live.dataset.after, {
  update({ rows, more, panels }) {
    showPanels(panels);
    showCalls(rows);
    if (more) tell("Many calls change at once, so that this list lacks some.");
  },
  missed: reload,
  state(isConnected) {
    state.textContent = isConnected ? "Live" : "Connecting …";
    state.classList.toggle("on", isConnected);
  },
});

// The query has moments of the reader's zone as ms since epoch, so that it means the same to others.
const form = document.querySelector("form.search");
for (const input of form.querySelectorAll("input[data-moment]")) {
  const text = input.dataset.moment;
  if (!text) continue;
  const date = new Date(/^\d+$/.test(text) ? Number(text) : text);
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  if (!Number.isNaN(local.getTime())) input.value = local.toISOString().slice(0, 16);
}
form.addEventListener("formdata", ({ formData }) => {
  for (const [name, value] of [...formData]) {
    if (!value) formData.delete(name);
    else if (name === "since" || name === "until") formData.set(name, String(new Date(value).getTime()));
  }
});

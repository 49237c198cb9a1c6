"use strict";
/* The API page: a filter by keyboard, and buttons that copy. The page can be read without it. */

const filter = document.getElementById("filter");
const found = document.getElementById("found");
const operations = [...document.querySelectorAll("article.operation")];
const entries = new Map(
  [...document.querySelectorAll("[data-of]")].map((entry) => [entry.dataset.of, entry]),
);
const texts = new Map(operations.map((it) => [it, it.textContent.toLowerCase()]));

/* All words have to be there: "post transfer" finds the endpoint that transfers a call. */
function apply() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  let number = 0;
  for (const it of operations) {
    const matches = words.every((word) => texts.get(it).includes(word));
    it.hidden = !matches;
    const entry = entries.get(it.id);
    if (entry) entry.hidden = !matches;
    number += matches;
  }
  for (const group of document.querySelectorAll(".group, .entries")) {
    const all = [...group.querySelectorAll("article.operation, [data-of]")];
    group.hidden = all.length > 0 && all.every((it) => it.hidden);
  }
  found.textContent = words.length ? `${number} of ${operations.length}` : "";
}

function first() {
  return operations.find((it) => !it.hidden);
}

function isTyping(target) {
  return target.closest("input, textarea, select, [contenteditable]") !== null;
}

/* What a link leads to is shown, whatever the filter hides. */
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.closest("[hidden]")) {
    filter.value = "";
    apply();
  }
  target?.scrollIntoView();
}

filter.closest(".filter").hidden = false;
filter.addEventListener("input", apply);
filter.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    filter.value = "";
    apply();
  } else if (event.key === "Enter" && first()) {
    location.hash = first().id;
    first().querySelector("a")?.focus({ preventScroll: true });
  }
});
document.addEventListener("keydown", (event) => {
  const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey;
  if (event.key === "/" && isPlain && !isTyping(event.target)) {
    event.preventDefault();
    filter.focus();
    filter.select();
  }
});
addEventListener("hashchange", reveal);

/* Without https a browser has no clipboard for scripts; then the text is selected. */
async function copy(button) {
  const code = button.previousElementSibling;
  const label = button.firstChild;
  try {
    await navigator.clipboard.writeText(code.textContent);
    label.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code);
    label.textContent = "Selected";
  }
  setTimeout(() => { label.textContent = "Copy"; }, 2000);
}

for (const button of document.querySelectorAll(".copy")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}

/* On a small screen the contents would be all that is seen. */
if (matchMedia("(max-width: 60rem)").matches) {
  document.querySelector(".contents .list").open = false;
}

// Single keys for those who live here; they can be switched off on the help page.

import { showNew, toggleHold } from "./live.js";

const OFF = "hms-no-keys";
const base = document.body.dataset.base;
const box = document.getElementById("no-keys");
let going = false;

if (box) {
  box.checked = localStorage.getItem(OFF) === "1";
  box.addEventListener("change", () => localStorage.setItem(OFF, box.checked ? "1" : ""));
}

const rows = () => [...document.querySelectorAll("[data-row]")].filter((row) => row.offsetParent);

function step(by) {
  const all = rows();
  const at = all.indexOf(document.activeElement);
  all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)]?.focus();
}

function list(by) {
  const lists = [...document.querySelectorAll("[data-list]")];
  const at = lists.findIndex((one) => one.contains(document.activeElement));
  const next = lists[(at + by + lists.length) % lists.length];
  if (next) {
    location.hash = next.id;
    next.querySelector("[data-row]")?.focus();
  }
}

const KEYS = {
  "/": () => document.querySelector(".search input")?.focus(),
  j: () => step(1),
  k: () => step(-1),
  "]": () => list(1),
  "[": () => list(-1),
  x: () => document.activeElement?.closest("tr, li")?.querySelector("input[type=checkbox]")?.click(),
  ".": showNew,
  p: toggleHold,
  "?": () => location.assign(`${base}/help`),
  g: () => {
    going = true;
    setTimeout(() => { going = false; }, 1_500);
  },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || localStorage.getItem(OFF) === "1") return;
  if (event.target.closest("input:not([type=checkbox]), textarea, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (going) {
    going = false;
    const to = document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
    if (to) {
      event.preventDefault();
      to.click();
    }
    return;
  }
  const act = KEYS[event.key];
  if (act) {
    event.preventDefault();
    act();
  }
});

// Keeps a page fresh: a stream says that something has changed, then the page's part is asked for
// and merged. What the reader points at, has ticked or has selected stays where it is.

const body = document.body;
const base = body.dataset.base;
const topics = (body.dataset.topics ?? "").split(" ").filter(Boolean);
const mark = document.getElementById("fresh");
const POLL_MS = 5_000;
const STALE_MS = 20_000;
const HIDDEN_MS = 60_000;

let offset = 0; // the server's clock less ours
let heard = Date.now();
let stream = null;
let failures = 0;
let held = false;
let asking = false;
let again = false;
let away = false;

document.documentElement.classList.add("js");

const now = () => Date.now() + offset;

// --- times that go on counting -------------------------------------------------------------------

const UNITS = [["d", 86_400], ["h", 3_600], ["m", 60], ["s", 1]];

export function span(ms) {
  if (ms < 0) return `-${span(-ms)}`;
  let rest = Math.floor(ms / 1_000);
  const parts = [];
  for (const [unit, size] of UNITS) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count) parts.push(`${count}${unit}`);
  }
  return parts.slice(0, 2).join(" ") || "0s";
}

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const calendar = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

function moment(ms) {
  const isToday = new Date(ms).toDateString() === new Date(now()).toDateString();
  return (isToday ? clock : calendar).format(ms);
}

function tellTimes(root = document) {
  const at = now();
  for (const time of root.querySelectorAll("time[data-ms]")) {
    const ms = Number(time.dataset.ms);
    if (!time.title) time.title = time.dateTime;
    const text = time.dataset.as === "left" ? span(ms - at)
      : time.dataset.as === "ago" ? span(Math.max(at - ms, 0))
      : moment(ms);
    if (time.textContent !== text) time.textContent = text;
    if (time.dataset.as === "left") time.classList.toggle("bad", ms < at);
  }
}

// --- the part of the page ------------------------------------------------------------------------

function isBusy(list) {
  const selection = getSelection();
  return list.matches(":hover") || list.contains(document.activeElement)
    || (selection && !selection.isCollapsed && list.contains(selection.anchorNode))
    || list.querySelector("input:checked") !== null;
}

const waiting = new Map(); // lists that hold still, and what they would show

function merge(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html").getElementById("main");
  const main = document.getElementById("main");
  if (!fresh || !main) return;
  const known = new Set([...main.querySelectorAll("[data-list] [id]")].map((node) => node.id));
  window.Idiomorph.morph(main, fresh, {
    morphStyle: "outerHTML",
    ignoreActiveValue: true,
    callbacks: {
      beforeNodeMorphed(old, next) {
        if (!(old instanceof Element)) return true;
        if (old.matches("[data-list]") && isBusy(old)) {
          if (old.innerHTML !== next.innerHTML) hold(old, next.cloneNode(true));
          return false;
        }
        if (old.matches("[data-list]")) waiting.delete(old.id);
        return !old.matches("details[open], dialog[open], [data-keep]") || !next.matches("details, dialog, [data-keep]")
          || keepOpen(old, next);
      },
      beforeAttributeUpdated(name, node) {
        return !(name === "open" || name === "data-shown" || name === "checked");
      },
    },
  });
  const after = document.getElementById("main");
  if (after.dataset.title) document.title = after.dataset.title;
  showMood(after);
  if (known.size) {
    for (const node of after.querySelectorAll("[data-list] li[id]")) {
      if (!known.has(node.id)) node.classList.add("new");
    }
  }
  tellTimes(after);
}

// A tab in the background tells by its icon whether it is worth a look.
function showMood(main) {
  const icon = document.querySelector("link[rel=icon]");
  const bad = main.dataset.mood === "bad" || main.dataset.mood === "risk";
  const name = bad ? "icon-trouble.svg" : "icon.svg";
  if (icon && !icon.href.endsWith(`/${name}`)) icon.href = icon.href.replace(/[^/]*$/, name);
}

function keepOpen(old, next) {
  if (old.open) next.open = true;
  return true;
}

function hold(list, next) {
  waiting.set(list.id, next);
  const note = list.querySelector(".held");
  if (note) note.hidden = false;
}

export function showNew() {
  for (const [id, next] of waiting) {
    const list = document.getElementById(id);
    if (list) window.Idiomorph.morph(list, next, { morphStyle: "outerHTML" });
  }
  waiting.clear();
  tellTimes();
}

async function refresh() {
  if (held || asking) {
    again = true;
    return;
  }
  asking = true;
  try {
    const answer = await fetch(location.href, { headers: { "x-part": "1" }, credentials: "same-origin" });
    if (answer.status === 401) {
      location.reload();
      return;
    }
    merge(await answer.text());
    heard = Date.now();
  } catch {
    // The mark says so.
  } finally {
    asking = false;
    if (again && !held) {
      again = false;
      setTimeout(refresh, 1_000);
    }
    tell();
  }
}

// --- the stream ----------------------------------------------------------------------------------

function hear(event) {
  heard = Date.now();
  failures = 0;
  if (event.type === "ping") {
    offset = Number(event.data) - Date.now();
  } else {
    const said = JSON.parse(event.data);
    offset = said.now - Date.now();
    away = said.away;
    refresh();
  }
  tell();
}

function listen() {
  if (stream || !topics.length || held || failures >= 3) return;
  const query = topics.map((topic) => `topic=${encodeURIComponent(topic)}`).join("&");
  stream = new EventSource(`${base}/events?${query}`);
  for (const kind of ["hello", "change", "ping"]) stream.addEventListener(kind, hear);
  stream.onerror = () => {
    if (++failures >= 3 || stream?.readyState === EventSource.CLOSED) {
      failures = Math.max(failures, 3);
      silence();
    }
    tell();
  };
}

function silence() {
  stream?.close();
  stream = null;
}

setInterval(() => {
  // Without a stream the page asks by itself, and now and then whether there is one again.
  if (document.hidden || held || stream || !topics.length) return;
  refresh();
  if (Math.random() < 0.1) {
    failures = 0;
    listen();
  }
}, POLL_MS);

// --- how fresh it is -----------------------------------------------------------------------------

let said = "";

function tell() {
  if (!mark || !topics.length) return;
  const age = Date.now() - heard;
  const [is, text] = held ? ["paused", "held: p goes on"]
    : !navigator.onLine ? ["offline", "offline"]
    : away ? ["stale", "the store does not answer"]
    : age > STALE_MS ? ["stale", `stale ${span(age)}`]
    : stream ? ["live", "live"]
    : ["polling", "every 5s"];
  mark.hidden = false;
  mark.dataset.is = is;
  if (text !== said) mark.textContent = said = text;
}

export function toggleHold() {
  held = !held;
  if (held) {
    silence();
  } else {
    failures = 0;
    listen();
    refresh();
  }
  tell();
}

let hiding = 0;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (document.hidden) {
    hiding = setTimeout(silence, HIDDEN_MS);
  } else if (!stream) {
    failures = 0;
    listen();
    refresh();
  }
});

document.addEventListener("pointerover", () => {
  for (const id of [...waiting.keys()]) {
    const list = document.getElementById(id);
    if (!list || !isBusy(list)) {
      showNew();
      return;
    }
  }
});

// One list at a time on a narrow screen; what is in the address is shown.
function showList() {
  const lists = [...document.querySelectorAll("[data-list]")];
  const chosen = lists.find((list) => `#${list.id}` === location.hash) ?? lists[0];
  for (const list of lists) list.toggleAttribute("data-shown", list === chosen);
  for (const tab of document.querySelectorAll(".tabs a")) {
    if (chosen && tab.hash === `#${chosen.id}`) tab.setAttribute("aria-current", "true");
    else tab.removeAttribute("aria-current");
  }
}

addEventListener("hashchange", showList);
addEventListener("online", tell);
addEventListener("offline", tell);
const first = Number(document.getElementById("main")?.dataset.now);
if (first) offset = first - Date.now();
showList();
showMood(document.getElementById("main"));
tellTimes();
listen();
tell();
setInterval(() => {
  tellTimes();
  tell();
}, 1_000);

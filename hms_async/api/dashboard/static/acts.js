// Asks in a dialog on the page at hand whether something is to be done; the form in it then goes its
// ordinary way. Without this script the question is a page of its own.

let dialog = null;

function close() {
  dialog?.close();
}

async function ask(url, from) {
  let part = null;
  try {
    const answer = await fetch(url, { headers: { "x-part": "1" }, credentials: "same-origin" });
    if (answer.status !== 401) {
      part = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("#main > .ask");
    }
  } catch {
    // The page itself says what is wrong.
  }
  if (!part) {
    location.assign(url);
    return;
  }
  dialog?.remove();
  dialog = document.createElement("dialog");
  dialog.className = "asking";
  const title = part.querySelector("h1");
  title.id = "asking-title";
  dialog.setAttribute("aria-labelledby", title.id);
  dialog.append(document.importNode(part, true));
  dialog.addEventListener("close", () => {
    dialog.remove();
    from?.focus?.();
  });
  document.body.append(dialog);
  dialog.showModal();
  dialog.querySelector("input:not([type=hidden]), textarea, button")?.focus();
}

document.addEventListener("click", (event) => {
  if (event.target === dialog || event.target.closest?.("dialog [data-close]")) {
    event.preventDefault();
    close();
    return;
  }
  const link = event.target.closest?.("a[data-act]");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  ask(link.href, link);
});

document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (event.target.matches(".ask")) {
    // Two clicks are one answer.
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "1";
    return;
  }
  if (!button?.matches("[data-act]")) return;
  event.preventDefault();
  const url = new URL(button.formAction);
  url.search = new URLSearchParams(new FormData(event.target)).toString();
  ask(url.href, button);
});

addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form.ask")) delete form.dataset.sent;
});

// What was done is told once: a page that is loaded again, or passed on, does not say it again.
const here = new URL(location.href);
if (here.searchParams.has("did")) {
  for (const name of ["did", "n", "of"]) here.searchParams.delete(name);
  history.replaceState(history.state, "", here);
}

// Append what a trial prints to its log until it has ended. Nothing is replaced: scrolling and selections stay.
const POLL_MS = 2000;
const MAX_CHARACTERS = 2 ** 20; // shown; the oldest parts beyond that are removed
const log = document.querySelector("[data-log]");
let after = Number(log?.dataset.after), characters = log?.textContent.length, busy = false, ended = !log, timer;

function append(text) {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 2;
  log.append(text); // as a text node
  characters += text.length;
  while (characters > MAX_CHARACTERS && log.childNodes.length > 1) {
    characters -= log.firstChild.length;
    log.firstChild.remove();
  }
  if (atEnd) log.scrollTop = log.scrollHeight;
}

async function follow() {
  clearTimeout(timer);
  if (busy || ended || document.hidden) return;
  busy = true;
  try {
    const response = await fetch(`${log.dataset.log}?after=${after}`);
    if (!response.ok) throw new Error(`log: ${response.status}`);
    const part = await response.json();
    log.hidden = !part.found;
    log.nextElementSibling.hidden = part.found;
    if (part.text) append(part.text);
    ({ after, ended } = part);
  } catch {} // tried again; live.js says that the service does not respond
  busy = false;
  timer = setTimeout(follow, POLL_MS);
}

if (log) log.scrollTop = log.scrollHeight;
document.addEventListener("visibilitychange", follow);
follow();

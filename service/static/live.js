// Keeps a page current: when its stream tells of something, fetches the page anew, replaces what is marked data-live
// and redraws the charts whose figures changed. Pages without a stream that are marked data-poll look now and then.
const POLL_MS = 3000;
const TOGETHER_MS = 100; // what happens within this is shown at once
const connection = document.getElementById("connection");
const summary = document.querySelector("[data-stream]");
const shown = new Map(); // chart → the figure it shows
let library; // promises Plotly; it is on its way while figures are fetched, and asked for again if it did not come
let stream, timer, newest = Number(summary?.dataset.event ?? 0), busy = false, again = false;

function plotly() {
  library ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = "/plotly.js";
    script.onload = done;
    script.onerror = () => {
      library = undefined;
      script.remove();
      failed(new Error("plotly.js did not come"));
    };
    document.head.append(script);
  });
  return library;
}

async function figureOf(chart) {
  const answer = await fetch(chart.dataset.figure);
  if (!answer.ok) throw new Error(`figure: ${answer.status}`);
  return answer.text();
}

async function draw(chart, text) {
  const color = getComputedStyle(document.body).color;
  if (shown.get(chart) === color + text) return;
  const figure = JSON.parse(text);
  const empty = figure.data.every((trace) => !(trace.y?.length || trace.x?.length || trace.dimensions?.length));
  chart.classList.toggle("empty", empty);
  if (empty) {
    chart.textContent = "No trial of this stage has a result.";
  } else {
    await plotly();
    if (!chart.classList.contains("js-plotly-plot")) chart.textContent = "";
    figure.layout.font = { ...figure.layout.font, color };
    await Plotly.react(chart, figure.data, figure.layout, { responsive: true, displaylogo: false, showSendToCloud: false });
    chart.dataset.drawn = "true";
  }
  shown.set(chart, color + text);
}

// All figures are on their way at once; each is drawn when it is there, from the top.
async function drawAll() {
  if (document.querySelector("[data-figure]")) plotly().catch(() => {});
  const charts = [...document.querySelectorAll("[data-figure]")].map((chart) => [chart, figureOf(chart)]);
  for (const [, text] of charts) text.catch(() => {}); // told of below, at its turn
  for (const [chart, text] of charts) await draw(chart, await text);
}

// Puts new content in place; what was unfolded stays so, and the focus stays on what has the same words.
function replace(part, html) {
  const open = [...part.querySelectorAll("details")].map((details) => details.open);
  const ticked = [...part.querySelectorAll("input:checked")].map((input) => input.value);
  const focus = part.contains(document.activeElement) ? document.activeElement.textContent : null;
  part.innerHTML = html;
  part.querySelectorAll("details").forEach((details, index) => { details.open = open[index] ?? false; });
  part.querySelectorAll("input[type=checkbox]").forEach((input) => { input.checked = ticked.includes(input.value); });
  if (focus !== null) [...part.querySelectorAll("a, button, summary")].find((each) => each.textContent === focus)?.focus();
}

async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (answer.redirected && new URL(answer.url).pathname === "/login") return location.reload();
  if (!answer.ok) throw new Error(`page: ${answer.status}`);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(part.id);
    if (!next || next.innerHTML === (part.dataset.html ?? part.innerHTML)) continue;
    part.dataset.html = next.innerHTML;
    part.toggleAttribute("data-poll", next.hasAttribute("data-poll"));
    replace(part, next.innerHTML);
  }
  await drawAll();
}

// Shows what is new; asked again meanwhile, does so once more.
async function update(show = refresh) {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  try {
    await show();
    while (again) {
      again = false;
      await refresh();
    }
    if (!stream || stream.readyState === EventSource.OPEN) connection.textContent = "";
  } catch {
    connection.textContent = "reconnecting …";
    again = false;
    later(update, POLL_MS);
  }
  busy = false;
  if (!stream && document.querySelector("[data-poll]")) later(update, POLL_MS);
}

function later(work, milliseconds) {
  clearTimeout(timer);
  timer = setTimeout(() => work(), milliseconds);
}

function follow() {
  stream = new EventSource(`${summary.dataset.stream}?after=${newest}`);
  stream.onopen = () => { connection.textContent = ""; };
  stream.onmessage = (event) => {
    newest = Number(event.lastEventId);
    later(update, TOGETHER_MS);
  };
  stream.onerror = () => {
    connection.textContent = "reconnecting …";
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => { update(); follow(); }, POLL_MS); // turned away
  };
}

// A hidden page keeps no stream: browsers allow six connections to a service, and tabs are forgotten open.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    stream?.close();
    clearTimeout(timer);
  } else {
    if (summary) follow();
    update();
  }
});
document.addEventListener("changed", () => update());
for (const select of document.querySelectorAll("[data-draws]")) {
  select.addEventListener("change", () => {
    document.getElementById(select.dataset.draws).dataset.figure = select.value;
    update();
  });
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => update());

if (summary) follow();
update(drawAll);

// Keep a page up to date: after an event of its stream, fetch the page again, replace the parts marked data-live and
// redraw the charts whose figures changed. Pages without a stream poll if a part is marked data-poll.
const POLL_MS = 3000;
const DEBOUNCE_MS = 100; // events within this time cause one update
const connection = document.getElementById("connection");
const summary = document.querySelector("[data-stream]");
const shown = new Map(); // chart → the figure it shows
let library; // promise of Plotly: loaded while figures are fetched, and requested again after an error
let stream, timer, newest = Number(summary?.dataset.event ?? 0), busy = false, again = false;
let stale = true; // whether the charts may have changed: not by how far running trials are

function loadPlotly() {
  library ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "/plotly.js";
    script.onload = resolve;
    script.onerror = () => {
      library = undefined;
      script.remove();
      reject(new Error("plotly.js could not be loaded"));
    };
    document.head.append(script);
  });
  return library;
}

async function fetchFigure(chart) {
  const response = await fetch(chart.dataset.figure);
  if (!response.ok) throw new Error(`figure: ${response.status}`);
  return response.text();
}

async function draw(chart, text) {
  const color = getComputedStyle(document.body).color;
  if (shown.get(chart) === color + text) return;
  const figure = JSON.parse(text);
  const empty = figure.data.every((trace) => !(trace.y?.length || trace.x?.length || trace.dimensions?.length));
  chart.classList.toggle("empty", empty);
  if (empty) {
    chart.textContent = "No trial of this stage has a result.";
    chart.style.minHeight = "";
  } else {
    await loadPlotly();
    if (!chart.classList.contains("js-plotly-plot")) chart.textContent = "";
    chart.style.minHeight = `${figure.layout.height}px`; // Plotly gives up the height when the window is resized
    figure.layout.font = { ...figure.layout.font, color };
    await Plotly.react(chart, figure.data, figure.layout, { responsive: true, displaylogo: false, showSendToCloud: false });
    chart.dataset.drawn = "true";
  }
  shown.set(chart, color + text);
}

// Fetch all figures at once; draw them one after another, from the top.
async function drawAll() {
  stale = false;
  if (document.querySelector("[data-figure]")) loadPlotly().catch(() => {});
  const charts = [...document.querySelectorAll("[data-figure]")].map((chart) => [chart, fetchFigure(chart)]);
  for (const [, text] of charts) text.catch(() => {}); // the loop below reports the error
  for (const [chart, text] of charts) await draw(chart, await text);
}

// Replace the content of a part; keep open details, checked boxes, and the focus on the element with the same text.
function replace(part, html) {
  const open = [...part.querySelectorAll("details")].map((details) => details.open);
  const checked = [...part.querySelectorAll("input:checked")].map((input) => input.value);
  const focus = part.contains(document.activeElement) ? document.activeElement.textContent : null;
  part.innerHTML = html;
  part.querySelectorAll("details").forEach((details, index) => { details.open = open[index] ?? false; });
  part.querySelectorAll("input[type=checkbox]").forEach((input) => { input.checked = checked.includes(input.value); });
  if (focus !== null) [...part.querySelectorAll("a, button, summary")].find((each) => each.textContent === focus)?.focus();
}

async function refresh() {
  const response = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (response.redirected && new URL(response.url).pathname === "/login") return location.reload();
  if (!response.ok) throw new Error(`page: ${response.status}`);
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(part.id);
    if (!next || next.innerHTML === (part.dataset.html ?? part.innerHTML)) continue;
    part.dataset.html = next.innerHTML;
    part.toggleAttribute("data-poll", next.hasAttribute("data-poll"));
    replace(part, next.innerHTML);
  }
  if (stale) await drawAll();
}

// Update the page; if called while an update runs, run once more after it.
async function update(show = refresh, redraw = true) {
  stale ||= redraw;
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
    stale = true;
    schedule(update, POLL_MS);
  }
  busy = false;
  if (!stream && document.querySelector("[data-poll]")) schedule(update, POLL_MS);
}

function schedule(work, milliseconds) {
  clearTimeout(timer);
  timer = setTimeout(() => work(), milliseconds);
}

function follow() {
  stream = new EventSource(`${summary.dataset.stream}?after=${newest}`);
  stream.onopen = () => { connection.textContent = ""; };
  stream.onmessage = (event) => {
    newest = Number(event.lastEventId);
    stale ||= JSON.parse(event.data).kind !== "progress";
    schedule(() => update(refresh, false), DEBOUNCE_MS);
  };
  stream.onerror = () => {
    connection.textContent = "reconnecting …";
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => { update(); follow(); }, POLL_MS); // the service refused the stream
  };
}

// Close the stream of a hidden page: browsers allow six connections to a service, and users leave tabs open.
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

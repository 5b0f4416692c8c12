// Keeps a page current: fetches it anew, replaces what is marked data-live, redraws charts when their figures changed.
"use strict";

const POLL_MS = 2000;
const connection = document.getElementById("connection");
let version = document.querySelector("[data-version]")?.dataset.version;

async function draw(chart) {
  const answer = await fetch(chart.dataset.figure);
  if (!answer.ok) throw new Error(`figure: ${answer.status}`);
  const figure = await answer.json();
  const empty = figure.data.every((trace) => !trace.y || trace.y.length === 0);
  chart.classList.toggle("empty", empty);
  if (empty) {
    chart.textContent = "No trial of this stage has a result.";
    return;
  }
  if (!chart.classList.contains("js-plotly-plot")) chart.textContent = "";
  const text = getComputedStyle(document.body).color;
  figure.layout.font = { ...figure.layout.font, color: text };
  await Plotly.react(chart, figure.data, figure.layout, { responsive: true, displaylogo: false });
  chart.dataset.drawn = "true";
}

async function drawAll() {
  for (const chart of document.querySelectorAll("[data-figure]")) await draw(chart);
}

async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) throw new Error(`page: ${answer.status}`);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(part.id);
    if (!next || next.innerHTML === part.dataset.html) continue;
    const open = [...part.querySelectorAll("details")].map((details) => details.open);
    part.dataset.html = next.innerHTML;
    part.innerHTML = next.innerHTML;
    part.querySelectorAll("details").forEach((details, index) => { details.open = open[index] ?? false; });
  }
  const next = fresh.querySelector("[data-version]")?.dataset.version;
  if (next !== version) {
    version = next;
    await drawAll();
  }
  return fresh.querySelector("[data-ended]") !== null;
}

async function keepCurrent() {
  try {
    const ended = await refresh();
    connection.textContent = "";
    if (ended) return;
  } catch {
    connection.textContent = "reconnecting …";
  }
  setTimeout(keepCurrent, POLL_MS);
}

drawAll()
  .catch(() => { connection.textContent = "reconnecting …"; version = ""; })
  .finally(() => { if (document.querySelector("[data-live]")) setTimeout(keepCurrent, POLL_MS); });

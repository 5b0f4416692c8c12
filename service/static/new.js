// The form of a new search: shows its plan as one types, and submits it once.
import { change, say } from "./actions.js";

const form = document.getElementById("new-search");
const sentence = document.getElementById("plan-sentence");
const kept = JSON.parse(document.getElementById("kept").textContent); // fields that the form does not show
const key = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
let asked = 0;

const listed = (text) => text.split(",").map((part) => part.trim()).filter((part) => part !== "");
const whole = (text) => (/^\d+$/.test(text) ? Number(text) : text); // what is no number is refused with its reason
const number = (text) => (text.trim() === "" || Number.isNaN(Number(text)) ? text : Number(text));

// What is written into a field, by its kind; undefined where an empty one is left out.
const read = {
  choice: (text) => text,
  text: (text) => text,
  switch: (text) => text !== "",
  lines: (text) => text.replaceAll("\r\n", "\n"),
  words: listed,
  integers: (text) => listed(text).map(whole),
  count: (text) => (listed(text).length === 1 ? whole(text.trim()) : listed(text).map(whole)),
  integer: (text) => (text === "" ? undefined : number(text)),
  number: (text) => (text === "" ? undefined : number(text)),
  "number-or-word": (text) => number(text.trim()),
};

function fields() {
  const given = new FormData(form);
  const text = (name) => given.get(name) ?? "";
  const spec = { ...kept, recipe: text("recipe"), numbers: { ...kept.numbers } };
  for (const { name, dataset } of form.querySelectorAll("[data-kind]")) {
    const value = read[dataset.kind](text(name));
    if (value !== undefined) spec[name] = value;
  }
  if (text("data") !== "") spec.data = text("data");
  for (const [name, value] of given) {
    if (name.startsWith("numbers.") && value !== "") spec.numbers[name.slice("numbers.".length)] = value;
  }
  return spec;
}

function row(...cells) {
  const line = document.createElement("tr");
  for (const cell of cells) line.insertCell().textContent = cell;
  return line;
}

async function plan() {
  const turn = ++asked;
  const stages = document.getElementById("plan-stages");
  const refused = document.getElementById("refused");
  try {
    const priced = await change("/api/searches/plan", { body: fields() });
    if (turn !== asked) return;
    const others = Object.entries(priced.totals).filter(([name]) => name !== priced.strategy);
    sentence.textContent = `${priced.trials} trials at the most (${others.map(([name, trials]) => `${name}: ${trials}`).join(", ")})${priced.seconds ? `, about ${Math.ceil(priced.seconds / 60)} min` : ""}.`;
    stages.replaceChildren(...Object.entries(priced.stages).map(([name, trials]) => row(`stage ${name}`, `${trials} trials`)));
    refused.replaceChildren(...priced.refused.map(({ value, reason }) => {
      const item = document.createElement("li");
      item.textContent = `${value} is refused: ${reason}`;
      return item;
    }));
    document.getElementById("submit").disabled = priced.refused.length > 0;
  } catch (error) {
    if (turn !== asked) return;
    sentence.textContent = error.message;
    stages.replaceChildren();
    refused.replaceChildren();
    document.getElementById("submit").disabled = true;
  }
}

let timer;
form.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(plan, 200);
});

document.getElementById("recipe").addEventListener("change", (event) => {
  location.assign(`/new?recipe=${encodeURIComponent(event.target.value)}`);
});

document.getElementById("preset")?.addEventListener("change", (event) => {
  for (const [name, value] of Object.entries(JSON.parse(event.target.value))) form.elements[`numbers.${name}`].value = value;
  plan();
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = document.getElementById("submit");
  button.disabled = true;
  const body = fields();
  const bytes = new TextEncoder().encode(JSON.stringify(body));
  try {
    const { search } = await change("/api/searches", { body, headers: { "Idempotency-Key": `${key}-${checksum(bytes)}` } });
    location.assign(`/searches/${search}`);
  } catch (error) {
    say(error.message);
    button.disabled = false;
  }
});

// The same form sent twice is one search; a changed one is another.
function checksum(bytes) {
  let sum = 0;
  for (const byte of bytes) sum = (Math.imul(sum, 31) + byte) >>> 0;
  return sum;
}

plan();

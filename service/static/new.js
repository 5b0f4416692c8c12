// The form for a new search: show its plan while the user types, and submit it once.
import { change, showMessage } from "./actions.js";

const form = document.getElementById("new-search");
const sentence = document.getElementById("plan-sentence");
const hiddenFields = JSON.parse(document.getElementById("hidden-fields").textContent); // of the spec, not in the form
const idempotencyKey = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
let requests = 0;

const split = (text) => text.split(",").map((part) => part.trim()).filter((part) => part !== "");
const whole = (text) => (/^\d+$/.test(text) ? Number(text) : text); // the service refuses other text, with a reason
const pairs = (text) => Object.fromEntries(split(text).map((pair) => [pair.split("=", 1)[0].trim(), pair.slice(pair.indexOf("=") + 1 || pair.length).trim()]));
const number = (text) => (text.trim() === "" || Number.isNaN(Number(text)) ? text : Number(text));

// Read a line such as "learning_rate = 0.05, 0.1"; the service refuses an axis without a name or without values.
function readAxis(line) {
  const [name, ...values] = line.split("=");
  return [name.trim(), split(values.join("=")).map(number)];
}

// Convert the text of a field to its value, by kind; undefined leaves an empty field out.
const read = {
  choice: (text) => (text === "" ? undefined : text),
  text: (text) => text,
  switch: (text) => text !== "",
  lines: (text) => text.replaceAll("\r\n", "\n"),
  words: split,
  axes: (text) => Object.fromEntries(text.split("\n").filter((line) => line.trim() !== "").map(readAxis)),
  integers: (text) => split(text).map(whole),
  count: (text) => (split(text).length === 1 ? whole(text.trim()) : split(text).map(whole)),
  integer: (text) => (text === "" ? undefined : number(text)),
  number: (text) => (text === "" ? undefined : number(text)),
  "number-or-word": (text) => number(text.trim()),
};

function fields() {
  const data = new FormData(form);
  const text = (name) => data.get(name) ?? "";
  const spec = { ...hiddenFields, recipe: text("recipe"), numbers: { ...hiddenFields.numbers } };
  for (const { name, dataset } of form.querySelectorAll("[data-kind]")) {
    const value = read[dataset.kind](text(name));
    if (value !== undefined) spec[name] = value;
  }
  if (text("data") !== "") spec.data = text("data");
  if (text("test_numbers") !== "") spec.test_numbers = pairs(text("test_numbers"));
  for (const [name, value] of data) {
    if (name.startsWith("numbers.") && value !== "") spec.numbers[name.slice("numbers.".length)] = value;
  }
  return spec;
}

function row(...cells) {
  const line = document.createElement("tr");
  for (const cell of cells) line.insertCell().textContent = cell;
  return line;
}

async function showPlan() {
  const request = ++requests;
  const stages = document.getElementById("plan-stages");
  const refused = document.getElementById("refused");
  try {
    const plan = await change("/api/searches/plan", { body: fields() });
    if (request !== requests) return; // a later one is under way
    const others = Object.entries(plan.totals).filter(([name]) => name !== plan.strategy);
    sentence.textContent = `At most ${plan.trials} ${plan.trials === 1 ? "trial" : "trials"} (${others.map(([name, trials]) => `${name}: ${trials}`).join(", ")})${plan.seconds ? `, about ${Math.ceil(plan.seconds / 60)} min` : ""}.${plan.data && ` ${plan.data}`}`;
    stages.replaceChildren(...Object.entries(plan.stages).map(([name, trials]) => row(`stage ${name}`, `${trials} ${trials === 1 ? "trial" : "trials"}`)));
    refused.replaceChildren(...plan.refused.map(({ value, reason }) => {
      const item = document.createElement("li");
      item.textContent = value === "data" ? reason : `${value} is refused: ${reason}`;
      return item;
    }));
    document.getElementById("submit").disabled = plan.refused.length > 0;
  } catch (error) {
    if (request !== requests) return; // a later one is under way
    sentence.textContent = error.message;
    stages.replaceChildren();
    refused.replaceChildren();
    document.getElementById("submit").disabled = true;
  }
}

let timer;
form.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(showPlan, 200);
});

document.getElementById("recipe").addEventListener("change", (event) => {
  location.assign(`/new?recipe=${encodeURIComponent(event.target.value)}`);
});

document.getElementById("preset")?.addEventListener("change", (event) => {
  for (const [name, value] of Object.entries(JSON.parse(event.target.value))) form.elements[`numbers.${name}`].value = value;
  showPlan();
});

document.getElementById("test-preset")?.addEventListener("change", (event) => {
  const numbers = Object.entries(JSON.parse(event.target.value));
  form.elements.test_numbers.value = numbers.map(([name, value]) => `${name}=${value}`).join(", ");
  showPlan();
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = document.getElementById("submit");
  button.disabled = true;
  const body = fields();
  const bytes = new TextEncoder().encode(JSON.stringify(body));
  try {
    const { search } = await change("/api/searches", { body, headers: { "Idempotency-Key": `${idempotencyKey}-${checksum(bytes)}` } });
    location.assign(`/searches/${search}`);
  } catch (error) {
    showMessage(error.message);
    button.disabled = false;
  }
});

// Part of the idempotency key: the same form sent twice is one search, a changed form another.
function checksum(bytes) {
  let sum = 0;
  for (const byte of bytes) sum = (Math.imul(sum, 31) + byte) >>> 0;
  return sum;
}

showPlan();

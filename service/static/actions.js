// Buttons and forms that change something: each names its route in data-action. Errors are shown in #message.
const message = document.getElementById("message");

// Send a change. Other sites cannot make a browser send the X-Requested-With header.
export async function change(path, { method = "POST", body = undefined, headers = {} } = {}) {
  const response = await fetch(path, {
    method,
    body: body === undefined ? undefined : JSON.stringify(body),
    headers: { "X-Requested-With": "seqnorm", ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
  });
  const text = await response.text();
  const content = text ? JSON.parse(text) : null;
  if (!response.ok) throw new Error(content?.detail ?? `the service responded with ${response.status}`);
  return content;
}

export function showMessage(text) {
  message.textContent = text;
  message.hidden = text === "";
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-action]");
  if (!button || (button.dataset.confirm && !window.confirm(button.dataset.confirm))) return;
  button.disabled = true;
  showMessage("");
  try {
    const state = await change(button.dataset.action, {
      method: button.dataset.method,
      body: button.dataset.body && JSON.parse(button.dataset.body),
    });
    if (state?.parent) location.assign(`/searches/${state.search}`);
    else document.dispatchEvent(new Event("changed"));
  } catch (error) {
    showMessage(error.message);
  }
  button.disabled = false;
});

document.getElementById("logout")?.addEventListener("click", async () => {
  try {
    await change("/logout");
    location.assign("/login");
  } catch (error) {
    showMessage(error.message);
  }
});

document.getElementById("new-token")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const days = form.get("days");
  try {
    const created = await change(event.target.dataset.action, {
      body: { name: form.get("name"), owner: form.get("owner"), scopes: form.getAll("scopes"), days: days === "" ? null : Number(days) },
    });
    document.getElementById("made-text").textContent = created.text;
    document.getElementById("made").hidden = false;
    showMessage("");
    document.dispatchEvent(new Event("changed"));
  } catch (error) {
    showMessage(error.message);
  }
});

document.querySelector("#widen form")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const counts = (name) => form.get(name).split(/[ ,]+/).filter(Boolean).map(Number);
  try {
    const child = await change(event.target.dataset.action, {
      body: { gm: counts("gm"), gc: counts("gc"), seeds: Number(form.get("seeds")) },
    });
    location.assign(`/searches/${child.search}`);
  } catch (error) {
    showMessage(error.message);
  }
});

document.body.dataset.ready = "true"; // buttons ignore clicks until this is set

// Buttons that change something: each names its route; what the service answers is said on the page.
const said = document.getElementById("said");

// Changes carry a header that no other site can make a browser send.
export async function change(path, { method = "POST", body = undefined, headers = {} } = {}) {
  const answer = await fetch(path, {
    method,
    body: body === undefined ? undefined : JSON.stringify(body),
    headers: { "X-Requested-With": "seqnorm", ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
  });
  const text = await answer.text();
  const content = text ? JSON.parse(text) : null;
  if (!answer.ok) throw new Error(content?.detail ?? `the service answered ${answer.status}`);
  return content;
}

export function say(text) {
  said.textContent = text;
  said.hidden = text === "";
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-action]");
  if (!button || (button.dataset.confirm && !window.confirm(button.dataset.confirm))) return;
  button.disabled = true;
  say("");
  try {
    const answer = await change(button.dataset.action, {
      method: button.dataset.method,
      body: button.dataset.body && JSON.parse(button.dataset.body),
    });
    if (answer?.parent) location.assign(`/searches/${answer.search}`);
    else document.dispatchEvent(new Event("changed"));
  } catch (error) {
    say(error.message);
  }
  button.disabled = false;
});

document.getElementById("logout")?.addEventListener("click", async () => {
  try {
    await change("/logout");
    location.assign("/login");
  } catch (error) {
    say(error.message);
  }
});

document.getElementById("new-token")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const days = form.get("days");
  try {
    const made = await change(event.target.dataset.action, {
      body: { name: form.get("name"), owner: form.get("owner"), scopes: form.getAll("scopes"), days: days === "" ? null : Number(days) },
    });
    document.getElementById("made-text").textContent = made.text;
    document.getElementById("made").hidden = false;
    say("");
    document.dispatchEvent(new Event("changed"));
  } catch (error) {
    say(error.message);
  }
});

document.querySelector("#widen form")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const counts = (name) => form.get(name).split(/[ ,]+/).filter(Boolean).map(Number);
  try {
    const made = await change(event.target.dataset.action, {
      body: { gm: counts("gm"), gc: counts("gc"), seeds: Number(form.get("seeds")) },
    });
    location.assign(`/searches/${made.search}`);
  } catch (error) {
    say(error.message);
  }
});

document.body.dataset.ready = "true"; // until now a click would have been for nothing

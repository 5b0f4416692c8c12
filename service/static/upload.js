// Add a data set to the service, show how much has arrived, and choose it in the form.
const form = document.getElementById("new-search");
const file = document.getElementById("upload-file");
const name = document.getElementById("upload-name");
const send = document.getElementById("upload-send");
const cancel = document.getElementById("upload-cancel");
const progress = document.getElementById("upload-progress");
const message = document.getElementById("upload-message");
const { maxBytes, max } = document.getElementById("upload")?.dataset ?? {};

const suffix = () => /\.(zip|npz)$/i.exec(file.files[0]?.name ?? "")?.[0].toLowerCase();
const dataSet = () => (suffix() === ".npz" ? `${name.value}.npz` : name.value);
const inputs = () => [...form.querySelectorAll("#data-rows input")];

// Say what the service would refuse after all of the file has been sent.
function findFault() {
  if (!suffix()) return "Choose a file whose name ends in .zip or .npz.";
  if (file.files[0].size > Number(maxBytes)) return `A data set may have at most ${max}: choose a smaller file.`;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name.value)) return "Under “Name of the data set”, give letters, digits, points, underscores and hyphens, a letter or digit first.";
  if (inputs().some(({ value }) => value === dataSet())) return `${dataSet()} is there already: give another under “Name of the data set”.`;
  return "";
}

// Send the file; fetch could not tell how much of it has arrived.
function sendFile(request) {
  return new Promise((resolve, reject) => {
    request.open("POST", `/api/data?name=${encodeURIComponent(`${name.value}${suffix()}`)}`);
    request.setRequestHeader("X-Requested-With", "seqnorm");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      progress.value = loaded / total;
      if (loaded === total) message.textContent = "Unpacking and checking …";
    });
    request.addEventListener("error", () => reject(new Error("The connection was lost. Click “Upload” again.")));
    request.addEventListener("abort", () => reject(new Error("Cancelled; nothing of it is kept.")));
    request.addEventListener("load", () => {
      const content = readJson(request.responseText);
      if (request.status === 201) resolve(content);
      else reject(new Error(content?.detail ?? `The service responded with ${request.status}.`));
    });
    request.send(file.files[0]);
  });
}

function readJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

async function showRows(chosen) {
  const response = await fetch(location.href, { headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  document.getElementById("data-rows").replaceWith(page.getElementById("data-rows"));
  for (const input of inputs()) input.checked = input.value === chosen;
  form.dispatchEvent(new Event("input"));
}

file?.addEventListener("change", () => {
  const stem = (file.files[0]?.name ?? "").replace(/\.[^.]*$/, "");
  name.value = stem.replaceAll(/[^A-Za-z0-9._-]+/g, "-").replace(/^[^A-Za-z0-9]+/, "").slice(0, name.maxLength - ".npz".length).replace(/[^A-Za-z0-9]+$/, "");
  send.disabled = file.files.length === 0;
  message.textContent = "";
});

name?.addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault(); // it would start the search
  send.click();
});

send?.addEventListener("click", async () => {
  message.textContent = findFault();
  if (message.textContent) return;
  const request = new XMLHttpRequest();
  const abort = () => request.abort();
  cancel.addEventListener("click", abort);
  send.disabled = name.disabled = file.disabled = true;
  cancel.hidden = progress.hidden = false;
  try {
    const placed = await sendFile(request);
    await showRows(placed.name);
    message.textContent = `${placed.name} is there, with ${placed.classes} classes, and chosen.`;
    file.value = name.value = "";
  } catch (error) {
    message.textContent = error.message;
  }
  cancel.removeEventListener("click", abort);
  name.disabled = file.disabled = false;
  send.disabled = file.files.length === 0;
  cancel.hidden = progress.hidden = true;
  progress.value = 0;
});

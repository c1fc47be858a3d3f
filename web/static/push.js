// Messages to this browser (docs/NOTIFICATIONS.md): asked for by a press, repaired on each load.
const DEVICES = "/me/devices";
// The id that the site knows this browser by, and the endpoint that it was told.
const [ID, ENDPOINT] = ["push", "push-endpoint"];

export async function worker() {
  const url = "/worker.js";
  const rule = { createScriptURL: (text) => (text === url ? text : "") };
  const trusted = globalThis.trustedTypes?.createPolicy("worker", rule).createScriptURL(url) ?? url;
  await navigator.serviceWorker.register(trusted, { updateViaCache: "none" });
  return navigator.serviceWorker.ready;
}

async function told() {
  const answer = await fetch(`${DEVICES}/key`, { redirect: "error" });
  return answer.ok ? answer.json() : {};
}

async function send(path, fields) {
  const answer = await fetch(path, { method: "POST", body: new URLSearchParams(fields), redirect: "manual" });
  if (!answer.ok && answer.type !== "opaqueredirect") throw Error(answer.status);
  return answer;
}

const bytesOf = (text) => Uint8Array.from(atob(text.replace(/[-_]/g, (one) => (one === "-" ? "+" : "/"))), (one) => one.charCodeAt(0));
const isSame = (one, other) => one?.byteLength === other.length && new Uint8Array(one).every((byte, at) => byte === other[at]);

async function subscribe({ key, key_id, form_token }) {
  const { pushManager } = await worker();
  const applicationServerKey = bytesOf(key);
  let found = await pushManager.getSubscription();
  if (found && !isSame(found.options.applicationServerKey, applicationServerKey)) {
    await found.unsubscribe();
    found = null;
  }
  found ??= await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey });
  if (localStorage[ID] && localStorage[ENDPOINT] === found.endpoint) return;
  const { endpoint, keys } = found.toJSON();
  const answer = await send(DEVICES, { form_token, key_id, endpoint, ...keys });
  localStorage[ID] = (await answer.json()).id;
  localStorage[ENDPOINT] = endpoint;
}

// What was subscribed may have gone, or changed, without a word.
export async function repair() {
  const found = await told();
  if (found.key && Notification.permission === "granted") await subscribe(found);
}

export async function offer(part) {
  if (!globalThis.PushManager || !globalThis.Notification || !navigator.serviceWorker) return;
  const found = await told();
  if (!found.key) return;
  const [button, said] = [part.querySelector("button"), part.querySelector("[role=status]")];
  const { dataset } = part;
  const end = (text) => {
    button.hidden = text === dataset.on;
    said.textContent = text;
  };
  const own = localStorage[ID];
  document.querySelector(`[data-device="${CSS.escape(own ?? "")}"] [data-this]`)?.removeAttribute("hidden");
  if (own) end(dataset.on);
  part.hidden = false;
  button.addEventListener("click", async () => {
    try {
      if ((await Notification.requestPermission()) !== "granted") return end(dataset.no);
      await subscribe(found);
      if (location.pathname === DEVICES) return location.reload();
      end(dataset.on);
    } catch {
      end(dataset.failed);
    }
  });
}

// Who takes this browser off the list has it subscribed no more; who signs out as well.
export async function leave(isToBeSaid) {
  const found = await (await navigator.serviceWorker?.getRegistration())?.pushManager?.getSubscription();
  await found?.unsubscribe();
  if (isToBeSaid) await send(`${DEVICES}/${localStorage[ID]}`, { form_token: (await told()).form_token, do: "end" });
  localStorage.removeItem(ID);
  localStorage.removeItem(ENDPOINT);
}

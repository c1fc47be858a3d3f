// Checks a receipt as docs/RECEIPTS.md says, with the keys that the page came with and without the
// network. What it cannot do the server does: then the form is sent.
const CONTEXT = new TextEncoder().encode("evently receipt v1\0");
const CHARS_MAX = 8192;
const PROOF_BYTES = 73;

// One receipt has one text: the very spelling of base64url, without padding.
function unpack(text) {
  const raw = atob(text.replace(/[-_]/g, (one) => (one === "-" ? "+" : "/")));
  if (btoa(raw).replace(/[+/=]/g, (one) => ({ "+": "-", "/": "_", "=": "" })[one]) !== text) throw Error("spelling");
  return Uint8Array.from(raw, (one) => one.charCodeAt(0));
}

async function hash(...parts) {
  const whole = join(...parts);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
}

function join(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

async function rootOf(leaf, index, size, path) {
  let node = await hash(Uint8Array.of(0), leaf);
  let last = size - 1;
  if (index > last || path.length % 32) throw Error("place");
  for (let at = 0; at < path.length; at += 32) {
    const step = path.subarray(at, at + 32);
    if (last === 0) throw Error("path");
    const isRight = index % 2 === 1 || index === last;
    node = await hash(Uint8Array.of(1), isRight ? step : node, isRight ? node : step);
    while (isRight && index % 2 === 0 && index > 0) [index, last] = [index >> 1, last >> 1];
    [index, last] = [index >> 1, last >> 1];
  }
  if (last) throw Error("path");
  return node;
}

function keyOf(raw) {
  return crypto.subtle.importKey("raw", raw, "Ed25519", false, ["verify"]);
}

// Returns what the receipt says, or null if none of the keys (base64url, by id in hex) signed it.
export async function verified(text, keys) {
  try {
    if (text.length > CHARS_MAX) return null;
    const dot = text.indexOf(".");
    const [leaf, proof] = [unpack(text.slice(0, dot)), unpack(text.slice(dot + 1))];
    if (dot < 0 || proof.length < PROOF_BYTES || proof[0] !== 1) return null;
    const id = [...proof.subarray(1, 5)].map((one) => one.toString(16).padStart(2, "0")).join("");
    if (!Object.hasOwn(keys, id)) return null;
    const [index, size] = [(proof[5] << 8) | proof[6], (proof[7] << 8) | proof[8]];
    const root = await rootOf(leaf, index, size, proof.subarray(PROOF_BYTES));
    const message = join(CONTEXT, proof.subarray(7, 9), root);
    const key = await keyOf(unpack(keys[id]));
    if (!(await crypto.subtle.verify("Ed25519", key, proof.subarray(9, PROOF_BYTES), message))) return null;
    const said = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(leaf));
    return said.v === 1 ? said : null;
  } catch {
    return null;
  }
}

function show(form, said) {
  for (const one of document.querySelectorAll("[data-verdict]")) one.hidden = (one.dataset.verdict === "good") !== Boolean(said);
  if (!said) return;
  const places = said.items.reduce((sum, item) => sum + item[1], 0);
  const at = new Date(said.at_ms);
  const lang = document.documentElement.lang;
  const told = {
    booking: said.booking_id,
    event: said.event_id,
    places: places.toLocaleString(lang),
    at: `${at.toLocaleString(lang, { timeZone: "UTC", dateStyle: "full", timeStyle: "medium" })} (UTC)`,
    place: `${said.shard} / ${said.epoch} / ${said.seq}`,
  };
  for (const [name, text] of Object.entries(told)) document.querySelector(`[data-said=${name}]`).textContent = text;
}

const form = globalThis.document?.querySelector("[data-keys]");
if (form) {
  const keys = JSON.parse(form.dataset.keys);
  const check = async () => show(form, await verified(form.elements.receipt.value.replace(/\s/g, ""), keys));
  try {
    await Promise.all(Object.values(keys).map((one) => keyOf(unpack(one))));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      event.stopPropagation();
      check();
    });
    document.querySelector("[data-here]").hidden = false;
    if (form.elements.receipt.value) await check();
  } catch {
    // No Ed25519 here, or no secure context: the server says the verdict.
  }
}

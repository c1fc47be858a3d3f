// A section's seats, alive: what goes and comes is shown where it is, by the event's stream. One
// tab of a browser listens and tells the others; arrows move within a row.
const plan = document.querySelector("[data-seats]");
const sum = document.querySelector("[data-sum]");
const boxes = new Map([...plan.querySelectorAll("input")].map((box) => [box.value, box]));
const own = plan.dataset;
const base = `/v1/events/${own.seats}`;
const language = document.documentElement.lang;
const spoken = document.createElement("p");
spoken.setAttribute("role", "status");
spoken.className = "notice";
let version = Number(own.version);

// What is chosen is called by row and seat: the first two parts of its name.
const seatOf = (box) => box.getAttribute("aria-label").split(", ", 2).join(", ");

function count() {
  const chosen = [...boxes.values()].filter((box) => box.checked);
  const full = chosen.length >= Number(own.most);
  for (const box of boxes.values()) box.toggleAttribute("data-full", full && !box.checked);
  const digits = new Intl.NumberFormat(language, { style: "currency", currency: own.currency });
  const minor = 10 ** digits.resolvedOptions().maximumFractionDigits;
  const price = digits.format((chosen.length * Number(own.amount)) / minor);
  sum.textContent = chosen.length ? `${chosen.map(seatOf).join("; ")} · ${price}` : "";
}

function put(box, isFree) {
  if (box.disabled !== isFree) return;
  if (!isFree && box.checked) {
    box.checked = false;
    plan.before(spoken);
    spoken.textContent = `${seatOf(box)}: ${own.gone}`;
  }
  const [from, to] = isFree ? [own.taken, own.price] : [own.price, own.taken];
  box.setAttribute("aria-label", box.getAttribute("aria-label").replace(`, ${from}`, `, ${to}`));
  box.disabled = !isFree;
}

function apply(told) {
  if (!told.changes) return reread(-1);
  for (const change of told.changes) {
    if (change.version <= version) continue;
    for (const id of change.seat_ids) if (boxes.has(id)) put(boxes.get(id), change.status === "f");
  }
  version = Math.max(version, told.version);
  count();
}

async function reread(since) {
  const answer = await fetch(`${base}/seats${since < 0 ? "" : `?since=${since}`}`, { cache: "no-cache" });
  if (!answer.ok) return;
  const map = await answer.json();
  if (map.changes) return apply(map);
  for (const section of map.sections ?? []) {
    [...section.status].forEach((letter, at) => {
      const box = boxes.get(`s${section.section_no}-${at + 1}`);
      if (box) put(box, letter === "f");
    });
  }
  version = map.version;
  count();
}

const channel = new BroadcastChannel(`seats ${own.seats}`);
channel.onmessage = ({ data }) => hear(data.kind, data.told);

function hear(kind, told) {
  if (kind === "seats") apply(told);
  else if (told.seats_version > version) reread(version);
}

function listen() {
  const stream = new EventSource(`${base}/stream`);
  for (const kind of ["state", "seats"]) {
    stream.addEventListener(kind, (event) => {
      const told = JSON.parse(event.data);
      channel.postMessage({ kind, told });
      hear(kind, told);
    });
  }
}
// Whoever has the lock listens, until its tab is closed; then the next one does.
navigator.locks?.request(`stream ${own.seats}`, () => {
  listen();
  if (version) reread(version);
  return new Promise(() => {});
});

for (const row of plan.querySelectorAll("fieldset")) {
  const seats = [...row.querySelectorAll("input")];
  const free = () => seats.filter((box) => !box.disabled);
  const enter = (box) => {
    for (const one of seats) one.tabIndex = one === box ? 0 : -1;
  };
  enter(free()[0]);
  row.addEventListener("focusin", (event) => enter(event.target));
  row.addEventListener("keydown", (event) => {
    const rtl = document.dir === "rtl" ? -1 : 1;
    const step = { ArrowRight: rtl, ArrowLeft: -rtl }[event.key];
    if (!step) return;
    event.preventDefault();
    const there = free();
    there[there.indexOf(event.target) + step]?.focus();
  });
}
plan.addEventListener("change", (event) => {
  if (event.target.hasAttribute("data-full")) event.target.checked = false;
  count();
});
count();

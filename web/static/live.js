// An event's page as it is now. The event's stream says when something else is to be seen; the page
// itself is then asked for once more, in its own language, and its parts are put in place.
const SLOTS = 3; // Streams that a browser opens at most: it has six connections to a site.
const QUIET_MS = 60000;
const FEW = 20;
const FEW_PERCENT = 5;

export function keepLive(article, wake) {
  const id = article.dataset.event;
  let timer = 0;
  let dueAt = Infinity;
  let lastAt = Date.now();
  let release = null;

  // The server keeps a page for a second: what is asked for sooner may be from before.
  const ask = (least, spread) => {
    const at = Math.max(Date.now(), lastAt + 1000) + least + Math.random() * spread;
    if (at >= dueAt) return;
    clearTimeout(timer);
    dueAt = at;
    timer = setTimeout(look, at - Date.now());
  };

  const look = () => {
    dueAt = Infinity;
    lastAt = Date.now();
    if (document.hidden) return;
    const request = new XMLHttpRequest();
    request.open("GET", location.href);
    request.responseType = "document";
    request.setRequestHeader("Cache-Control", "no-cache");
    request.onload = () => {
      const found = request.status === 200 && request.response?.querySelector("[data-event]");
      if (found) take(article, found, wake);
    };
    request.send();
  };

  const hear = ({ kind, data }) => {
    let isNew = kind === "sale";
    let isOther = false;
    for (const tier of data.tiers ?? []) {
      const part = article.querySelector(`[data-live="${CSS.escape(tier.tier_id)}"]`);
      const few = Math.max(1, Math.min(FEW, Math.floor((tier.capacity * FEW_PERCENT) / 100)));
      const left = tier.available <= few ? tier.available : "";
      isNew ||= !part || part.dataset.seen !== `${tier.status} ${left} ${tier.waiting > 0}`;
      isOther ||= (tier.waiting || left !== "") && part?.dataset.counts !== `${tier.held} ${tier.waiting}`;
    }
    if (isNew) ask(1100, 1000);
    else if (isOther) ask(5000, 5000);
  };

  const channel = new BroadcastChannel(`event ${id}`);
  channel.onmessage = (message) => hear(message.data);

  const stream = () => {
    const source = new EventSource(`/v1/events/${id}/stream`);
    for (const kind of ["state", "tiers", "sale"]) {
      source.addEventListener(kind, (message) => {
        const told = { kind, data: JSON.parse(message.data) };
        hear(told);
        channel.postMessage(told);
      });
    }
    return source;
  };

  // One tab has the stream and tells the others; a hidden one gives it away.
  const stand = () => {
    if (release || !navigator.locks) return;
    const leaving = new AbortController();
    let end = () => {};
    release = () => {
      release = null;
      leaving.abort();
      end();
    };
    navigator.locks
      .request(`stream ${slot(id)}`, { signal: leaving.signal }, () => {
        const source = stream();
        return new Promise((resolve) => {
          end = () => {
            source.close();
            resolve();
          };
        });
      })
      .catch(() => {});
  };

  const turn = () => {
    if (document.hidden) return release?.();
    stand();
    if (Date.now() - lastAt > QUIET_MS / 2) ask(0, 1000);
  };
  document.addEventListener("visibilitychange", turn);
  addEventListener("pagehide", () => release?.());
  addEventListener("pageshow", turn);
  // Where no stream can be had, the page is looked at now and then.
  setInterval(() => Date.now() - lastAt > QUIET_MS && ask(0, QUIET_MS / 4), QUIET_MS / 4);
  turn();
}

function slot(id) {
  return [...id].reduce((sum, char) => sum + char.charCodeAt(0), 0) % SLOTS;
}

// Put the parts of a newer page in place, but none in which somebody is.
function take(article, found, wake) {
  // With its state the whole page changes, its form as well; who is in the middle of it stays there.
  const isTurned = article.dataset.state !== found.dataset.state;
  if (isTurned && !article.contains(document.activeElement)) return location.reload();
  const said = [];
  for (const part of article.querySelectorAll("[data-live]")) {
    const newer = found.querySelector(`[data-live="${CSS.escape(part.dataset.live)}"]`);
    if (!newer || part.contains(document.activeElement)) continue;
    const isSeen = part.dataset.seen === newer.dataset.seen;
    if (!isSeen || part.dataset.counts !== newer.dataset.counts || shown(part) !== shown(newer)) {
      const [was, is] = [part, newer].map((one) => one.querySelector(".badge")?.textContent);
      if (part.dataset.name && was !== is) said.push(`${part.dataset.name}: ${is}`);
      const put = document.importNode(newer, true);
      part.replaceWith(put);
      wake(put);
    }
  }
  article.dataset.state = found.dataset.state;
  if (said.length) article.querySelector("[data-speaks]").textContent = said.join(". ");
}

// What is to be read of a part, as its server has written it.
function shown(part) {
  const copy = part.cloneNode(true);
  for (const one of copy.querySelectorAll(".own-time, [data-until], [role=status]")) one.remove();
  return copy.textContent.replace(/\s+/g, " ").trim();
}

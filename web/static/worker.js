// What the site does while no page of it is open: it shows what is pushed, and gives the ticket
// pages that somebody has kept where there is no network. docs/NOTIFICATIONS.md, docs/PAGES.md.
const KEPT = "kept";
const PATIENCE_MS = 4000;

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));

// A browser that gets a message and shows nothing loses its subscription: so something is shown
// always, also if it cannot be read.
addEventListener("push", (event) => event.waitUntil(show(event.data)));

async function show(data) {
  let told = {};
  try {
    told = data.json().notification ?? {};
  } catch {
    // Not of the form that we know.
  }
  const { title, body, navigate, lang, dir, tag } = told;
  await registration.showNotification(title || "Evently", {
    body: body ?? "",
    lang: lang ?? "",
    dir: dir ?? "auto",
    tag: tag ?? "",
    renotify: Boolean(tag),
    icon: "/static/-/icon-192.png",
    data: { navigate: navigate ?? "/me/messages" },
  });
}

addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open(event.notification.data?.navigate));
});

async function open(to) {
  let url = new URL("/me/messages", location.origin);
  if (URL.canParse(to ?? "", location.origin)) {
    const wanted = new URL(to, location.origin);
    if (wanted.origin === location.origin) url = wanted;
  }
  const [there] = await clients.matchAll({ type: "window" });
  if (!there) return clients.openWindow(url.href);
  await there.focus();
  return there.navigate(url.href);
}

// Of what was kept the network's own comes first, and is kept in its place.
addEventListener("fetch", (event) => {
  const { request } = event;
  const { pathname, origin } = new URL(request.url);
  if (request.method !== "GET" || origin !== location.origin) return;
  if (/^\/(?:[bt]|static)\/./.test(pathname)) event.respondWith(answer(request));
});

async function answer(request) {
  const cache = await caches.open(KEPT);
  const kept = await cache.match(request, { ignoreVary: true });
  if (!kept) return fetch(request);
  const asked = renewed(cache, request);
  const late = new Promise((end) => setTimeout(end, PATIENCE_MS));
  try {
    return (await Promise.race([asked, late])) ?? kept;
  } catch {
    return kept;
  }
}

async function renewed(cache, request) {
  const fresh = await fetch(request);
  if (fresh.ok && !fresh.redirected) await cache.put(request, fresh.clone());
  return fresh;
}

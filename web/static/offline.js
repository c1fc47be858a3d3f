// Keeps a ticket's page in this browser, for where there is no network.
import { worker } from "./push.js";

const KEPT = "kept";

export async function keepOffline(part) {
  if (!navigator.serviceWorker || !globalThis.caches) return;
  const [button, said] = [part.querySelector("button"), part.querySelector("[role=status]")];
  const here = location.pathname;
  const turn = (isKept) => {
    button.textContent = isKept ? part.dataset.forget : part.dataset.keep;
    button.dataset.kept = isKept ? "1" : "";
  };
  turn(await caches.match(here, { cacheName: KEPT, ignoreVary: true }));
  part.hidden = false;
  button.addEventListener("click", async () => {
    const isKept = Boolean(button.dataset.kept);
    try {
      const cache = await caches.open(KEPT);
      if (isKept) await cache.delete(here, { ignoreVary: true });
      else {
        await worker();
        const files = [...document.querySelectorAll("link[rel=stylesheet], img[src^='/']")];
        await cache.addAll([here, ...files.map((one) => one.href ?? one.src)]);
      }
      turn(!isKept);
      said.textContent = isKept ? "" : part.dataset.done;
    } catch {
      said.textContent = part.dataset.failed;
    }
  });
}

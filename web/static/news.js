// How many messages of the account are new, as it changes. One tab of a browser listens and tells
// the others.
export function follow(link) {
  const fresh = document.querySelector("[data-fresh]");
  const first = Number(link.dataset.unread);
  const hear = (unread) => {
    link.querySelector("[data-count]").textContent = unread.toLocaleString(document.documentElement.lang);
    link.hidden = !unread;
    if (fresh && unread > first) fresh.hidden = false;
  };
  const channel = new BroadcastChannel("news");
  channel.onmessage = ({ data }) => hear(data);
  navigator.locks?.request("news", () => {
    new EventSource("/me/stream").addEventListener("unread", (event) => {
      const { unread } = JSON.parse(event.data);
      channel.postMessage(unread);
      hear(unread);
    });
    return new Promise(() => {});
  });
}

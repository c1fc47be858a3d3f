// Counts down by the server's clock, and speaks at a few moments alone.
const SPOKEN = new Set([300, 120, 60, 20]);

export function countDown(element) {
  const until = Date.parse(element.dataset.until);
  const offset = Date.parse(element.dataset.now) - Date.now();
  const spoken = document.createElement("p");
  spoken.className = "hidden";
  spoken.setAttribute("role", "status");
  element.after(spoken);
  element.hidden = false;
  const turn = () => {
    if (!element.isConnected) return; // The page has moved on.
    const left = Math.ceil((until - Date.now() - offset) / 1000);
    if (left <= 0) {
      // Not all in the same instant.
      setTimeout(() => location.reload(), Math.random() * 1500);
      return;
    }
    element.textContent = clock(left);
    if (SPOKEN.has(left)) spoken.textContent = clock(left);
    setTimeout(turn, 1000 - ((Date.now() + offset) % 1000));
  };
  turn();
}

function clock(seconds) {
  const days = Math.floor(seconds / 86400);
  const parts = [Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60, seconds % 60];
  const time = parts.map((part) => String(part).padStart(2, "0")).join(":");
  return days ? `${new Intl.NumberFormat(document.documentElement.lang, { style: "unit", unit: "day", unitDisplay: "long" }).format(days)}, ${time}` : time;
}

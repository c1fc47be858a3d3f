// Beside a time at its place, the visitor's own, where that is another.
export function addOwnTime(element) {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const moment = new Date(element.dateTime);
  const shown = (timeZone) =>
    moment.toLocaleString(document.documentElement.lang, { timeZone, dateStyle: "medium", timeStyle: "short" });
  try {
    if (shown(own) === shown(element.dataset.zone)) return;
  } catch {
    return; // A zone that this browser does not know.
  }
  const note = document.createElement("span");
  note.className = "own-time";
  note.textContent = `${shown(own)} (${own})`;
  element.after(note);
}

// What makes pages come alive; each page is complete without it.
import { countDown } from "./countdown.js";
import { openLetter, showPassword } from "./letters.js";
import { keepLive } from "./live.js";
import { addOwnTime } from "./times.js";

function wake(root) {
  for (const one of root.querySelectorAll("[data-until]")) countDown(one);
  for (const one of root.querySelectorAll("time[data-zone]")) addOwnTime(one);
}
wake(document);
for (const one of document.querySelectorAll("[data-shows]")) showPassword(one);
openLetter();
const event = document.querySelector("[data-event]");
if (event) keepLive(event, wake);
for (const one of document.querySelectorAll("[data-news]")) import("./news.js").then(({ follow }) => follow(one));
for (const one of document.querySelectorAll("[data-push]")) import("./push.js").then(({ offer }) => offer(one));
for (const one of document.querySelectorAll("[data-keep]")) import("./offline.js").then(({ keepOffline }) => keepOffline(one));
// Who is told on this browser: whether that still holds is looked at once in each tab.
if (localStorage.push && !sessionStorage.repaired && document.querySelector("[data-unread]")) {
  sessionStorage.repaired = "1";
  import("./push.js").then(({ repair }) => repair());
}
document.querySelector("[data-focus]")?.focus();

// A page that waits for something better asks again, not all at the same moment.
const waiting = document.querySelector("[data-refresh]");
if (waiting) {
  const wait = Number(waiting.dataset.refresh) * (0.75 + Math.random() / 2);
  setTimeout(() => location.reload(), wait * 1000);
}

// A form is sent once; what is sent twice anyway is done once, by its key.
document.addEventListener("submit", (sending) => {
  const form = sending.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) sending.preventDefault();
  form.dataset.sent = "1";
  const path = form.getAttribute("action");
  const isOut = path === "/sign-out";
  const isOff = path === `/me/devices/${localStorage.push}` && event.submitter?.value === "end";
  if (!localStorage.push || !(isOut || isOff) || event.defaultPrevented) return;
  // Nobody is to be told here what is another's.
  event.preventDefault();
  import("./push.js").then(({ leave }) => leave(true)).finally(() => (isOut ? form.submit() : location.assign("/me/devices?done=off")));
});
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

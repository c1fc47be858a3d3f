// What makes pages come alive; each page is complete without it.
import { countDown } from "./countdown.js";
import { openLetter, showPassword } from "./letters.js";
import { addOwnTime } from "./times.js";

for (const one of document.querySelectorAll("[data-until]")) countDown(one);
for (const one of document.querySelectorAll("time[data-zone]")) addOwnTime(one);
for (const one of document.querySelectorAll("[data-shows]")) showPassword(one);
openLetter();
document.querySelector("[data-focus]")?.focus();

// A page that waits for something better asks again, not all at the same moment.
const waiting = document.querySelector("[data-refresh]");
if (waiting) {
  const wait = Number(waiting.dataset.refresh) * (0.75 + Math.random() / 2);
  setTimeout(() => location.reload(), wait * 1000);
}

// A form is sent once; what is sent twice anyway is done once, by its key.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "1";
});
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// A sale as it goes: the figures of its table follow the event's stream.
const table = document.querySelector("[data-sale]");
const asOf = document.querySelector("[data-as-of]");
const numbers = new Intl.NumberFormat(document.documentElement.lang);
const stream = new EventSource(`/v1/events/${table.dataset.sale}/stream`);

function show(event) {
  const told = JSON.parse(event.data);
  for (const tier of told.tiers) {
    const row = table.querySelector(`[data-tier="${tier.tier_id}"]`);
    for (const cell of row?.querySelectorAll("[data-is]") ?? []) {
      cell.textContent = numbers.format(tier[cell.dataset.is]);
    }
  }
  if (asOf) {
    asOf.dateTime = told.as_of;
    asOf.textContent = new Date(told.as_of).toLocaleTimeString(document.documentElement.lang);
  }
}
stream.addEventListener("state", show);
stream.addEventListener("tiers", show);
// What a change of the sale means stands on the page that the server makes.
stream.addEventListener("sale", () => location.reload());

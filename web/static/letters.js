// The code of a letter stands behind the # of its link, where no server sees it. It is put into the
// field for it; who has to sign in first finds it there afterwards.
const KEY = "letter";

export function openLetter() {
  const found = /^#token=([\w-]{1,100})$/.exec(location.hash);
  if (found) history.replaceState(null, "", location.pathname + location.search);
  if (document.querySelector("[data-keeps-letter]")) {
    if (found) sessionStorage.setItem(KEY, found[1]);
    return;
  }
  const field = document.getElementById("token");
  if (!field) return;
  const token = found?.[1] ?? sessionStorage.getItem(KEY);
  sessionStorage.removeItem(KEY);
  if (!token) return;
  field.value = token;
  document.querySelector("[data-without-letter]")?.setAttribute("hidden", "");
  if (field.closest("[data-letter-sends]")) field.form.requestSubmit();
  else field.form.elements.password?.focus();
}

export function showPassword(button) {
  const field = document.getElementById(button.dataset.shows);
  button.hidden = false;
  button.addEventListener("click", () => {
    const shown = field.type === "password";
    field.type = shown ? "text" : "password";
    button.setAttribute("aria-pressed", String(shown));
  });
}

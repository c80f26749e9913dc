// What a page does beyond its HTML: says when live updates stop, and sends a form once.
(() => {
  "use strict";
  const stale = document.getElementById("stale");
  const panels = document.getElementById("panels");
  if (stale && panels) {
    let seen = new Date();
    let timer = 0;
    const clock = (moment) => moment.toLocaleTimeString(document.documentElement.lang, { hour: "2-digit", minute: "2-digit" });
    const alive = () => { seen = new Date(); stale.hidden = true; clearTimeout(timer); timer = 0; };
    const broken = () => {
      if (timer || !stale.hidden) return;
      timer = setTimeout(() => {
        stale.querySelector("span").textContent = stale.dataset.text.replace("%TIME%", clock(seen));
        stale.hidden = false;
      }, 4000);
    };
    panels.addEventListener("htmx:sse:after:connection", alive);
    panels.addEventListener("htmx:sse:after:message", alive);
    panels.addEventListener("htmx:sse:error", broken);
    panels.addEventListener("htmx:sse:close", broken);
    panels.addEventListener("htmx:error", broken);
  }
  for (const form of document.querySelectorAll("form[data-once]")) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) event.preventDefault();
      form.dataset.sent = "yes";
    });
  }
  for (const form of document.querySelectorAll("form[data-at-once]")) {
    form.querySelector("button").hidden = true;
    form.addEventListener("change", () => form.requestSubmit());
  }
  const other = document.getElementById("other");
  if (other) {
    other.addEventListener("input", () => { if (other.value) document.querySelectorAll("input[name=amount]").forEach((radio) => { radio.checked = false; }); });
    document.querySelectorAll("input[name=amount]").forEach((radio) => radio.addEventListener("change", () => { other.value = ""; }));
  }
  const differs = (field) => {
    if (field.type === "hidden") return false;
    if (field.options) return [...field.options].some((option) => option.selected !== option.defaultSelected);
    return field.value !== field.defaultValue || field.checked !== field.defaultChecked;
  };
  addEventListener("pageshow", () => {
    // Back from another page with the browser's own copy of this one: it may be sent again.
    document.querySelectorAll("form[data-once]").forEach((form) => delete form.dataset.sent);
    // What was typed before the scripts were there, or was kept by the browser, counts as typed now.
    document.querySelectorAll("form[data-once]").forEach((form) =>
      [...form.elements].filter(differs).forEach((field) => field.dispatchEvent(new Event("input", { bubbles: true }))));
  });
})();

// The form of a new projection: finding counties, switching measures, percents as sliders. It works without this too.
import { drawTimeline } from "./timeline.js";

const form = document.getElementById("projection");

function stateChoice() {
  const chooser = document.getElementById("state-form");
  chooser.querySelector("button").hidden = true;
  chooser.querySelector("select").addEventListener("change", () => chooser.submit());
}

function plain(text) {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}

function counties() {
  const root = document.getElementById("counties");
  const most = Number(root.dataset.most);
  const tools = root.querySelector(".tools");
  const search = tools.querySelector("input");
  const none = root.querySelector("[data-none]");
  const count = root.querySelector("[data-count]");
  const chips = root.querySelector(".chips");
  const boxes = [...root.querySelectorAll("input[name=county]")];
  tools.hidden = false;

  function show() {
    const chosen = boxes.filter((box) => box.checked);
    const together = chosen.length > 1 ? ", projected as one: their sum" : "";
    count.textContent = chosen.length > most
      ? `${chosen.length} chosen: at most ${most} can be projected together`
      : `${chosen.length} of ${boxes.length} chosen${together}`;
    chips.hidden = chosen.length === 0;
    chips.replaceChildren(...chosen.map((box) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = box.value;
      button.setAttribute("aria-label", `Take out ${box.value}`);
      const cross = document.createElement("span");
      cross.textContent = "×";
      cross.ariaHidden = "true";
      button.append(cross);
      button.addEventListener("click", () => {
        const place = chosen.indexOf(box);
        box.checked = false;
        show();
        (chips.querySelectorAll("button")[Math.min(place, chosen.length - 2)] ?? search).focus();
      });
      item.append(button);
      return item;
    }));
  }

  function filter() {
    const wanted = plain(search.value.trim());
    let found = 0;
    for (const box of boxes) {
      const matches = plain(box.value).includes(wanted);
      box.closest("label").hidden = !matches;
      found += matches ? 1 : 0;
    }
    none.hidden = found > 0;
  }

  search.addEventListener("input", filter);
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();  // one match: Enter takes it
    const shown = boxes.filter((box) => !box.closest("label").hidden);
    if (shown.length === 1) {
      shown[0].checked = !shown[0].checked;
      search.value = "";
      filter();
      show();
    }
  });
  tools.querySelector("button").addEventListener("click", () => {
    for (const box of boxes) box.checked = false;
    show();
  });
  root.addEventListener("change", show);
  show();
}

function measures() {
  for (const measure of document.querySelectorAll("[data-measure]")) {
    const box = measure.querySelector(".switch input");
    const fields = measure.querySelector(".grid");
    const show = () => {
      fields.hidden = !box.checked;
      for (const field of fields.querySelectorAll("input")) field.disabled = !box.checked;
    };
    box.addEventListener("change", show);
    show();
  }
}

function sliders() {
  for (const number of document.querySelectorAll("input[data-percent]")) {
    const slider = document.createElement("input");
    slider.type = "range";
    slider.min = 0;
    slider.max = 100;
    slider.value = number.value || 0;
    slider.setAttribute("aria-label", number.labels[0]?.textContent ?? "Percent");
    number.before(slider);
    slider.addEventListener("input", () => {
      number.value = slider.value;
      form.dispatchEvent(new Event("input"));
    });
    number.addEventListener("input", () => { slider.value = number.value || 0; });
  }
}

function submitting() {
  const button = form.querySelector("button[type=submit]");
  const words = button.textContent;
  form.addEventListener("submit", () => {
    button.disabled = true;
    button.textContent = button.dataset.busy;
  });
  // The browser's Back may show this page as it was left.
  window.addEventListener("pageshow", () => {
    button.disabled = false;
    button.textContent = words;
  });
}

stateChoice();
counties();
sliders();
measures();
submitting();
drawTimeline(form);
document.getElementById("form-errors")?.focus();

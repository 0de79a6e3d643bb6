// A run's page: watch it while it is under way, draw its charts when it is done.
import { drawCharts } from "./charts.js";

const FIRST_MS = 1500;
const SLOWEST_MS = 15000;
const SLOWEST_FAILING_MS = 60000;
const GROWTH = 1.35;
const ANSWER_MS = 20000;

document.documentElement.classList.add("js");

function watch(state) {
  const announce = document.getElementById("announce");
  const offline = document.getElementById("offline");
  let wait = FIRST_MS;
  let seen = null;  // of the last answer: what tells that more than the percents changed
  let said = 0;
  let timer = 0;
  let busy = false;

  const later = () => {
    clearTimeout(timer);
    // Nobody looks: nothing is asked until somebody does.
    if (document.visibilityState === "visible") timer = setTimeout(ask, wait);
  };

  async function fetched(url, accept) {
    const answer = await fetch(url, { headers: { Accept: accept }, cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) });
    if (answer.status === 401 || answer.status === 403 || answer.redirected) location.reload();  // to log in again
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    return answer;
  }

  async function again() {
    // The site renders the state; a script that did it too would have to agree with it.
    const page = new DOMParser().parseFromString(await (await fetched(location.pathname, "text/html")).text(), "text/html");
    const fresh = page.getElementById("state");
    if (!fresh || fresh.dataset.finished === "yes") {
      location.reload();
      return;
    }
    const open = state.querySelector("details")?.open;
    const focused = state.contains(document.activeElement) ? document.activeElement.closest("form")?.action : null;
    state.replaceChildren(...fresh.childNodes);
    if (open && state.querySelector("details")) state.querySelector("details").open = true;
    if (focused) [...state.querySelectorAll("form")].find((form) => form.action === focused)?.querySelector("button").focus();
    announce.textContent = state.querySelector("[data-sentence]").textContent;
  }

  function progress(value) {
    const whole = Math.min(Math.floor(value * 100 + 1e-9), 100);
    const bar = state.querySelector("progress");
    if (bar) bar.value = value;
    const shown = state.querySelector("[data-percent]");
    if (shown) shown.textContent = `${whole} %`;
    document.title = document.title.replace(/^(\d+ % · )?/, `${whole} % · `);
    if (whole >= said + 25) {  // more often would only disturb
      said = whole - (whole % 25);
      announce.textContent = `${said} percent done`;
    }
  }

  async function ask() {
    if (busy) return;
    busy = true;
    try {
      const run = await (await fetched(state.dataset.api, "application/json")).json();
      const now = JSON.stringify([run.status, run.attempt, run.interruptions, run.history?.length]);
      if (run.status === "succeeded" || run.status === "failed") {
        announce.textContent = run.status === "succeeded" ? "Done, the charts are coming." : "The run ended without a result.";
        location.reload();
        return;
      }
      if (now !== seen && (seen !== null || run.status !== state.dataset.status)) await again();
      wait = now === seen ? Math.min(wait * GROWTH, SLOWEST_MS) : FIRST_MS;
      seen = now;
      progress(run.progress ?? 0);
      offline.hidden = true;
    } catch (error) {
      console.warn("no answer about the run", error);
      wait = Math.min(Math.max(wait, FIRST_MS) * 2, SLOWEST_FAILING_MS);
      offline.hidden = false;
    } finally {
      busy = false;
    }
    later();
  }

  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") {
      wait = FIRST_MS;
      ask();
    }
  });
  later();
}

const state = document.getElementById("state");
const charts = document.getElementById("charts");
if (state?.dataset.finished === "no") watch(state);
if (charts) drawCharts(charts);

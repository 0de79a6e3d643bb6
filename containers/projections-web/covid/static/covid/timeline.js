// A picture of the measures over time, as they are chosen; a bar's height is the measure's strength.
const DAY = 86400000;
const ROW = 30;
const TOP = 8;
const LEFT = 92;
const BEFORE = 28;

function svg(name, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function words(day, year) {
  return new Date(day).toLocaleDateString("en-GB", { day: "numeric", month: "short", year, timeZone: "UTC" });
}

export function drawTimeline(form) {
  const figure = form.querySelector(".timeline");
  const picture = figure.querySelector("svg");
  const { newest } = JSON.parse(document.getElementById("timeline-data").textContent);
  const last = Date.parse(newest);
  const field = (name) => form.elements.namedItem(name);
  const on = (name) => field(name).checked;
  const day = (name) => Date.parse(field(name).value);  // NaN when empty
  const share = (name) => Math.min(Math.max(Number(field(name).value) || 0, 0), 100) / 100;

  function bars(begin, end) {
    const first = last + DAY;
    const or = (value, otherwise) => (Number.isNaN(value) ? otherwise : value);
    const rows = [{ name: "Shelter" }, { name: "Distancing" }, { name: "Quarantine" }];
    const shelter = day("shelter_date");
    if (on("shelter") && !Number.isNaN(shelter)) {
      const eased = or(day("shelter_release_start_date"), end);
      Object.assign(rows[0], { from: shelter, until: eased, gone: or(day("shelter_release_end_date"), eased), strength: share("lockdown_strength") });
    }
    if (on("social_distancing")) {
      const until = or(day("social_distancing_end_date") + DAY, end);
      Object.assign(rows[1], { from: first, until, gone: until, strength: share("social_distancing_strength") });
    }
    if (on("quarantine")) {
      Object.assign(rows[2], { from: or(day("quarantine_start_date"), first), until: end, gone: end, strength: share("quarantine_percent") });
    }
    return rows;
  }

  function draw() {
    const width = figure.clientWidth;
    if (!width) return;
    const length = Math.min(Math.max(Number(field("sim_length").value) || 1, 1), 365);
    const begin = last - BEFORE * DAY;
    const end = last + (length + 1) * DAY;
    const bottom = TOP + 3 * ROW;
    const x = (moment) => LEFT + (Math.min(Math.max(moment, begin), end) - begin) / (end - begin) * (width - LEFT - 4);
    picture.setAttribute("viewBox", `0 0 ${width} ${bottom + 24}`);
    const nodes = [svg("rect", { class: "window", x: x(last + DAY), y: TOP - 4, width: x(end) - x(last + DAY), height: bottom - TOP + 4, rx: 4 })];
    bars(begin, end).forEach((row, index) => {
      const base = TOP + (index + 1) * ROW - 5;
      nodes.push(svg("text", { class: row.from === undefined ? "off" : "name", x: 0, y: base - 3 }, row.name));
      nodes.push(svg("line", { class: "axis", x1: LEFT, x2: width - 4, y1: base, y2: base }));
      if (row.from === undefined || !row.strength) return;
      if (row.gone <= begin || row.from >= end) {
        const text = row.gone <= begin ? `ended on ${words(row.gone, "numeric")}` : `only from ${words(row.from, "numeric")}`;
        nodes.push(svg("text", { x: x(last + DAY) + 6, y: base - 4 }, text));
        return;
      }
      const height = 3 + row.strength * (ROW - 11);
      // What lies outside the picture is cut off, a slope at the height it has there.
      const left = x(row.from);
      const right = Math.max(x(row.until), left);
      nodes.push(svg("rect", { class: "full", x: left, y: base - height, width: right - left, height }));
      if (row.gone > row.until) {
        const rest = (moment) => height * Math.min(Math.max((row.gone - moment) / (row.gone - row.until), 0), 1);
        const [near, far] = [Math.max(row.until, row.from, begin), Math.min(row.gone, end)];
        if (far > near) {
          nodes.push(svg("polygon", { class: "easing", points: `${x(near)},${base} ${x(near)},${base - rest(near)} ${x(far)},${base - rest(far)} ${x(far)},${base}` }));
        }
      }
    });
    nodes.push(svg("line", { class: "newest", x1: x(last + DAY), x2: x(last + DAY), y1: TOP - 4, y2: bottom }));
    const labels = [[begin, "start", words(begin)], [last + DAY, "middle", words(last + DAY)], [end, "end", words(end - DAY)]];
    for (const [moment, anchor, text] of labels) {
      nodes.push(svg("text", { x: moment === end ? width - 4 : x(moment), y: bottom + 17, "text-anchor": anchor }, text));
    }
    picture.replaceChildren(...nodes);
  }

  figure.hidden = false;
  for (const kind of ["input", "change"]) form.addEventListener(kind, draw);
  new ResizeObserver(draw).observe(figure);
  draw();
}

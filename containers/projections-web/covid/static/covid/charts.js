// The charts of a result, drawn by Plotly in the colours of the page.
const DAY = 86400000;
const MAP_STYLES = "9f215cf04c5486422605d13261cb87401f4e7763b6296af81e98efbc0130da53";

function load(url) {
  // Plotly brings the styles of its maps, unasked, as an inline style that our policy refuses with an error in the
  // console. It doesn't when an element with this id is there (another version's id only brings the error back).
  const taken = document.createElement("template");
  taken.id = MAP_STYLES;
  document.head.append(taken);
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = url;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error(`can't load ${url}`));
    document.head.append(script);
  });
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function faded(hex, alpha) {
  const parts = hex.slice(1).match(hex.length === 4 ? /./g : /../g).map((part) => parseInt(part.length === 1 ? part + part : part, 16));
  return `rgba(${parts.join(", ")}, ${alpha})`;
}

function iso(moment) {
  return new Date(moment).toISOString().slice(0, 10);
}

function traces(curve, output) {
  const bands = output[curve.key];
  const days = Object.keys(bands).sort();
  const hue = colour(`--chart-${curve.slug}`);
  const column = (index) => days.map((day) => bands[day][index]);
  const edge = { x: days, mode: "lines", line: { width: 0, color: hue }, hoverinfo: "skip", showlegend: false };
  const made = [
    { ...edge, y: column(0) },
    { ...edge, y: column(2), fill: "tonexty", fillcolor: faded(hue, 0.22), name: "5 to 95 %", showlegend: true },
    {
      x: days, y: column(1), mode: "lines", line: { width: 2.5, color: hue }, name: "Median",
      customdata: days.map((day) => [bands[day][0], bands[day][2]]),
      hovertemplate: "median %{y:,.0f} (%{customdata[0]:,.0f} to %{customdata[1]:,.0f})<extra></extra>",
    },
  ];
  const observed = curve.observed ? output[curve.observed] ?? [] : [];
  if (observed.some((value) => value !== null) && output.first_observed) {
    const first = Date.parse(output.first_observed);
    made.push({
      x: observed.map((_, index) => iso(first + index * DAY)), y: observed, mode: "markers", name: "Observed",
      marker: { size: 5, color: colour("--ink"), opacity: 0.75 },
      hovertemplate: "observed %{y:,.0f}<extra></extra>",
    });
  }
  return made;
}

function layout(curve, output, settings) {
  const bands = output[curve.key];
  const days = Object.keys(bands).sort();
  const highest = Math.max(...days.map((day) => bands[day][2]));
  const first = Date.parse(days[0]);
  const early = first - settings.before_days * DAY;
  const observed = curve.observed && output.first_observed
    ? (output[curve.observed] ?? []).filter((value, index) => value !== null && Date.parse(output.first_observed) + index * DAY >= early) : [];
  const shown = [observed.length ? early : first, Date.parse(days.at(-1))];
  const lowest = Math.min(...observed, ...days.map((day) => bands[day][0]));
  const span = Math.max(highest - lowest, 1);
  const axis = { gridcolor: colour("--grid"), linecolor: colour("--line"), zeroline: false, tickfont: { color: colour("--muted") } };
  const made = {
    margin: { l: 8, r: 12, t: 8, b: 8 },
    font: { family: getComputedStyle(document.body).fontFamily, size: 12.5, color: colour("--ink") },
    paper_bgcolor: colour("--surface"), plot_bgcolor: colour("--surface"),
    separators: ".\u202f",
    hovermode: "x unified",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--control"), activecolor: colour("--ink") },
    hoverlabel: { bgcolor: colour("--surface"), bordercolor: colour("--line"), font: { color: colour("--ink") } },
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
    xaxis: { ...axis, type: "date", automargin: true, hoverformat: "%-d %b %Y", range: [iso(shown[0] - DAY / 2), iso(shown[1] + DAY)], showgrid: false,
      spikecolor: colour("--control"), spikethickness: 1, spikedash: "dot" },
    // Cumulative counts begin high up: an axis from zero would flatten what is to be seen.
    yaxis: { ...axis, automargin: true, tickformat: highest < 10 ? ".1~f" : ",.0f", nticks: 6,
      range: [lowest > span ? lowest - span * 0.08 : 0, Math.max(highest + span * 0.06, 1)] },
    shapes: [], annotations: [],
  };
  if (observed.length) {
    made.shapes.push({ type: "line", xref: "x", yref: "paper", x0: days[0], x1: days[0], y0: 0, y1: 1, line: { color: colour("--control"), width: 1, dash: "dot" } });
  }
  // Far more beds than patients would flatten the curve; the caption says how many there are.
  if (curve.beds !== null && curve.beds <= highest * 2.5) {
    made.yaxis.range[1] = Math.max(made.yaxis.range[1], curve.beds * 1.1);
    made.shapes.push({ type: "line", xref: "paper", yref: "y", x0: 0, x1: 1, y0: curve.beds, y1: curve.beds, line: { color: colour("--danger"), width: 1.5, dash: "dash" } });
    made.annotations.push({ xref: "paper", x: 1, xanchor: "right", y: curve.beds, yanchor: "bottom", text: "beds", showarrow: false, font: { color: colour("--danger") } });
  }
  return made;
}

export async function drawCharts(root) {
  const settings = JSON.parse(document.getElementById("chart-settings").textContent);
  const plots = settings.curves.map((curve) => [curve, document.getElementById(`plot-${curve.slug}`)]).filter(([, plot]) => plot);
  try {
    const [plotly, answer] = await Promise.all([load(root.dataset.plotly), fetch(settings.output, { headers: { Accept: "application/json" } })]);
    if (!answer.ok) throw new Error(`${settings.output}: HTTP ${answer.status}`);
    const output = await answer.json();
    const options = {
      responsive: true, displaylogo: false,
      // Named one by one: Plotly's own choice may bring buttons that send data elsewhere.
      modeBarButtons: [["toImage"], ["zoom2d", "pan2d", "resetScale2d"]],
      displayModeBar: matchMedia("(pointer: coarse), (max-width: 40rem)").matches ? false : "hover",
    };
    const draw = () => Promise.all(plots.map(([curve, plot]) => plotly.react(plot, traces(curve, output), layout(curve, output, settings),
      { ...options, toImageButtonOptions: { filename: `projection-${curve.slug}` } })));
    for (const [, plot] of plots) {
      plot.classList.remove("waiting");
      plot.replaceChildren();
    }
    await draw();
    root.dataset.drawn = "yes";
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  } catch (error) {
    console.error("no charts", error);
    for (const [, plot] of plots) {
      plot.classList.add("waiting");
      plot.removeAttribute("aria-hidden");
      plot.textContent = "The chart can't be drawn here. The values are in the table below.";
    }
  }
}

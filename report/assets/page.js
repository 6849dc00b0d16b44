// Draws the curves of the page from the JSON in #data. Everything is in this file: nothing is loaded.
(() => {
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement, $ = id => document.getElementById(id);
const dashes = [[], [9, 4], [2, 3], [9, 3, 2, 3]];
const accuracy = data.metric === "accuracy";
const methods = (data.methods || []).map((m, i) => ({...m, index: i, shown: true,
  dash: dashes[(i + Math.floor(i / 20)) % 4]}));
const plots = [];

// Appearance ------------------------------------------------------------------------------------
const css = name => getComputedStyle(root).getPropertyValue(name).trim();
const colour = m => css("--c" + m.index % 10);
const system = matchMedia("(prefers-color-scheme: dark)");
let chosen = null;
function theme(name) {
  root.dataset.theme = name || chosen || (system.matches ? "dark" : "light");
  root.style.colorScheme = root.dataset.theme;
}
theme();

const svgNS = "http://www.w3.org/2000/svg";
function drawKey(svg, m) {
  svg.replaceChildren();
  const line = document.createElementNS(svgNS, "line");
  for (const [k, v] of Object.entries({x1: 0, y1: 5, x2: 26, y2: 5, "stroke-width": 2.5,
    stroke: `var(--c${m.index % 10})`, "stroke-dasharray": m.dash.map(d => d * .8).join(" ")})) line.setAttribute(k, v);
  svg.append(line);
}
function newKey(m) {
  const svg = document.createElementNS(svgNS, "svg");
  for (const [k, v] of Object.entries({class: "key", width: 26, height: 10, "aria-hidden": "true"})) svg.setAttribute(k, v);
  drawKey(svg, m);
  return svg;
}
document.querySelectorAll("svg[data-key]").forEach(s => drawKey(s, methods[+s.dataset.key]));

// Numbers ---------------------------------------------------------------------------------------
const big = v => v.toLocaleString("en", {maximumFractionDigits: 0}).replace(/,/g, "\u202f");
function text(v, kind) {
  if (v == null || !isFinite(v)) return "–";
  if (kind === "percent") return (100 * v).toFixed(2) + "\u202f%";
  if (kind === "count") return big(v);
  if (v === 0) return "0";
  const a = Math.abs(v);
  return a >= 1e5 || a < 1e-3 ? v.toExponential(2) : a >= 1000 ? big(v) : String(+v.toPrecision(4));
}
const whole = v => Math.abs(v - Math.round(v)) < 1e-6;
// Axis labels are short, and percent has as many digits as the distance of the ticks needs.
function ticks(kind) {
  return (u, values) => {
    const known = values.filter(v => v != null);
    const gap = known.length > 1 ? Math.abs(known[1] - known[0]) : 0;
    return values.map(v => {
      if (v == null) return "";
      if (kind === "percent") return (100 * v).toFixed(!gap || whole(100 * gap) ? 0 : whole(1000 * gap) ? 1 : 2) + "%";
      const a = Math.abs(v);
      if (a >= 1e6) return +(v / 1e6).toPrecision(4) + "M";
      if (a >= 1e4) return +(v / 1e3).toPrecision(4) + "k";
      return v === 0 ? "0" : a < 1e-3 ? v.toExponential(0) : String(+v.toPrecision(4));
    });
  };
}
function quantile(sorted, q) {
  const h = (sorted.length - 1) * q, i = Math.floor(h);
  return sorted[i] + (h - i) * ((sorted[i + 1] ?? sorted[i]) - sorted[i]);
}

// State and controls ----------------------------------------------------------------------------
const has = c => methods.some(m => m.runs.some(r => r.columns[c]));
const probed = c => methods.some(m => m.runs.some(r => r.probes && r.probes[c]));
const manySeeds = methods.some(m => m.runs.length > 1);
const splits = [["train", "Train"], ["val", "Validation"], ["test", "Test"]].filter(([s]) => has(s + ".loss") || has(s + ".metric"));
const state = {
  split: (splits.find(([s]) => s === data.split) || splits[splits.length - 1] || ["test"])[0],
  x: "steps", matrix: "ggn", side: "both", band: manySeeds ? "range" : "none", logX: false, logY: true,
};
const options = {
  split: splits,
  x: [["steps", "Steps"], ["examples", "Examples"], ["epochs", "Epochs"], ["seconds", "Seconds"]].filter(([c]) => has(c)),
  matrix: [["ggn", "Gauss–Newton"], ["hessian", "Hessian"]].filter(([c]) => probed(c + "_max")),
  side: probed("preconditioned_ggn_max") ? [["both", "Both"], ["plain", "Plain"], ["preconditioned", "Preconditioned"]] : [],
  band: manySeeds ? [["range", "Least to greatest"], ["quartiles", "Quartiles"], ["none", "None"]] : [],
};
for (const box of document.querySelectorAll(".control")) {
  const name = box.dataset.control;
  const add = (label, pressed, click) => {
    const b = document.createElement("button");
    b.type = "button"; b.textContent = label;
    b.setAttribute("aria-pressed", pressed());
    b.onclick = () => { click(); refresh(); };
    b.sync = () => b.setAttribute("aria-pressed", pressed());
    box.append(b);
  };
  if (name === "scale") {
    add("Loss", () => state.logY, () => state.logY = !state.logY);
    add("Horizontal", () => state.logX, () => state.logX = !state.logX);
  } else if (options[name].length > 1) {
    for (const [value, label] of options[name]) add(label, () => state[name] === value, () => state[name] = value);
  } else box.hidden = box.style.display = "none";
}
if (methods.length > 1) {
  const chips = $("methods");
  for (const m of methods) {
    const b = document.createElement("button");
    b.type = "button"; b.title = "Show or hide; double-click: this one alone";
    b.append(newKey(m), m.name);
    b.sync = () => b.setAttribute("aria-pressed", m.shown);
    b.onclick = () => { m.shown = !m.shown; refresh(); };
    b.ondblclick = () => { methods.forEach(o => o.shown = o === m); refresh(); };
    b.onmouseenter = () => focus(m); b.onmouseleave = () => focus(null);
    b.onfocus = () => focus(m); b.onblur = () => focus(null);
    b.sync(); chips.append(b);
  }
  const all = document.createElement("button");
  all.type = "button"; all.className = "all"; all.textContent = "all / none";
  all.onclick = () => { const on = !methods.every(m => m.shown); methods.forEach(m => m.shown = on); refresh(); };
  chips.append(all);
}
function focus(m) {
  for (const p of plots) {
    if (!p.u) continue;
    p.focus = m; p.u.redraw(false);
  }
}

// Curves ----------------------------------------------------------------------------------------
// At each evaluation, the median over the runs that got there; the curve ends where fewer than half did.
function curve(m, column, source = r => r.columns) {
  const all = m.runs.map(source), runs = all.filter(c => c && c[column] && c[state.x]);
  const t = [[], [], [], []];
  for (let k = 0; ; k++) {
    const here = runs.filter(c => k < c[state.x].length);
    if (!here.length || 2 * here.length < m.runs.length) break;
    const x = here.map(c => c[state.x][k]).filter(v => v != null).sort((a, b) => a - b);
    const y = here.map(c => c[column][k]).filter(v => v != null).sort((a, b) => a - b);
    if (!x.length || !y.length || 2 * y.length < m.runs.length) continue;
    const at = quantile(x, .5);
    if (t[0].length && at <= t[0][t[0].length - 1]) continue;
    const [lo, hi] = state.band === "quartiles" ? [.25, .75] : [0, 1];
    t[0].push(at); t[1].push(quantile(y, .5)); t[2].push(quantile(y, lo)); t[3].push(quantile(y, hi));
  }
  return t[0].length ? t : null;
}

function axes(u) {
  const common = {stroke: () => css("--soft"), grid: {stroke: () => css("--line"), width: 1}, ticks: {stroke: () => css("--line"), width: 1, size: 4},
    font: '12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif', labelFont: '12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif'};
  return common;
}

function chart(spec) {
  const box = $(spec.box);
  const plot = {spec, u: null, focus: null};
  plot.draw = () => {
    if (plot.u) { plot.u.destroy(); plot.u = null; }
    box.replaceChildren();
    const {curves, logX, logY, kind, xKind, xLabel, points, target} = spec.read();
    if (!curves.length) {
      box.textContent = "Nothing to draw."; box.className = "chart note"; return;
    }
    box.className = "chart";
    const zeroX = !logX, positive = v => v != null && v > 0;
    const tables = curves.map(c => {
      let t = c.table;
      if (logX) { const keep = t[0].map(positive); t = t.map(col => col.filter((_, i) => keep[i])); }
      if (logY) t = t.map((col, i) => i ? col.map(v => positive(v) ? v : null) : col);
      return t;
    });
    const joined = uPlot.join(tables);
    const series = [{}], bands = [], owner = [null];
    for (const c of curves) {
      const at = series.length, m = c.method;
      const alpha = () => plot.focus && plot.focus !== m && plot.focus !== m.of ? .15 : 1;
      const base = {spanGaps: true, points: {show: false}};
      series.push({...base, label: m.name, width: m.of ? 1 : 2, dash: m.dash, show: m.shown,
        stroke: () => fade(colour(m), alpha()), points: {show: !!points || c.table[0].length === 1, size: m.of ? 7 : 5, stroke: () => fade(colour(m), alpha()), fill: () => m.of ? css("--paper") : fade(colour(m), alpha()), width: m.of ? 1.5 : 0}});
      owner.push(m);
      if (c.table.length > 2) {
        series.push({...base, stroke: "transparent", width: 0, show: m.shown}, {...base, stroke: "transparent", width: 0, show: m.shown});
        owner.push(null, null);
        if (state.band !== "none") bands.push({series: [at + 2, at + 1], fill: () => fade(colour(m), .1 * alpha())});
      }
    }
    const style = axes();
    const width = box.clientWidth, height = box.clientHeight;
    const tip = document.createElement("div");
    tip.className = "tip"; tip.hidden = true;
    const opts = {
      width, height, legend: {show: false}, series, bands, padding: [8, 14, 0, 0],
      scales: {
        x: {time: false, distr: logX ? 3 : 1, ...(logX || !zeroX ? {} : {range: (u, lo, hi) => spec.fit ? [lo, hi] : u.zoomed ? [lo, hi] : [Math.min(0, lo), hi]})},
        y: {distr: logY ? 3 : 1, range: (u, lo, hi) => (logY ? logRange : yRange)(lo, hi, kind, curves, target)},
      },
      axes: [
        {...style, label: xLabel, labelSize: 22, size: 34, values: logX ? logTicks(ticks(xKind)) : ticks(xKind), ...(logX ? onlyLabelled(style) : {})},
        {...style, size: 58, values: logY ? logTicks(ticks(kind)) : ticks(kind), ...(logY ? onlyLabelled(style) : {})},
      ],
      cursor: {
        y: false, drag: {x: true, y: false, setScale: true}, focus: {prox: 1e6},
        points: {size: 7, fill: (u, i) => owner[i] ? colour(owner[i]) : "transparent", stroke: "transparent", show: (u, i) => owner[i] ? undefined : false},
        dataIdx: (u, i, at) => nearestIndex(u.data, i, at),
      },
      focus: {alpha: 1},
      hooks: {
        setSelect: [u => { u.zoomed = u.select.width > 0; }],
        setCursor: [u => hover(u, tip, owner, kind, xKind, xLabel, spec)],
        draw: [u => { target != null && drawTarget(u, target, kind); spec.mark && spec.mark(u); }],
        ready: [u => u.over.append(tip)],
      },
    };
    plot.u = new uPlot(opts, joined, box);
    plot.u.over.addEventListener("dblclick", () => { plot.u.zoomed = false; });
    plot.u.over.addEventListener("mouseleave", () => { tip.hidden = true; });
  };
  plots.push(plot);
  return plot;
}

// An accuracy's axis leaves out the first, low values where they would press the rest together: it starts
// at the tenth of the values, seen from below, if that shows more.
function yRange(lo, hi, kind, curves, target) {
  if (lo == null || hi == null) return [0, 1];
  if (kind === "percent") {
    const all = curves.filter(c => c.method.shown).flatMap(c => c.table[1].filter(v => v != null)).sort((a, b) => a - b);
    if (all.length > 20) lo = Math.max(lo, quantile(all, .1) - .05);
    if (target != null) { lo = Math.min(lo, target); hi = Math.max(hi, target); }
    const pad = Math.max(.002, .05 * (hi - lo));
    return [Math.max(0, lo - pad), Math.min(1.0001, hi + pad)];
  }
  if (target != null) { lo = Math.min(lo, target); hi = Math.max(hi, target); }
  const pad = .05 * (hi - lo) || Math.abs(hi) * .1 || 1;
  return [lo >= 0 ? Math.max(0, lo - pad) : lo - pad, hi + pad];
}
function logRange(lo, hi, kind, curves, target) {
  if (lo == null || hi == null || lo <= 0) return [.1, 1];
  if (target != null && target > 0) { lo = Math.min(lo, target); hi = Math.max(hi, target); }
  const pad = Math.max(1.06, (hi / lo) ** .04);
  // From a whole number of its power of ten: the lines of the axis are counted from there.
  const ten = 10 ** Math.floor(Math.log10(lo / pad));
  return [Math.floor(lo / pad / ten) * ten, hi * pad];
}
// On a logarithmic axis only the powers of ten have a line and a label, 2 and 5 if there are few, and every second or third power if there are many.
const labelled = (u, values) => {
  const known = values.filter(v => v != null && v > 0);
  const decades = known.length ? Math.log10(known[known.length - 1] / known[0]) : 0;
  const wanted = decades > 4 ? [1] : decades > .9 ? [1, 2, 5] : [1, 2, 3, 4, 5, 6, 7, 8, 9];
  const every = Math.max(1, Math.ceil(decades / 8)), exponent = v => Math.floor(Math.log10(v) + 1e-9); // more lines than eight would touch
  return values.map(v => v > 0 && exponent(v) % every === 0 && wanted.includes(Math.round(v / 10 ** exponent(v))) ? v : null);
};
const logTicks = format => (u, values) => format(u, labelled(u, values));
const onlyLabelled = style => ({filter: labelled, grid: {...style.grid, filter: labelled}, ticks: {...style.ticks, filter: labelled}});
function fade(c, a) {
  if (a >= 1) return c;
  const n = parseInt(c.slice(1), 16);
  return `rgba(${n >> 16 & 255},${n >> 8 & 255},${n & 255},${a})`;
}
function nearestIndex(data, i, at) {
  const y = data[i], x = data[0];
  if (i === 0 || y[at] != null) return at;
  let l = at, r = at;
  while (l >= 0 && y[l] == null) l--;
  while (r < y.length && y[r] == null) r++;
  if (l < 0) return r < y.length ? r : null;
  if (r >= y.length) return l;
  return x[at] - x[l] <= x[r] - x[at] ? l : r;
}
function hover(u, tip, owner, kind, xKind, xLabel, spec) {
  const {left, top, idx} = u.cursor;
  if (idx == null || left < 0) { tip.hidden = true; return; }
  const rows = [];
  owner.forEach((m, i) => {
    if (!m || !u.series[i].show) return;
    const at = u.cursor.idxs[i];
    if (at == null || u.data[i][at] == null) return;
    const band = u.data[i + 1] && !owner[i + 1] && state.band !== "none" && m.runs.length > 1;
    rows.push({m, v: u.data[i][at], lo: band ? u.data[i + 1][at] : null, hi: band ? u.data[i + 2][at] : null,
      y: Math.abs(u.valToPos(u.data[i][at], "y") - top)});
  });
  if (!rows.length) { tip.hidden = true; return; }
  const near = rows.reduce((a, b) => b.y < a.y ? b : a);
  rows.sort((a, b) => kind === "percent" ? b.v - a.v : a.v - b.v);
  const table = document.createElement("table");
  for (const r of rows) {
    const tr = table.insertRow();
    if (rows.length > 1 && r === near) tr.className = "near";
    tr.insertCell().append(newKey(r.m), r.m.name);
    tr.insertCell().textContent = text(r.v, kind);
    const c = tr.insertCell(); c.className = "soft";
    c.textContent = r.lo == null || r.lo === r.hi || innerWidth < 560 ? "" : text(r.lo, kind) + " … " + text(r.hi, kind);
  }
  const head = document.createElement("div");
  head.className = "soft";
  head.textContent = xLabel + " " + text(u.posToVal(left, "x"), xKind);
  tip.replaceChildren(head, table);
  tip.hidden = false;
  // Beside the pointer, on the right if the window has room there; above the line on a narrow screen.
  const w = tip.offsetWidth, h = tip.offsetHeight, tall = u.over.clientHeight, page = document.documentElement.clientWidth;
  const origin = u.over.getBoundingClientRect().left;
  const right = origin + left + 18 + w < page, fits = right || origin + left - 18 - w > 0;
  tip.style.left = (fits ? right ? left + 18 : left - 18 - w : Math.max(4, Math.min(page - w - 4, origin + left - w / 2)) - origin) + "px";
  if (!fits) { tip.style.top = -h - 8 + "px"; return; }
  tip.style.top = Math.max(-10, Math.min(top - h / 2, tall - h)) + "px";
}
function drawTarget(u, value, kind) {
  const y = u.valToPos(value, "y", true), {ctx, bbox} = u;
  if (!isFinite(y) || y < bbox.top || y > bbox.top + bbox.height) return;
  const px = devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = css("--bad");
  ctx.lineWidth = px; ctx.setLineDash([4 * px, 4 * px]);
  ctx.beginPath(); ctx.moveTo(bbox.left, y); ctx.lineTo(bbox.left + bbox.width, y); ctx.stroke();
  ctx.font = 11 * px + "px system-ui, sans-serif"; ctx.textAlign = "left"; ctx.textBaseline = "bottom";
  const label = "target " + text(value, kind), width = ctx.measureText(label).width;
  ctx.fillStyle = css("--paper"); ctx.fillRect(bbox.left + bbox.width - width - 8 * px, y + 2 * px, width + 8 * px, 14 * px);
  ctx.fillStyle = css("--bad"); ctx.fillText(label, bbox.left + bbox.width - width - 4 * px, y + 15 * px);
  ctx.restore();
}

const xNames = {steps: "Steps", examples: "Examples", epochs: "Epochs", seconds: "Training seconds"};
const xKinds = {steps: "count", examples: "count", epochs: "", seconds: ""};
const splitNames = {train: "Training", val: "Validation", test: "Test"};
const read = (column, kind, logY, target) => () => ({
  curves: methods.map(m => ({method: m, table: curve(m, column())})).filter(c => c.table),
  logX: state.logX, logY: logY(), kind, xKind: xKinds[state.x], xLabel: xNames[state.x], target: target && target(),
});
// A quantity that never changes needs no chart: it stands among the settings.
const steady = column => methods.every(m => m.runs.every(r => new Set((r.columns[column] || []).filter(v => v != null)).size <= 1));
const onTarget = measure => () => data.target && data.target.split === state.split && data.target.metric === measure ? data.target.value : null;

if (splits.length || has("batch_loss")) {
  $("curves").hidden = false;
  chart({box: "chart-loss", title: () => splitNames[state.split] + " loss", read: read(() => state.split + ".loss", "", () => state.logY, onTarget("loss"))});
  if (data.metric !== "loss" && splits.some(([s]) => has(s + ".metric")))
    chart({box: "chart-metric", title: () => splitNames[state.split] + " " + (accuracy ? "accuracy" : data.metric.toUpperCase()),
      read: read(() => state.split + ".metric", accuracy ? "percent" : "", () => !accuracy && state.logY, onTarget(data.metric))});
  else $("chart-metric").parentElement.hidden = true;
  for (const [column, title] of [["grad_norm", "Norm of the batch gradient"], ["step_size", "Learning rate"]]) {
    if (!has(column) || column === "step_size" && steady(column)) continue;
    $("chart-" + column).parentElement.hidden = false;
    chart({box: "chart-" + column, title: () => title, read: read(() => column, "", () => state.logY)});
  }
}
if (options.matrix.length) {
  $("curvature").hidden = false;
  // The preconditioned curve of a method has its colour and dashes, is thin with open points, and follows its button.
  const after = methods.map(m => Object.create(m, {of: {value: m}, name: {value: m.name + ", preconditioned"}}));
  const source = r => r.probes;
  for (const [quantity, title] of [["max", "Largest eigenvalue"], ["trace", "Trace"], ["condition", "Condition number, at least"], ["spread", "Largest over mean eigenvalue"]])
    chart({box: "chart-" + quantity, title: () => title, read: () => ({
      curves: [...(state.side === "preconditioned" ? [] : methods.map(m => ({method: m, table: curve(m, state.matrix + "_" + quantity, source)}))),
        ...(state.side === "plain" ? [] : after.map(m => ({method: m, table: curve(m, "preconditioned_" + state.matrix + "_" + quantity, source)})))].filter(c => c.table),
      logX: state.logX, logY: true, kind: "", xKind: xKinds[state.x], xLabel: xNames[state.x], points: true,
    })});
}
const extra = [...document.querySelectorAll("#curves figure")].slice(2).filter(f => !f.hidden);
if (extra.length === 1) extra[0].classList.add("wide", "low");
const tuned = methods.filter(m => m.tuning);
if (tuned.length) {
  $("tuning").hidden = false;
  const result = v => v;
  chart({box: "chart-tuning", fit: true, title: () => "Validation " + (accuracy ? "accuracy" : data.metric) + " against " + tuned[0].tuning.setting,
    read: () => ({logX: true, logY: !accuracy, kind: accuracy ? "percent" : "", xKind: "", xLabel: tuned[0].tuning.setting, points: true,
      curves: tuned.map(m => {
        const order = m.tuning.value.map((v, i) => [v, result(m.tuning.result[i])]).filter(p => p[0] != null && p[1] != null).sort((a, b) => a[0] - b[0]);
        return {method: m, table: [order.map(p => p[0]), order.map(p => p[1])]};
      }).filter(c => c.table[0].length)}),
    mark: u => {
      const px = devicePixelRatio, {ctx} = u;
      for (const m of tuned) {
        const i = m.tuning.value.indexOf(m.tuning.chosen);
        if (!m.shown || i < 0 || m.tuning.result[i] == null) continue;
        ctx.save(); ctx.strokeStyle = colour(m); ctx.lineWidth = 2 * px; ctx.beginPath();
        ctx.arc(u.valToPos(m.tuning.value[i], "x", true), u.valToPos(m.tuning.result[i], "y", true), 6.5 * px, 0, 7); ctx.stroke(); ctx.restore();
      }
    }});
}

function refresh() {
  document.querySelectorAll(".control button, .chips button").forEach(b => b.sync && b.sync());
  for (const p of plots) {
    $(p.spec.box.replace("chart", "title")).textContent = p.spec.title();
    p.draw();
  }
}
$("theme").onclick = () => { chosen = root.dataset.theme === "dark" ? "light" : "dark"; theme(); refresh(); };
system.onchange = () => { theme(); refresh(); };
addEventListener("beforeprint", () => { theme("light"); refresh(); });
addEventListener("afterprint", () => { theme(); refresh(); });
let frame = 0;
addEventListener("resize", () => { cancelAnimationFrame(frame); frame = requestAnimationFrame(refresh); });
const openLinked = () => { const d = location.hash && document.querySelector("details" + CSS.escape(location.hash).replace("\\#", "#")); if (d) d.open = true; };
addEventListener("hashchange", openLinked); openLinked();
refresh();
// uPlot draws in a microtask; the mark tells a test that everything is on the page.
setTimeout(() => { document.body.dataset.drawn = plots.filter(p => p.u).length; }, 0);
})();

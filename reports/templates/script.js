"use strict";
// The slider over EM iterations. All is drawn from the parameters after each iteration, which
// are in the page; the formulas are those of the hand-written E-step.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const make = (name, attributes = {}, parent = null) => {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (parent) parent.append(node);
    return node;
  };
  const element = (name, properties = {}, ...children) => {
    const node = Object.assign(document.createElement(name), properties);
    node.append(...children);
    return node;
  };
  const extent = (values) => [Math.min(...values), Math.max(...values)];
  const widened = ([low, high], share) => {
    const margin = share * (high - low) || 1;
    return [low - margin, high + margin];
  };
  const scale = ([a, b], [c, d]) => (v) => c + ((v - a) / (b - a)) * (d - c);
  const short = (v) => {
    const size = Math.abs(v);
    const text = size !== 0 && (size < 1e-3 || size >= 1e6) ? v.toExponential(1) : String(+v.toPrecision(4));
    return text.replace(/^-/, "\u2212");
  };
  const ticks = ([low, high], wanted) => {
    const rough = (high - low) / wanted;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((m) => m * power >= rough) * power;
    const found = [];
    for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) found.push(+v.toPrecision(12));
    return found;
  };
  const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

  const LEFT = 46, BOTTOM = 34, TOP = 8, RIGHT = 8;
  function frame(width, height, xs, ys, label) {
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
    const x = scale(xs, [LEFT, width - RIGHT]);
    const y = scale(ys, [height - BOTTOM, TOP]);
    const axes = make("g", { stroke: "var(--rule)" }, svg);
    for (const v of ticks(xs, 9)) {
      make("line", { x1: x(v), x2: x(v), y1: height - BOTTOM, y2: height - BOTTOM + 4, stroke: "var(--muted)" }, axes);
      make("text", { x: x(v), y: height - BOTTOM + 16, "text-anchor": "middle", stroke: "none" }, axes).textContent = short(v);
    }
    for (const v of ticks(ys, 7)) {
      make("line", { x1: LEFT, x2: width - RIGHT, y1: y(v), y2: y(v) }, axes);
      make("text", { x: LEFT - 6, y: y(v) + 4, "text-anchor": "end", stroke: "none" }, axes).textContent = short(v);
    }
    make("line", { x1: LEFT, x2: width - RIGHT, y1: height - BOTTOM, y2: height - BOTTOM, stroke: "var(--muted)" }, axes);
    return { svg, x, y };
  }
  const title = (svg, text, x, y, anchor = "middle") =>
    (make("text", { x, y, "text-anchor": anchor }, svg).textContent = text);
  const curve = (points) => "M" + points.map(([a, b]) => `${a.toFixed(1)} ${b.toFixed(1)}`).join("L");

  function densities(data) {
    const width = 620, height = 330, K = data.path.weights[0].length;
    const xs = widened(extent(data.data), 0.06);
    const bins = 30, [low, high] = extent(data.data), step = (high - low) / bins;
    const counts = new Array(bins).fill(0);
    for (const v of data.data) counts[Math.min(bins - 1, Math.floor((v - low) / step))] += 1;
    const bars = counts.map((c) => c / data.data.length / step);
    const { svg, x, y } = frame(width, height, xs, [0, 1.18 * Math.max(...bars)], "Histogram and densities");
    bars.forEach((b, i) => make("rect", {
      x: x(low + i * step), y: y(b), width: x(low + step) - x(low), height: y(0) - y(b), fill: "#8c959f", opacity: 0.4,
    }, svg));
    const inner = make("svg", { x: 0, y: 0, width, height: height - BOTTOM, viewBox: `0 0 ${width} ${height - BOTTOM}` }, svg);
    const lines = Array.from({ length: K }, (_, k) =>
      make("path", { fill: "none", stroke: `var(--c${k % data.colours.length})`, "stroke-width": 1.6 }, inner));
    const mixture = make("path", { fill: "none", stroke: "var(--m-em)", "stroke-width": 3, opacity: 0.7 }, inner);
    title(svg, data.axes[0], (LEFT + width) / 2, height - 3);
    const grid = Array.from({ length: 241 }, (_, i) => xs[0] + ((xs[1] - xs[0]) * i) / 240);
    return [svg, (i) => {
      const at = { w: data.path.weights[i], m: data.path.means[i], v: data.path.variances[i] };
      const total = grid.map(() => 0);
      lines.forEach((line, k) => line.setAttribute("d", curve(grid.map((g, j) => {
        const p = at.w[k] * Math.exp(-((g - at.m[k]) ** 2) / (2 * at.v[k])) / Math.sqrt(2 * Math.PI * at.v[k]);
        total[j] += p;
        return [x(g), y(p)];
      }))));
      mixture.setAttribute("d", curve(grid.map((g, j) => [x(g), y(total[j])])));
      return at.w.map((w, k) => `${data.components[k]}: weight ${short(w)}, mean ${short(at.m[k])}, sd ${short(Math.sqrt(at.v[k]))}`);
    }];
  }

  function scatter(data) {
    const width = 620, height = 430, K = data.path.weights[0].length;
    const xs = widened(extent(data.data.map((d) => d[0])), 0.08);
    const ys = widened(extent(data.data.map((d) => d[1])), 0.1);
    const { svg, x, y } = frame(width, height, xs, ys, "Points by responsibility, and ellipses");
    const dots = data.data.map(([a, b]) => make("circle", { cx: x(a).toFixed(1), cy: y(b).toFixed(1), r: 3.2 }, svg));
    const clip = make("svg", { x: LEFT, y: TOP, width: width - LEFT - RIGHT, height: height - TOP - BOTTOM,
      viewBox: `${LEFT} ${TOP} ${width - LEFT - RIGHT} ${height - TOP - BOTTOM}` }, svg);
    const rings = Array.from({ length: K }, (_, k) =>
      make("path", { fill: "none", stroke: `var(--c${k % data.colours.length})`, "stroke-width": 2.2 }, clip));
    const hubs = rings.map((_, k) => make("path", { stroke: `var(--c${k % data.colours.length})`, "stroke-width": 2.5 }, clip));
    title(svg, data.axes[0], (LEFT + width) / 2, height - 3);
    title(svg, data.axes[1], LEFT + 6, 18, "start");
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const radius = Math.sqrt(-2 * Math.log(0.05));
    return [svg, (i) => {
      const tints = data.colours.map((pair) => rgb(pair[+dark.matches]));
      const weights = data.path.weights[i], means = data.path.means[i];
      const parts = data.path.covariances[i].map(([[a, b], [, c]], k) => {
        const l11 = Math.sqrt(a), l21 = b / l11, l22 = Math.sqrt(Math.max(c - l21 * l21, 1e-300));
        return { m: means[k], l11, l21, l22, log: Math.log(weights[k]) - Math.log(l11) - Math.log(l22) };
      });
      parts.forEach(({ m, l11, l21, l22 }, k) => {
        const outline = Array.from({ length: 61 }, (_, j) => {
          const t = (2 * Math.PI * j) / 60, u = radius * Math.cos(t), v = radius * Math.sin(t);
          return [x(m[0] + l11 * u), y(m[1] + l21 * u + l22 * v)];
        });
        rings[k].setAttribute("d", curve(outline) + "Z");
        hubs[k].setAttribute("d", `M${x(m[0]) - 6} ${y(m[1])}h12M${x(m[0])} ${y(m[1]) - 6}v12`);
      });
      data.data.forEach(([a, b], n) => {
        const logs = parts.map(({ m, l11, l21, l22, log }) => {
          const u = (a - m[0]) / l11, v = (b - m[1] - l21 * u) / l22;
          return log - 0.5 * (u * u + v * v);
        });
        const top = Math.max(...logs), raw = logs.map((v) => Math.exp(v - top));
        const sum = raw.reduce((p, q) => p + q);
        const mixed = [0, 1, 2].map((c) => Math.round(raw.reduce((t, r, k) => t + (r / sum) * tints[k % tints.length][c], 0)));
        dots[n].setAttribute("fill", `rgb(${mixed})`);
      });
      return weights.map((w, k) => `${data.components[k]}: weight ${short(w)}, mean (${means[k].map(short).join(", ")})`);
    }];
  }

  function climb(data) {
    const width = 420, height = 300, last = data.iterations.at(-1);
    const { svg, x, y } = frame(width, height, [0, last], widened(extent(data.trace), 0.06), "Log-likelihood over iterations");
    const points = data.trace.map((v, i) => [x(data.iterations[i]), y(v)]);
    make("path", { d: curve(points), fill: "none", stroke: "var(--m-em)", "stroke-width": 2.4, opacity: 0.8 }, svg);
    const dot = make("circle", { r: 6, fill: "var(--m-em)", stroke: "var(--card)", "stroke-width": 2 }, svg);
    title(svg, "iteration", (LEFT + width) / 2, height - 3);
    title(svg, "log-likelihood (nats)", LEFT + 6, 18, "start");
    return [svg, (i) => { dot.setAttribute("cx", points[i][0]); dot.setAttribute("cy", points[i][1]); }];
  }

  const players = new Map();
  for (const section of document.querySelectorAll(".player")) {
    const data = JSON.parse(section.querySelector("script").textContent);
    const name = section.dataset.scenario, end = data.iterations.length - 1;
    const [scene, move] = data.dimensions === 1 ? densities(data) : scatter(data);
    const [trace, mark] = climb(data);
    const slider = element("input", { type: "range", min: 0, max: end, step: 1, value: 0, id: `${name}-slider`, autocomplete: "off" });
    const button = element("button", { type: "button", textContent: "Play" });
    const said = element("output", { htmlFor: slider.id });
    const readout = element("p", { className: "readout" });
    const show = (i) => {
      slider.value = i;
      readout.textContent = move(i).join(" · ");
      mark(i);
      const where = `Iteration ${data.iterations[i]} of ${data.iterations[end]}`;
      said.textContent = `${where}: ${data.trace[i].toFixed(4).replace(/^-/, "\u2212")} nats`;
      slider.setAttribute("aria-valuetext", said.textContent);
    };
    const keep = () => history.replaceState(null, "", `#${name}/${data.iterations[slider.value]}`);
    let timer = null;
    const stop = () => { clearInterval(timer); timer = null; button.textContent = "Play"; };
    button.addEventListener("click", () => {
      if (timer) return stop();
      if (+slider.value === end) show(0);
      button.textContent = "Pause";
      timer = setInterval(() => { if (+slider.value === end) { stop(); keep(); } else show(+slider.value + 1); }, 180);
    });
    slider.addEventListener("input", () => { stop(); show(+slider.value); });
    slider.addEventListener("change", keep);
    section.append(
      element("h3", { textContent: "EM, one iteration at a time" }),
      element("div", { className: "stage" }, scene, trace),
      element("div", { className: "controls" }, button,
        element("label", { htmlFor: slider.id, textContent: "Iteration" }), slider, said),
      readout,
    );
    section.hidden = false;
    show(Math.min(end, Math.round(end / 4)));
    players.set(name, (iteration) => {
      const i = data.iterations.findIndex((n) => n >= iteration);
      stop();
      show(i < 0 ? end : i);
      section.scrollIntoView({ block: "center" });
    });
  }

  const follow = () => {
    const found = /^#(.+)\/(\d+)$/.exec(decodeURIComponent(location.hash));
    if (found && players.has(found[1])) players.get(found[1])(+found[2]);
  };
  addEventListener("hashchange", follow);
  follow();

  // What is folded up would be missing on paper.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
})();

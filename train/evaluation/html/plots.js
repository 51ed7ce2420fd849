// The plots: lines over time, distributions, quality against time.
const FEW_FRAMES = 3;
const FIRST_PANELS = 12;
let allPanels = false;

// Frames as { index, ...frame }, one list per panel; scenes of very few frames share one.
function panels() {
  const frames = data.frames.map((frame, index) => ({ ...frame, index }));
  const wanted = frames.filter((frame) => !choice.role || frame.role === choice.role);
  const scenes = data.scenes.map((scene) => ({ title: scene, frames: wanted.filter((frame) => frame.scene === scene) }));
  const total = (scene) => data.frames.filter((frame) => frame.scene === scene.title).length;
  const long = scenes.filter((scene) => total(scene) > FEW_FRAMES);
  const short = scenes.filter((scene) => total(scene) <= FEW_FRAMES).flatMap((scene) => scene.frames);
  if (short.length) long.push({ title: "scenes of few frames, one after the other", frames: short, apart: true });
  return long.filter((panel) => panel.frames.length);
}

function known(frames) {
  const values = chosenValues();
  const found = shownMethods().flatMap((method) => frames.map((frame) => values[method.number][frame.index]));
  return found.filter((value) => value !== null);
}

function drawAxes(svg, { width, height, left, bottom, domain, y }) {
  for (const { value, text } of ticks(domain, 5)) {
    add(svg, "path", { class: "grid", d: `M${left} ${y(value)}H${width - 8}` });
    add(svg, "text", { class: "tick", x: left - 6, y: y(value) + 4, "text-anchor": "end" }, text);
  }
  add(svg, "path", { class: "axis", d: `M${left} ${height - bottom}H${width - 8}` });
}

function drawPanel(svg, panel, domain) {
  const [height, left, bottom] = [190, 48, 24];
  const width = clearSvg(svg, height, `${chosenMeasure().title} over frames, ${panel.title}`);
  const place = (frame, order) => (panel.apart ? order : frame.frame);
  const places = panel.frames.map(place);
  const x = scale(places.length > 1 ? [places[0], places.at(-1)] : [places[0] - 1, places[0] + 1], [left + 8, width - 16]);
  const y = scale(domain, [height - bottom, 10]);
  drawAxes(svg, { width, height, left, bottom, domain, y });
  if (!panel.apart)
    for (const { value, text } of ticks([places[0], Math.max(places.at(-1), places[0] + 1)], width / 70))
      if (Number.isInteger(value)) add(svg, "text", { class: "tick", x: x(value), y: height - 7, "text-anchor": "middle" }, text);
  const points = panel.frames.map((frame, order) => ({ frame, x: x(places[order]) }));
  for (const method of shownMethods()) drawLine(svg, method, points, y, panel.apart);
  letRead(svg, points, { width, height, bottom });
}

function drawLine(svg, method, points, y, apart) {
  const values = chosenValues()[method.number];
  const group = add(svg, "g", { class: `${method.style} ${method.kind}` });
  let [line, pen] = ["", "M"];
  for (const { frame, x } of points) {
    const value = values[frame.index];
    line += value === null ? "" : `${pen}${x.toFixed(1)} ${y(value).toFixed(1)}`;
    pen = value === null ? "M" : "L";
  }
  if (!apart) add(group, "path", { class: "line", d: line });
  const every = apart || points.length <= 12 ? 1 : Math.ceil(points.length / 6);
  const value = (order) => (points[order] ? values[points[order].frame.index] : null);
  for (const [order, { x }] of points.entries()) {
    const isAlone = value(order - 1) === null && value(order + 1) === null;
    if (value(order) !== null && (isAlone || (order + method.number) % every === 0)) drawMark(group, method, x, y(value(order)), 9);
  }
}

// Values are read by pointing, or by the arrow keys.
function letRead(svg, points, { width, height, bottom }) {
  const guide = add(svg, "path", { class: "guide", d: "" });
  let at = -1;
  const show = (number, clientX, clientY) => {
    at = Math.max(0, Math.min(points.length - 1, number));
    const { frame, x } = points[at];
    guide.setAttribute("d", `M${x} 6V${height - bottom}`);
    const rows = shownMethods().map((method) => ({ method, text: rounded(chosenValues()[method.number][frame.index]) }));
    const box = svg.getBoundingClientRect();
    showTip(frameTitle(frame), rows, clientX ?? box.left + (x * box.width) / width, clientY ?? box.top + 24);
  };
  const hide = () => (guide.setAttribute("d", ""), hideTip());
  svg.setAttribute("tabindex", "0");
  svg.onpointermove = svg.onpointerdown = (event) => {
    const box = svg.getBoundingClientRect();
    const distance = points.map((point) => Math.abs(point.x - ((event.clientX - box.left) * width) / box.width));
    show(distance.indexOf(Math.min(...distance)), event.clientX, event.clientY);
  };
  svg.onpointerleave = svg.onblur = hide;
  svg.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -points.length, End: points.length }[event.key];
    if (event.key === "Escape") hide();
    if (step === undefined) return;
    event.preventDefault();
    show(at + step);
  };
}

function drawPanels() {
  const box = document.getElementById("panels");
  const same = document.getElementById("same-scale").checked;
  const found = panels().filter((panel) => known(panel.frames).length);
  const shown = allPanels ? found : found.slice(0, FIRST_PANELS);
  const more = document.getElementById("more");
  more.hidden = shown.length === found.length;
  more.textContent = `Show all ${found.length} scenes`;
  const common = known(found.flatMap((panel) => panel.frames));
  box.replaceChildren();
  if (!found.length) box.textContent = "There are no values of this measure.";
  for (const panel of shown) {
    const figure = box.appendChild(document.createElement("figure"));
    figure.className = panel.apart ? "plot wide" : "plot";
    figure.appendChild(document.createElement("figcaption")).textContent = panel.title;
    drawPanel(add(figure, "svg"), panel, span(same ? common : known(panel.frames)));
  }
}

function quantile(sorted, share) {
  const place = share * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]];
  return low + (high - low) * (place - Math.floor(place));
}

function drawDistribution() {
  const svg = document.querySelector("#distribution svg");
  const frames = panels().flatMap((panel) => panel.frames);
  const all = known(frames);
  const [methods, row] = [shownMethods(), 54];
  const height = methods.length * row + 28;
  const width = clearSvg(svg, height, `Distribution of ${chosenMeasure().title} over frames, a row per method`);
  if (!all.length) return;
  const domain = span(all);
  const x = scale(domain, [12, width - 24]);
  for (const { value, text } of ticks(domain, width / 90)) {
    add(svg, "path", { class: "grid", d: `M${x(value)} 4V${height - 24}` });
    add(svg, "text", { class: "tick", x: x(value), y: height - 8, "text-anchor": "middle" }, text);
  }
  const dots = methods.flatMap((method, place) => drawStrip(svg, method, frames, x, place * row));
  svg.onpointermove = (event) => {
    const box = svg.getBoundingClientRect();
    const zoom = width / box.width;
    const distance = dots.map((dot) => Math.hypot(dot.x - (event.clientX - box.left) * zoom, dot.y - (event.clientY - box.top) * zoom));
    const near = dots[distance.indexOf(Math.min(...distance))];
    if (Math.min(...distance) > 30) return hideTip();
    showTip(frameTitle(near.frame), [{ method: near.method, text: rounded(near.value) }], event.clientX, event.clientY);
  };
  svg.onpointerleave = hideTip;
}

function drawStrip(svg, method, frames, x, top) {
  const values = chosenValues()[method.number];
  const having = frames.filter((frame) => values[frame.index] !== null);
  const group = add(svg, "g", { class: method.style });
  add(group, "text", { class: "name", x: 12, y: top + 13 }, method.name);
  if (!having.length) return [];
  const middle = top + 34;
  const dots = having.map((frame, order) => ({
    frame, method, value: values[frame.index], x: x(values[frame.index]), y: middle + (((order * 0.618) % 1) - 0.5) * 20,
  }));
  for (const dot of dots) add(group, "circle", { class: "dot", cx: dot.x, cy: dot.y, r: 2.2 });
  const sorted = dots.map((dot) => dot.value).sort((a, b) => a - b);
  const [least, low, half, high, most] = [0, 0.25, 0.5, 0.75, 1].map((share) => x(quantile(sorted, share)));
  add(group, "path", { class: "line", d: `M${least} ${middle}H${low}M${high} ${middle}H${most}` });
  add(group, "rect", { class: "box", x: low, y: middle - 10, width: Math.max(1, high - low), height: 20 });
  add(group, "path", { class: "median", d: `M${half} ${middle - 10}V${middle + 10}` });
  const mean = x(sorted.reduce((sum, value) => sum + value, 0) / sorted.length);
  add(group, "path", { class: "mean", d: `M${mean} ${middle - 5}l5 5l-5 5l-5 -5z` });
  return dots;
}

// Quality against time, for methods whose time was measured; then the first drawing of all plots.
function costPoints() {
  return data.methods.flatMap((method, number) => {
    const found = chosenValues()[number].filter((value) => value !== null);
    const mean = found.reduce((sum, value) => sum + value, 0) / found.length;
    return method.seconds > 0 && found.length ? [{ method, mean, seconds: Math.log10(method.seconds) }] : [];
  });
}

function drawCost() {
  const figure = document.getElementById("cost");
  const points = costPoints();
  figure.hidden = points.length < 2;
  if (figure.hidden) return;
  document.getElementById("better").textContent = `${chosenMeasure().higher ? "up" : "down"} and left is better.`;
  const [height, left, bottom] = [260, 56, 40];
  const svg = figure.querySelector("svg");
  const width = clearSvg(svg, height, `Mean ${chosenMeasure().title} over seconds per frame`);
  const domain = span(points.map((point) => point.mean));
  const times = points.map((point) => point.seconds);
  const decades = [Math.floor(Math.min(...times) - 0.1), Math.ceil(Math.max(...times) + 0.1)];
  const [x, y] = [scale(decades, [left + 6, width - 16]), scale(domain, [height - bottom, 10])];
  drawAxes(svg, { width, height, left, bottom, domain, y });
  for (let power = decades[0]; power <= decades[1]; power++)
    add(svg, "text", { class: "tick", x: x(power), y: height - 22, "text-anchor": "middle" }, String(+(10 ** power).toPrecision(3)));
  add(svg, "text", { class: "tick", x: (left + width) / 2, y: height - 5, "text-anchor": "middle" }, "seconds per frame");
  let last = -Infinity;
  for (const point of points.sort((a, b) => b.mean - a.mean)) {
    const group = add(svg, "g", { class: point.method.style });
    const [px, py] = [x(point.seconds), y(point.mean)];
    drawMark(group, point.method, px, py, 14);
    last = Math.max(py + 4, last + 14);
    const toLeft = px > (left + width) / 2;
    const label = { class: "name", x: px + (toLeft ? -11 : 11), y: last, "text-anchor": toLeft ? "end" : "start" };
    add(group, "text", label, point.method.name);
  }
}

function drawLegend() {
  const box = document.getElementById("legend");
  for (const [number, method] of data.methods.entries()) {
    const label = box.appendChild(document.createElement("label"));
    const check = Object.assign(document.createElement("input"), { type: "checkbox", checked: true, autocomplete: "off" });
    check.addEventListener("change", () => {
      check.checked ? choice.hidden.delete(number) : choice.hidden.add(number);
      choose({});
    });
    label.append(check);
    const key = add(label, "svg", { class: `swatch ${method.style}`, viewBox: "0 0 28 12" });
    add(key, "path", { class: "line", d: "M0 6H28" });
    drawMark(key, method, 14, 6);
    label.append(method.name);
  }
}

for (const section of document.querySelectorAll(".scripted")) section.hidden = false;
document.getElementById("same-scale").addEventListener("change", drawPanels);
document.getElementById("more").addEventListener("click", () => {
  allPanels = true;
  drawPanels();
});
drawLegend();
[drawCost, drawPanels, drawDistribution].forEach(follow);
choose({});
let drawnWidth = document.body.clientWidth;
addEventListener("resize", () => {
  if (document.body.clientWidth === drawnWidth) return;
  drawnWidth = document.body.clientWidth;
  choose({});
});

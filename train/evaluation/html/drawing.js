// Drawing: SVG elements, scales with round ticks, and the tip that shows values.
function add(parent, name, attributes = {}, text = null) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== null) element.textContent = text;
  parent.append(element);
  return element;
}

function clearSvg(svg, height, label) {
  const width = Math.max(240, Math.floor(svg.parentElement.clientWidth));
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  return width;
}

function span(values) {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (low === high) [low, high] = [low - (Math.abs(low) * 0.05 || 1), high + (Math.abs(high) * 0.05 || 1)];
  const margin = (high - low) * 0.06;
  return [low >= 0 ? Math.max(0, low - margin) : low - margin, high + margin];
}

function ticks([low, high], count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at++) found.push(at * step);
  return found.map((value) => ({ value, text: value.toFixed(digits) }));
}

function scale([low, high], [from, to]) {
  return (value) => from + ((value - low) / (high - low)) * (to - from);
}

function drawMark(parent, method, x, y, size = 10) {
  add(parent, "use", { class: "mark", href: method.mark, x: x - size / 2, y: y - size / 2, width: size, height: size });
}

const tip = document.getElementById("tip");

function showTip(title, rows, x, y) {
  const lines = rows.map(({ method, text }) => {
    const line = document.createElement("div");
    const key = add(line, "svg", { class: `swatch ${method.style}`, viewBox: "0 0 28 12" });
    add(key, "path", { class: "line", d: "M0 6H28" });
    drawMark(key, method, 14, 6);
    line.append(`${method.name} `);
    line.append(Object.assign(document.createElement("b"), { textContent: text }));
    return line;
  });
  const head = Object.assign(document.createElement("div"), { className: "tip-title", textContent: title });
  tip.replaceChildren(head, ...lines);
  tip.hidden = false;
  const left = x + 14 + tip.offsetWidth > innerWidth ? x - 14 - tip.offsetWidth : x + 14;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${Math.max(4, Math.min(y - 20, innerHeight - tip.offsetHeight - 4))}px`;
}

function hideTip() {
  tip.hidden = true;
}

function frameTitle(frame) {
  return `${frame.scene}, frame ${frame.label} (${frame.role})`;
}

// What tables and plots share: the data, the choice of protocol and measure, and who wants to know of changes.
const data = JSON.parse(document.getElementById("data").textContent);
const choice = { protocol: Object.keys(data.protocols)[0], measure: data.measures[0]?.key, role: "", hidden: new Set() };
const followers = [];

function follow(draw) {
  followers.push(draw);
}

function choose(change) {
  Object.assign(choice, change);
  for (const variant of document.querySelectorAll(".variant")) {
    const { protocol, measure } = variant.dataset;
    variant.hidden = protocol !== choice.protocol || (measure !== undefined && measure !== choice.measure);
  }
  const title = `${chosenMeasure().title}, ${data.protocols[choice.protocol]}`;
  for (const place of document.querySelectorAll(".shown")) place.textContent = title;
  for (const draw of followers) draw();
}

function chosenMeasure() {
  return data.measures.find((measure) => measure.key === choice.measure) ?? { title: "", digits: 2 };
}

// One list per method, one value or null per frame.
function chosenValues() {
  return data.values[choice.protocol]?.[choice.measure] ?? data.methods.map(() => data.frames.map(() => null));
}

function shownMethods() {
  return data.methods.map((method, number) => ({ ...method, number })).filter((method) => !choice.hidden.has(method.number));
}

function rounded(value) {
  return value === null ? "–" : value.toFixed(chosenMeasure().digits);
}

for (const button of document.querySelectorAll("input[name=protocol]"))
  button.addEventListener("change", () => choose({ protocol: button.value }));
document.getElementById("measure").addEventListener("change", (event) => choose({ measure: event.target.value }));
document.getElementById("role").addEventListener("change", (event) => choose({ role: event.target.value }));

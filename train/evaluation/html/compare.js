// Two pictures of one place, the left one cut off at an edge that the reader moves.
function startCompare() {
  const [place, left, right, edge] = ["place", "left", "right", "edge"].map((name) => document.getElementById(name));
  const stages = [...document.querySelectorAll("#viewer .stage")];

  const figure = (value) => document.querySelector(`[data-example="${place.value}"] [data-picture="${CSS.escape(value)}"]`);

  function fill(image, value, view) {
    const source = figure(value)?.querySelectorAll("img")[view];
    image.hidden = !source;
    if (source) Object.assign(image, { src: source.src, alt: source.alt });
    return source;
  }

  function show() {
    for (const [view, stage] of stages.entries()) {
      const found = [fill(stage.querySelector(".left"), left.value, view), fill(stage.querySelector(".right"), right.value, view)];
      const size = found.find(Boolean);
      stage.parentElement.hidden = !size;
      if (size) stage.style.aspectRatio = `${size.width} / ${size.height}`;
    }
    const words = [left, right].map((list) => figure(list.value)?.querySelector("figcaption").innerText.replace(/\s+/g, " ").trim() ?? "no picture");
    document.getElementById("compared").textContent = `Left: ${words[0]}. Right: ${words[1]}.`;
  }

  function move(percent) {
    edge.value = percent;
    edge.setAttribute("aria-valuetext", `${Math.round(percent)} per cent left`);
    for (const stage of stages) stage.style.setProperty("--edge", `${percent}%`);
  }

  for (const list of [place, left, right]) list.addEventListener("change", show);
  edge.addEventListener("input", () => move(edge.value));
  for (const stage of stages) {
    const drag = (event) => {
      const box = stage.getBoundingClientRect();
      move(Math.max(0, Math.min(100, (100 * (event.clientX - box.left)) / box.width)));
    };
    stage.addEventListener("pointerdown", (event) => {
      stage.setPointerCapture(event.pointerId);
      drag(event);
    });
    stage.addEventListener("pointermove", (event) => event.buttons && drag(event));
  }
  for (const button of document.querySelectorAll("[data-compare]"))
    button.addEventListener("click", () => {
      place.value = button.dataset.compare;
      show();
      document.getElementById("viewer").scrollIntoView({ block: "nearest" });
      place.focus({ preventScroll: true });
    });
  const methods = [...left.options].filter((option) => option.value.startsWith("method:"));
  left.value = methods.at(-2)?.value ?? left.options[0].value;
  right.value = methods.at(-1)?.value ?? left.value;
  show();
  move(50);
}

if (document.getElementById("viewer")) startCompare();

// Tables sort by a click on a heading: names first from a, figures first from the largest.
function sortTable(table, column, direction) {
  const key = (row) => row.cells[column].textContent.trim();
  const compare = (a, b) => {
    const [left, right] = [parseFloat(key(a)), parseFloat(key(b))];
    if (column === 0) return direction * key(a).localeCompare(key(b), "en", { numeric: true });
    if (isNaN(left) || isNaN(right)) return isNaN(left) - isNaN(right) || key(a).localeCompare(key(b));
    return direction * (left - right);
  };
  table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
  for (const [place, heading] of [...table.tHead.rows[0].cells].entries())
    if (place === column) heading.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
    else heading.removeAttribute("aria-sort");
}

for (const table of document.querySelectorAll("table.sortable"))
  for (const [column, heading] of [...table.tHead.rows[0].cells].entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const before = heading.getAttribute("aria-sort");
      const first = column === 0 ? 1 : -1;
      sortTable(table, column, before ? (before === "ascending" ? -1 : 1) : first);
    });
  }

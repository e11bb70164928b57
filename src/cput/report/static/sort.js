// Sorts a table by the clicked header: numbers as numbers, words as words, unknown last. Nothing else on the page needs it.
(() => {
  const key = (row, column, numeric) => {
    const text = row.cells[column].textContent.trim();
    if (!numeric) return text;
    const found = text.replace(/,/g, "").match(/-?\d+(\.\d+)?(e[+-]?\d+)?/i);
    return found ? Number(found[0]) : null;
  };
  const order = (a, b, down) => {
    if (a === null || b === null) return (a === null) - (b === null);
    const sign = down ? -1 : 1;
    return sign * (typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true }));
  };
  const sort = (table, head, column) => {
    const down = head.getAttribute("aria-sort") === "ascending";
    const numeric = table.classList.contains(`n${column + 1}`);
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [key(row, column, numeric), row]);
    rows.sort((a, b) => order(a[0], b[0], down));
    body.append(...rows.map((pair) => pair[1]));
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, head, column));
      head.append(button);
    });
  }
})();

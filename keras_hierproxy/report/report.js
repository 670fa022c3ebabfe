"use strict";

// Tables that sort, filter, and show a part of many rows. Without this script they are
// plain tables with all their rows.
document.documentElement.classList.add("js");

// Rows that are laid out at a time: what is seen is there at once, the rest follows.
const SLICE = 300;

const collator = new Intl.Collator(undefined, { numeric: true });

function makeSortable(table, controls) {
  const limit = Number(table.dataset.limit);
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  const original = [...body.rows];
  const [input, button, status] = controls.querySelectorAll("input, button, output");
  let rows = original;
  let texts = null;
  let pending = 0;

  const cellText = (row, column) => row.cells[column].textContent;

  function append(shown, start) {
    if (start >= shown.length) return;
    pending = setTimeout(() => {
      body.append(...shown.slice(start, start + SLICE));
      append(shown, start + SLICE);
    });
  }

  function show() {
    const words = input.value.trim().toLowerCase();
    let found = rows;
    if (words) {
      texts ??= new Map(original.map((row) => [row, row.textContent.toLowerCase()]));
      found = rows.filter((row) => texts.get(row).includes(words));
    }
    const all = button.getAttribute("aria-pressed") === "true";
    const shown = all ? found : found.slice(0, limit);
    table.classList.toggle("few", shown.length <= SLICE);
    clearTimeout(pending);
    body.replaceChildren(...shown.slice(0, SLICE));
    append(shown, SLICE);
    const count = (n) => n.toLocaleString("en");
    status.textContent =
      `${count(shown.length)} of ${count(found.length)} ` +
      (words ? `matching ${status.dataset.what}` : status.dataset.what);
  }

  function sortBy(column) {
    const header = headers[column];
    const down = header.getAttribute("aria-sort") === "ascending";
    headers.forEach((each) => each.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    let compare = collator.compare;
    let keyOf = (row) => cellText(row, column);
    if (header.classList.contains("n")) {
      compare = (a, b) => a - b;
      keyOf = (row) => parseFloat(cellText(row, column));
    }
    const known = [];
    const unknown = [];
    for (const row of original) {
      const key = keyOf(row);
      (key === "" || Number.isNaN(key) ? unknown : known).push([key, row]);
    }
    known.sort(([a], [b]) => (down ? compare(b, a) : compare(a, b)));
    // What has no value is neither the best nor the worst.
    rows = [...known, ...unknown].map(([, row]) => row);
    show();
  }

  headers.forEach((header, column) => {
    const name = document.createElement("button");
    name.type = "button";
    name.append(...header.childNodes);
    name.addEventListener("click", () => sortBy(column));
    header.append(name);
  });
  input.addEventListener("input", show);
  button.addEventListener("click", () => {
    const all = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", all);
    show();
  });
  controls.hidden = false;
  button.hidden = original.length <= limit;
  input.parentElement.hidden = button.hidden;
  table.removeAttribute("data-limit");
  show();
}

document.addEventListener("DOMContentLoaded", () => {
  for (const controls of document.querySelectorAll(".controls")) {
    const id = controls.querySelector("input").getAttribute("aria-controls");
    makeSortable(document.getElementById(id), controls);
  }
});

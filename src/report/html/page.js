// Sorts, searches and turns the pages of the report's tables, and changes between light and dark.
// The tables' data stand in the page; text from it is only ever set as text.
"use strict";

(function () {
  const NARROW = "\u202f";
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  // As `figures::cell` of the program writes numbers.
  function number(value) {
    const size = Math.abs(value);
    if (size >= 1e15) return value.toExponential(3).replace("+", "");
    if (size >= 1000 || Number.isInteger(value)) {
      const digits = size.toFixed(0);
      const sign = value < 0 && digits !== "0" ? "-" : "";
      return sign + digits.replace(/\B(?=(\d{3})+$)/g, NARROW);
    }
    if (size >= 100) return value.toFixed(1);
    if (size >= 10) return value.toFixed(2);
    if (size >= 0.1) return value.toFixed(3);
    if (size >= 0.01) return value.toFixed(4);
    if (size >= 0.001) return value.toFixed(5);
    return value.toExponential(2);
  }

  const isText = (column) => column.kind === "text" || column.kind === "prose";

  function shown(column, value) {
    if (value === null || value === "") return "";
    if (isText(column)) return value;
    return column.kind === "share" ? (value * 100).toFixed(1) : number(value);
  }

  // The value of a row, however the column is packed.
  function reader(column) {
    if ("same" in column) return () => column.same;
    if ("words" in column) return (row) => column.words[column.at[row]];
    return (row) => column.values[row];
  }

  function sheet(table) {
    const data = JSON.parse(document.getElementById(table.dataset.sheet).textContent);
    const columns = data.columns;
    columns.forEach((column) => { column.of = reader(column); });
    const id = table.id.replace(/-table$/, "");
    const controls = document.querySelectorAll(`[data-controls="${id}"]`);
    const control = (role) => {
      for (const group of controls) {
        const found = group.querySelector(`[data-role="${role}"]`);
        if (found) return found;
      }
      return null;
    };
    const count = document.querySelector(`[data-count="${id}"]`);
    const [filter, all, previous, next] = ["filter", "columns", "previous", "next"].map(control);
    const body = table.tBodies[0];
    const head = table.tHead.rows[0];
    const state = { sorted: data.sorted, down: data.sorted !== null, first: 0, all: false, rows: [] };
    const everyRow = Array.from({ length: data.rows }, (_, row) => row);

    const main = columns.filter((column) => column.main !== null).sort((a, b) => a.main - b.main);
    // All of them stand in the order of the CSV.
    const visible = () => (state.all ? columns : main);

    function choose() {
      const words = filter ? filter.value.toLowerCase().split(/\s+/).filter(Boolean) : [];
      const texts = columns.filter(isText);
      // Texts of most columns repeat: each is searched once.
      const hits = words.map((word) => texts.map((column) => {
        if ("same" in column) {
          const hit = String(column.same).toLowerCase().includes(word);
          return () => hit;
        }
        if ("words" in column) {
          const found = column.words.map((text) => text.toLowerCase().includes(word));
          return (row) => found[column.at[row]];
        }
        return (row) => column.values[row].toLowerCase().includes(word);
      }));
      state.rows = everyRow.filter((row) => hits.every((columnsOf) => columnsOf.some((hit) => hit(row))));
      if (state.sorted === null) return;
      const column = columns[state.sorted];
      const sign = state.down ? -1 : 1;
      const byWords = isText(column);
      state.rows.sort((left, right) => {
        const [a, b] = [column.of(left), column.of(right)];
        const [noA, noB] = [a === null || a === "", b === null || b === ""];
        // What is not known stands last, whichever way.
        if (noA || noB) return noA === noB ? left - right : noA ? 1 : -1;
        const order = byWords ? collator.compare(a, b) : a - b;
        return order === 0 ? left - right : sign * order;
      });
    }

    function drawHead() {
      const cells = visible().map((column) => {
        const cell = document.createElement("th");
        cell.scope = "col";
        cell.dataset.kind = column.kind;
        cell.dataset.column = column.name;
        cell.title = column.name;
        if (column.main === null) cell.className = "more";
        const at = columns.indexOf(column);
        if (state.sorted === at) cell.setAttribute("aria-sort", state.down ? "descending" : "ascending");
        const button = document.createElement("button");
        button.type = "button";
        button.append(column.label);
        if (column.unit) {
          const unit = document.createElement("span");
          unit.className = "unit";
          unit.textContent = column.unit;
          button.append(" ", unit);
        }
        button.addEventListener("click", () => {
          state.down = state.sorted === at ? !state.down : !isText(column);
          state.sorted = at;
          state.first = 0;
          choose();
          drawHead();
          drawRows();
          table.querySelector(`th[data-column="${column.name}"] button`).focus();
        });
        cell.append(button);
        return cell;
      });
      head.replaceChildren(...cells);
    }

    function drawRows() {
      const rows = state.rows.slice(state.first, state.first + data.page).map((row) => {
        const line = document.createElement("tr");
        for (const column of visible()) {
          const value = column.of(row);
          const cell = document.createElement(column.name === data.key ? "th" : "td");
          if (column.name === data.key) cell.scope = "row";
          if (column.main === null) cell.className = "more";
          cell.textContent = shown(column, value);
          if (isText(column)) {
            if (column.kind === "prose") cell.dataset.kind = column.kind;
            if (value && value.length > 24) cell.title = value;
          } else {
            cell.dataset.kind = column.kind;
            if (value !== null) cell.dataset.value = value;
          }
          line.append(cell);
        }
        return line;
      });
      body.replaceChildren(...rows);
      drawCount();
    }

    function drawCount() {
      const [found, last] = [state.rows.length, Math.min(state.first + data.page, state.rows.length)];
      const of = found === data.rows ? number(found) : `${number(found)} that match, ${number(data.rows)} in all`;
      count.textContent = found === 0 ? "No row has all of these words" : `Rows ${number(state.first + 1)} to ${number(last)} of ${of}`;
      if (previous) {
        previous.disabled = state.first === 0;
        next.disabled = last >= found;
      }
    }

    function turn(by) {
      state.first = Math.max(0, state.first + by);
      drawRows();
    }

    if (filter) {
      let waiting = 0;
      filter.addEventListener("input", () => {
        clearTimeout(waiting);
        waiting = setTimeout(() => {
          state.first = 0;
          choose();
          drawRows();
        }, 150);
      });
    }
    if (all) {
      all.addEventListener("click", () => {
        state.all = !state.all;
        all.setAttribute("aria-pressed", String(state.all));
        drawHead();
        drawRows();
      });
    }
    if (previous) {
      previous.addEventListener("click", () => turn(-data.page));
      next.addEventListener("click", () => turn(data.page));
    }
    // The rows that stand there already are these.
    state.rows = everyRow;
    drawHead();
    controls.forEach((group) => { group.hidden = group.childElementCount === 0; });
  }

  document.querySelectorAll("table[data-sheet]").forEach(sheet);

  const theme = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const name = () => { theme.textContent = isDark() ? "Light colours" : "Dark colours"; };
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    name();
  });
  system.addEventListener("change", name);
  name();
  theme.hidden = false;
})();

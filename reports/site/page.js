// Comfort only: everything on the page can be read and opened without it.
(() => {
  "use strict";

  // Mark the cell whose panel is open, keep its row in sight, open a details element that is linked to.
  let opened = null;
  function follow() {
    const id = decodeURIComponent(location.hash.slice(1));
    document.querySelectorAll("[aria-current]").forEach((link) => link.removeAttribute("aria-current"));
    const target = id && document.getElementById(id);
    if (!target) return;
    document.querySelectorAll(".cell, .tab").forEach((link) => {
      if (decodeURIComponent(link.hash || "").slice(1) === id) link.setAttribute("aria-current", "true");
    });
    const details = target.querySelector(":scope > td > details");
    if (details) details.open = true;
    const panel = target.closest("tr.panel");
    if (!panel) return;
    opened = panel.previousElementSibling;
    if (!target.matches(".finding")) place(opened);
  }

  // The browser scrolls to what a link names. The row that was pressed stays where it was instead, unless that
  // leaves no room under it for the panel.
  let pressed = null;
  function place(row) {
    const head = document.querySelector(".matrix thead");
    const edge = 42 + (getComputedStyle(head).position === "sticky" ? head.offsetHeight : 0);
    const wanted = Math.max(edge, Math.min(pressed ?? edge, innerHeight * 0.45));
    scrollBy(0, row.getBoundingClientRect().top - wanted);
    pressed = null;
  }
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a.cell, a.tab, tr.clause > th a");
    const row = link && (link.closest("tr.clause") || link.closest("tr.panel")?.previousElementSibling);
    pressed = row ? row.getBoundingClientRect().top : null;
  });
  addEventListener("hashchange", follow);
  addEventListener("load", follow);

  // Escape closes the panel; arrows walk from cell to cell.
  const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && document.querySelector("tr.panel :target")) {
      const cell = opened?.querySelector("[aria-current]") ?? opened?.querySelector("a");
      location.hash = "closed";
      cell?.focus({ preventScroll: true });
    }
    const step = steps[event.key];
    const cell = step && document.activeElement.closest?.(".matrix tr.clause .cell");
    if (!cell || event.ctrlKey || event.metaKey || event.altKey) return;
    const rows = [...document.querySelectorAll(".matrix tr.clause")].filter((row) => row.offsetParent);
    const row = rows[rows.indexOf(cell.closest("tr")) + step[0]];
    const next = row?.cells[cell.parentElement.cellIndex + step[1]]?.querySelector("a.cell");
    if (next) { event.preventDefault(); next.focus(); }
  });

  document.addEventListener("click", async (event) => {
    const more = event.target.closest(".more");
    if (more) {
      const extra = document.getElementById(more.getAttribute("aria-controls"));
      extra.hidden = !extra.hidden;
      more.setAttribute("aria-expanded", String(!extra.hidden));
    }
    const copy = event.target.closest(".copy");
    if (copy) {
      const pre = copy.parentElement.querySelector("pre");
      try {
        await navigator.clipboard.writeText(pre.textContent);
        copy.textContent = "copied";
      } catch {
        getSelection().selectAllChildren(pre);
        copy.textContent = "selected";
      }
      setTimeout(() => { copy.textContent = "copy"; }, 1500);
    }
  });

  // Pointing at a series, in the legend or in a chart, dims the others.
  const charts = document.querySelectorAll(".chart");
  function light(series) {
    charts.forEach((chart) => {
      chart.classList.toggle("dimmed", Boolean(series));
      chart.querySelectorAll("[data-series]").forEach((mark) => mark.classList.toggle("lit", mark.dataset.series === series));
    });
  }
  document.querySelectorAll(".series [data-series]").forEach((entry) => {
    for (const start of ["mouseenter", "focus"]) entry.addEventListener(start, () => light(entry.dataset.series));
    for (const end of ["mouseleave", "blur"]) entry.addEventListener(end, () => light(null));
  });
})();

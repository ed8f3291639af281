(() => {
  "use strict";
  const root = document.documentElement;
  const data = (id) => JSON.parse(document.getElementById(id).textContent);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  root.classList.add("scripted");

  // Theme: that of the system until the reader chooses one.
  const themeButton = document.getElementById("theme");
  const systemDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches);
  const showTheme = () => {
    themeButton.textContent = isDark() ? "Light" : "Dark";
    themeButton.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
  };
  try {
    const kept = localStorage.getItem("bench-report-theme");
    if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  } catch { /* a page from file:// may have no storage */ }

  // Charts: drawn when their tab is open and they come into view, and again when the theme changes.
  let charts = null;
  const drawn = new Map();
  const rowsOf = (columns) => {
    const names = Object.keys(columns);
    const whole = names.map((name) => {
      const column = columns[name];
      return Array.isArray(column) ? column : column.at.map((place) => column.names[place]);
    });
    return whole[0].map((_, i) => Object.fromEntries(names.map((name, at) => [name, whole[at][i]])));
  };
  const filled = (part, held) => {
    if (Array.isArray(part)) return part.map((each) => filled(each, held));
    if (part === null || typeof part !== "object") return part;
    if ("held" in part) return held[part.held];
    if ("rows" in part && Object.keys(part).every((key) => ["rows", "name"].includes(key))) {
      const rows = rowsOf(held[part.rows]);
      return "name" in part ? { name: part.name, values: rows } : { values: rows };
    }
    return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, filled(value, held)]));
  };
  // A chart with a column a name is no wider than its columns need.
  const widest = (spec) => {
    const across = [spec, ...(spec.layer ?? [])].map((part) => part.encoding?.x).find((x) => x?.type === "nominal");
    if (!across?.field || !spec.data?.values) return Infinity;
    return 180 + 56 * new Set(spec.data.values.map((row) => row[across.field])).size;
  };
  const specOf = (number, width) => {
    charts ??= data("charts");
    const chart = charts.charts[number];
    const spec = filled(charts.specs[chart.s], chart.d);
    if (spec.vconcat) {
      for (const panel of spec.vconcat) panel.width = Math.max(40, width - charts.beside);
    } else {
      spec.width = Math.min(width, widest(spec));
    }
    return spec;
  };
  const theme = () => {
    charts ??= data("charts");
    return { ...charts.themes[isDark() ? "dark" : "light"], font: getComputedStyle(document.body).fontFamily };
  };
  const draw = async (box) => {
    const number = Number(box.dataset.chart);
    drawn.get(box)?.finalize();
    drawn.set(box, null);
    const inner = document.createElement("div"); // Vega gives it roles of its own, which the image stands for
    inner.setAttribute("aria-hidden", "true");
    box.replaceChildren(inner);
    try {
      const spec = specOf(number, box.clientWidth);
      const result = await window.vegaEmbed(inner, spec, {
        mode: "vega-lite", renderer: "svg", actions: false, ast: true, config: theme(), logLevel: 1,
        patch: (compiled) => { // here, as Vega-Lite would warn of it where rows decide the height
          if (!("vconcat" in spec)) compiled.autosize = { type: "fit-x", contains: "padding" };
          return compiled;
        },
        tooltip: { theme: isDark() ? "dark" : "light" },
      });
      drawn.set(box, result);
      box.dataset.state = "drawn";
    } catch (error) {
      box.dataset.state = "failed";
      box.textContent = "This chart could not be drawn; the table has its numbers.";
      console.error(error);
    }
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      watcher.unobserve(entry.target);
      draw(entry.target);
    }
  }, { rootMargin: "300px" });
  const redraw = () => Promise.all([...drawn.keys()].map((box) => {
    if (box.checkVisibility()) return draw(box);
    drawn.get(box)?.finalize(); // it is drawn anew when its tab is opened
    drawn.delete(box);
    return null;
  }));
  const drawAll = () => Promise.all(all(".chart").filter((box) => !drawn.has(box)).map(draw));

  themeButton.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("bench-report-theme", root.dataset.theme); } catch { /* as above */ }
    showTheme();
    redraw();
  });
  systemDark.addEventListener("change", () => { showTheme(); redraw(); });
  let width = root.clientWidth;
  let waiting = 0;
  addEventListener("resize", () => {
    if (root.clientWidth === width) return;
    width = root.clientWidth;
    clearTimeout(waiting);
    waiting = setTimeout(redraw, 200);
  });
  showTheme();

  // Tables: a button in each header sorts by it.
  const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  const keyOf = (row, column) => {
    const cell = row.cells[column];
    if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
    const text = cell.textContent.trim();
    if (text === "–") return null;
    return cell.classList.contains("n") && !Number.isNaN(Number(text)) ? Number(text) : text;
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b));
  const sort = (header, column) => {
    const table = header.closest("table");
    const numeric = header.classList.contains("n");
    const before = header.getAttribute("aria-sort");
    const order = before ? (before === "ascending" ? "descending" : "ascending") : numeric ? "descending" : "ascending";
    for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", order);
    const body = table.tBodies[0];
    const sign = order === "ascending" ? 1 : -1;
    const keyed = [...body.rows].map((row) => [keyOf(row, column), row]);
    keyed.sort(([a], [b]) => (a === null ? (b === null ? 0 : 1) : b === null ? -1 : sign * compare(a, b)));
    body.append(...keyed.map(([, row]) => row));
  };
  const makeSortable = (table) => {
    table.dataset.ready = "yes";
    if (table.tBodies[0].rows.length < 2) return;
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      if (header.title) button.title = header.title;
      button.addEventListener("click", () => sort(header, column));
      header.append(button);
    });
  };

  // Tabs, by the pattern of the WAI-ARIA authoring practices.
  const list = document.getElementById("tabs");
  const tabs = all("a", list);
  const panels = tabs.map((tab) => document.getElementById(tab.hash.slice(1)));
  list.setAttribute("role", "tablist");
  list.setAttribute("aria-label", "Views");
  tabs.forEach((tab, i) => {
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", panels[i].id);
    panels[i].setAttribute("role", "tabpanel");
    panels[i].setAttribute("aria-labelledby", tab.id);
    panels[i].tabIndex = 0;
  });
  const open = (chosen) => {
    tabs.forEach((tab, i) => {
      tab.setAttribute("aria-selected", String(i === chosen));
      tab.tabIndex = i === chosen ? 0 : -1;
      panels[i].hidden = i !== chosen;
    });
    tabs[chosen].scrollIntoView({ block: "nearest", inline: "nearest" });
    all("table:not([data-ready])", panels[chosen]).forEach(makeSortable);
    all(".chart", panels[chosen]).filter((box) => !drawn.has(box)).forEach((box) => watcher.observe(box));
  };
  const go = (chosen, focus) => {
    open(chosen);
    try { history.replaceState(null, "", tabs[chosen].hash); } catch { /* a page without an address */ }
    if (focus) tabs[chosen].focus();
    scrollTo({ top: Math.min(scrollY, list.offsetTop) });
  };
  list.addEventListener("click", (event) => {
    const at = tabs.indexOf(event.target.closest("a"));
    if (at < 0) return;
    event.preventDefault();
    go(at, true);
  });
  list.addEventListener("keydown", (event) => {
    const now = tabs.indexOf(document.activeElement);
    const to = {
      ArrowRight: (now + 1) % tabs.length, ArrowLeft: (now + tabs.length - 1) % tabs.length,
      Home: 0, End: tabs.length - 1, " ": now, Enter: now,
    }[event.key];
    if (now < 0 || to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    go(to, true);
  });
  const follow = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const at = target ? panels.findIndex((panel) => panel.contains(target)) : -1;
    open(at < 0 ? 0 : at);
    if (at >= 0 && target !== panels[at]) {
      if (target.tagName === "DETAILS") target.open = true;
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", follow);
  follow();

  // Taking the numbers away, and printing.
  document.getElementById("save").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([document.getElementById("records").textContent], { type: "application/json" }));
    link.download = "records.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  document.getElementById("print").addEventListener("click", async () => {
    root.classList.add("whole");
    await drawAll();
    all("details").forEach((each) => { each.open = true; });
    print();
    root.classList.remove("whole");
  });
})();

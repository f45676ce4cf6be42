"use strict";
(() => {
  const PAGE = 20; // rows; gallery.css hides the rest until this script has run
  const find = (selector) => document.querySelector(selector);
  const table = find("table"), grid = find("#grid"), filter = find("#filter"), zoom = find("#zoom");
  const lightbox = find("#lightbox"), overlay = find("#overlay");
  const rows = [...table.tBodies[0].rows];
  const boxes = [...document.querySelectorAll("#styles input")];
  const texts = rows.map((row) => (
    [...row.cells[0].children].map((part) => part.textContent).join("\n").toLowerCase()
  ));
  const keyOf = (row) => row.querySelector(".key").textContent;

  let page = 0, matches = rows;
  let shown = null; // in the lightbox: {row: element, style: column number, or -1 for the photo alone}

  // ---- what is shown follows from the state -------------------------------------------------------------

  function update() {
    const wanted = filter.value.trim().toLowerCase();
    matches = wanted ? rows.filter((_, number) => texts[number].includes(wanted)) : rows;
    if (shown && !matches.includes(shown.row)) shown = null;
    if (shown) page = Math.floor(matches.indexOf(shown.row) / PAGE);
    const pages = Math.max(1, Math.ceil(matches.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);

    const here = new Set(matches.slice(page * PAGE, (page + 1) * PAGE)), matching = new Set(matches);
    for (const row of rows) {
      row.hidden = !matching.has(row);
      row.classList.toggle("elsewhere", !here.has(row));
    }
    for (const row of table.rows) {
      boxes.forEach((box, column) => { row.cells[2 + column].hidden = !box.checked; });
    }
    table.style.setProperty("--columns", 1 + visible().length);
    table.style.setProperty("--zoom", zoom.value);
    table.hidden = !matches.length;
    find("#nothing").hidden = matches.length > 0;
    find("#matches").textContent =
      wanted ? `${matches.length} of ${rows.length} match` : `${rows.length} ${rows.length === 1 ? "image" : "images"}`;
    // On paper all matches are shown, and what is left out is said.
    const left = [
      wanted && `${matches.length} of these ${rows.length} images match “${filter.value.trim()}”`,
      visible().length < boxes.length && `${visible().length} of ${boxes.length} styles are shown`,
    ].filter(Boolean);
    find("#printed").hidden = !left.length;
    find("#printed").textContent = left.join("; ");
    for (const pager of document.querySelectorAll(".pager")) {
      pager.hidden = rows.length <= PAGE;
      pager.querySelector(".page").textContent = `page ${page + 1} of ${pages}`;
      pager.querySelector('[data-turn="-1"]').disabled = page === 0;
      pager.querySelector('[data-turn="1"]').disabled = page === pages - 1;
    }
    updateLightbox();
    remember();
  }

  const visible = () => boxes.flatMap((box, column) => (box.checked ? [column] : []));

  function updateLightbox() {
    lightbox.classList.toggle("laid-over", overlay.checked);
    if (!shown) {
      if (lightbox.open) lightbox.close();
      return;
    }
    const images = shown.row.querySelectorAll("img"), sketch = images[1 + shown.style];
    find("#shown-photo").src = images[0].src;
    find("#shown-photo").alt = images[0].alt;
    find("#shown-sketch").hidden = shown.style < 0;
    find("#shown-sketch").src = sketch.src;
    find("#shown-sketch").alt = sketch.alt;
    find("#shown-key").textContent = keyOf(shown.row);
    find("#shown-style").textContent = shown.style < 0 ? "" : sketch.closest("td").dataset.style;
    const columns = visible(), place = columns.indexOf(shown.style), number = matches.indexOf(shown.row);
    find("#shown-place").textContent =
      (place < 0 ? "" : `sketch ${place + 1} of ${columns.length}, `) +
      `image ${number + 1} of ${matches.length}`;
    find("#shown-caption").textContent = shown.row.querySelector(".caption")?.textContent ?? "";
    for (const button of lightbox.querySelectorAll("[data-step]")) {
      const [kind, by] = button.dataset.step.split(" ");
      button.disabled = kind === "style" ? columns.length < 2 : !matches[number + Number(by)];
    }
    if (!lightbox.open) {
      lightbox.showModal();
      lightbox.focus(); // not its first control: arrows and letters belong to the images
    }
  }

  // ---- the state in the address ---------------------------------------------------------------------------

  let pending = 0;

  function remember() {
    clearTimeout(pending);
    pending = setTimeout(() => { // browsers allow no more than a few changes of the address a second
      const state = new URLSearchParams();
      if (page) state.set("page", page + 1);
      if (filter.value) state.set("filter", filter.value);
      if (zoom.value !== "1") state.set("zoom", zoom.value);
      const off = boxes.flatMap((box, column) => (box.checked ? [] : [column]));
      if (off.length) state.set("off", off.join("."));
      if (shown) {
        state.set("image", keyOf(shown.row));
        state.set("style", shown.style);
      }
      if (overlay.checked) state.set("overlay", "1");
      history.replaceState(null, "", `#${state}`);
    }, 250);
  }

  function recall() {
    const state = new URLSearchParams(location.hash.slice(1));
    page = (parseInt(state.get("page"), 10) || 1) - 1;
    filter.value = state.get("filter") ?? "";
    zoom.value = state.get("zoom") ?? "1";
    const off = new Set((state.get("off") ?? "").split("."));
    boxes.forEach((box, column) => { box.checked = !off.has(String(column)); });
    overlay.checked = state.has("overlay");
    const row = rows.find((row) => keyOf(row) === state.get("image"));
    const style = parseInt(state.get("style"), 10);
    shown = row ? { row, style: style >= 0 && style < boxes.length ? style : visible()[0] ?? -1 } : null;
    update();
  }

  // ---- moving about ---------------------------------------------------------------------------------------

  // The table scrolls in its frame; on narrow screens the whole document does.
  const scroller = () => (getComputedStyle(grid).overflowY === "auto" ? grid : document.scrollingElement);

  // Turns the page only where there is nothing left to scroll.
  function scrollOrTurn(by) {
    const moving = scroller(), before = moving.scrollTop;
    moving.scrollBy(0, by * moving.clientHeight * 0.85);
    if (moving.scrollTop === before) turn(page + by);
  }

  function toTop() {
    if (scroller() === grid) grid.scrollTop = 0;
    else if (grid.getBoundingClientRect().top < 0) grid.scrollIntoView();
  }

  function turn(to) {
    const before = page;
    page = to;
    update(); // which keeps it within what there is
    if (page !== before) toTop();
  }

  function restart() {
    page = 0;
    update();
    toTop();
  }

  function step(kind, by) {
    if (kind === "image") {
      const row = matches[matches.indexOf(shown.row) + by];
      if (row) shown.row = row;
    } else {
      const columns = visible();
      const place = columns.indexOf(shown.style) + by;
      if (columns.length) shown.style = columns[(place + columns.length) % columns.length];
    }
    update();
  }

  // Back to the image that was looked at last, which need not be the one that was clicked.
  function leave() {
    const image = shown.row.querySelectorAll(".image")[1 + shown.style];
    shown = null;
    update();
    image.focus();
  }

  // From image to image in the table, as arrows do in a spreadsheet.
  function moveFocus(image, across, down) {
    const cells = (row) => [...row.querySelectorAll("td:not([hidden]) .image")];
    const row = image.closest("tr"), next = matches[matches.indexOf(row) + down];
    if (!next) return;
    const target = cells(next)[cells(row).indexOf(image) + across];
    if (!target) return;
    if (next.classList.contains("elsewhere")) turn(page + down);
    target.focus();
  }

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target === filter) return;
    const [across, down] = ARROWS[event.key] ?? [0, 0];
    const image = event.target.closest?.(".image");
    if (shown) {
      if (across) step("style", across);
      else if (down) step("image", down);
      else if (event.key === "o") overlay.click();
      else if (event.key === "Escape") leave();
      else return;
    } else if (event.target === zoom) return;
    else if (event.key === "/") filter.select();
    else if (event.key === "j") turn(page + 1);
    else if (event.key === "k") turn(page - 1);
    else if (event.key === "PageDown") scrollOrTurn(1);
    else if (event.key === "PageUp") scrollOrTurn(-1);
    else if (event.key === "Home") restart();
    else if (event.key === "End") turn(Infinity);
    else if (image && (across || down)) moveFocus(image, across, down);
    else if (down) scroller().scrollBy(0, down * 60);
    else return;
    event.preventDefault();
  });

  table.addEventListener("click", (event) => {
    const image = event.target.closest(".image");
    if (!image) return;
    const column = image.closest("td").cellIndex - 2;
    shown = { row: image.closest("tr"), style: column >= 0 ? column : visible()[0] ?? -1 };
    update();
  });
  lightbox.addEventListener("close", () => { if (shown) leave(); }); // a phone's way back, for one
  lightbox.addEventListener("click", (event) => {
    const button = event.target.closest("[data-step]");
    if (button) {
      const [kind, by] = button.dataset.step.split(" ");
      step(kind, Number(by));
    } else if (event.target.matches("#close, .pair")) leave();
  });
  for (const button of document.querySelectorAll("[data-turn]")) {
    button.addEventListener("click", () => turn(page + Number(button.dataset.turn)));
  }
  for (const [id, checked] of [["#all", true], ["#none", false]]) {
    find(id).addEventListener("click", () => {
      for (const box of boxes) box.checked = checked;
      update();
    });
  }
  filter.addEventListener("input", restart);
  for (const control of [zoom, overlay, ...boxes]) control.addEventListener("input", update);
  addEventListener("hashchange", recall);

  recall();
  document.documentElement.classList.add("ready");
})();

"use strict";
// The page to draw on. A drawing is one array of marks, each of them data; whatever is shown, saved or sent is drawn
// from it anew, so that no tool can lose what another has made.

const SIDE = 512; // of the sheet, in its own units
const PAUSE = 300; // ms after the last stroke, before an image is asked for
const KEY_STEP = 6; // units that an arrow key moves; with Shift four times as many
const KEPT_DRAWINGS = 6; // in the browser's storage, the newest

const $ = (id) => document.getElementById(id);

// Asking the server. Addresses are relative: they begin with the page's own token.

class ServerError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("The server does not answer: is `sketchforge app` still running?", 0);
  }
  if (response.ok) return response;
  let message = `the server answered ${response.status}`;
  try {
    message = (await response.json()).error;
  } catch {
    // no answer of ours
  }
  throw new ServerError(message, response.status);
}

const send = async (path, body, signal) => (await ask(path, { method: "POST", body, signal })).json();

function showError(error) {
  const isOver = error.name === "AbortError" || error.status === 409;
  if (isOver) return;
  $("error").textContent = error.message;
  $("error").hidden = false;
}

const hideError = () => { $("error").hidden = true; };

// What the page is about.

const page = { id: "", styles: [], chosen: [], mixed: [], model: "", busy: null, timer: 0 };
let marks = []; // {kind: "pen" | "eraser", width, points: [[x, y, pressure], …]}, {kind: "clear"}, {kind: "paper", png, …}
let undone = [];
let tool = "pen";

// Marks -> lines: a curve through the middles between points, in pieces of one width each.

const factor = (pressure) => 0.35 + 1.3 * pressure; // 1 for a mouse
const quantize = (width) => Math.max(0.5, Math.round(width * 2) / 2);
const middle = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];

function piecesOf(mark) {
  const { points, width } = mark;
  const wide = (point) => quantize(width * factor(point[2]));
  if (points.length === 1) return [{ width: wide(points[0]), begin: points[0], steps: [[points[0], points[0]]] }];
  const pieces = [];
  let begin = points[0];
  for (let i = 1; i < points.length; i++) {
    const end = i + 1 < points.length ? middle(points[i], points[i + 1]) : points[i];
    const last = pieces[pieces.length - 1];
    if (last && last.width === wide(points[i])) last.steps.push([points[i], end]);
    else pieces.push({ width: wide(points[i]), begin, steps: [[points[i], end]] });
    begin = end;
  }
  return pieces;
}

const pictures = new Map(); // png -> decoded image

async function decode(png) {
  if (pictures.has(png)) return;
  const image = new Image();
  image.src = png;
  await image.decode();
  pictures.set(png, image);
}

function drawPieces(context, mark, pieces) {
  context.strokeStyle = mark.kind === "pen" ? "#000" : "#fff";
  for (const { width, begin, steps } of pieces) {
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(begin[0], begin[1]);
    for (const [by, to] of steps) context.quadraticCurveTo(by[0], by[1], to[0], to[1]);
    context.stroke();
  }
}

// Where an opened drawing lies: as large as fits, in the middle.
function placeOf(mark) {
  const scale = SIDE / Math.max(mark.width, mark.height);
  const [width, height] = [mark.width * scale, mark.height * scale];
  return [(SIDE - width) / 2, (SIDE - height) / 2, width, height];
}

function drawMark(context, mark) {
  if (mark.kind === "clear") {
    context.fillStyle = "#fff";
    context.fillRect(0, 0, SIDE, SIDE);
  } else if (mark.kind === "paper") {
    if (!pictures.has(mark.png)) return;
    context.globalCompositeOperation = "multiply";
    context.drawImage(pictures.get(mark.png), ...placeOf(mark));
    context.globalCompositeOperation = "source-over";
  } else {
    drawPieces(context, mark, piecesOf(mark));
  }
}

function drawAll(canvas) {
  const context = canvas.getContext("2d");
  const scale = canvas.width / SIDE;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.lineCap = context.lineJoin = "round";
  drawMark(context, { kind: "clear" });
  for (const mark of marks) drawMark(context, mark);
  return context;
}

function isBlank() {
  const last = marks.findLastIndex((mark) => mark.kind === "clear");
  return !marks.slice(last + 1).some((mark) => mark.kind !== "eraser");
}

function toSvg() {
  const number = (value) => String(Math.round(value * 100) / 100);
  const at = (point) => `${number(point[0])},${number(point[1])}`;
  const lines = marks.slice(marks.findLastIndex((mark) => mark.kind === "clear") + 1).map((mark) => {
    if (mark.kind === "paper") {
      const [x, y, width, height] = placeOf(mark).map(number);
      return `<image x="${x}" y="${y}" width="${width}" height="${height}" style="mix-blend-mode:multiply" href="${mark.png}"/>`;
    }
    const paths = piecesOf(mark).map(({ width, begin, steps }) =>
      `<path stroke-width="${width}" d="M${at(begin)}${steps.map(([by, to]) => `Q${at(by)} ${at(to)}`).join("")}"/>`);
    return `<g stroke="${mark.kind === "pen" ? "#000" : "#fff"}">${paths.join("")}</g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${SIDE}" height="${SIDE}" viewBox="0 0 ${SIDE} ${SIDE}">\n`
    + `<rect width="${SIDE}" height="${SIDE}" fill="#fff"/>\n`
    + `<g fill="none" stroke-linecap="round" stroke-linejoin="round">\n${lines.join("\n")}\n</g>\n</svg>\n`;
}

function toPng(side = SIDE) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  drawAll(canvas);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

// The sheet.

const sheet = $("sheet");
let stroke = null; // the mark that is being drawn
let cursor = null; // of the keyboard

function fitSheet() {
  const side = Math.round(sheet.clientWidth * (window.devicePixelRatio || 1));
  if (side && sheet.width !== side) sheet.width = sheet.height = side;
  redraw();
}

function redraw() {
  const context = drawAll(sheet);
  if (stroke) drawMark(context, stroke);
  if (cursor) {
    const scale = SIDE / sheet.clientWidth;
    context.strokeStyle = stroke ? "#c00" : "#06c";
    context.lineWidth = 2 * scale;
    context.beginPath();
    context.arc(cursor[0], cursor[1], 8 * scale, 0, 7);
    context.stroke();
  }
}

function pointOf(event) {
  const box = sheet.getBoundingClientRect();
  const scale = SIDE / (box.width - 2);
  const round = (value) => Math.round(value * 10) / 10;
  const pressure = event.pointerType === "pen" && event.pressure ? event.pressure : 0.5;
  return [round((event.clientX - box.left - 1) * scale), round((event.clientY - box.top - 1) * scale),
    Math.round(pressure * 100) / 100];
}

const beginStroke = (point) => ({ kind: tool, width: Number($("width").value), points: [point] });

function extend(point) {
  const last = stroke.points[stroke.points.length - 1];
  if (Math.hypot(point[0] - last[0], point[1] - last[1]) < 0.7) return;
  stroke.points.push(point);
}

let pointer = null; // the finger, pen or mouse that draws; others are left alone

sheet.addEventListener("pointerdown", (event) => {
  if (pointer !== null || event.button !== 0) return;
  endStroke(); // one of the keyboard
  cursor = null;
  pointer = event.pointerId;
  sheet.setPointerCapture(pointer);
  // A pen held the wrong way round is an eraser.
  stroke = beginStroke(pointOf(event));
  if (event.pointerType === "pen" && event.buttons & 32) stroke.kind = "eraser";
  clearTimeout(page.timer);
  redraw();
});

sheet.addEventListener("pointermove", (event) => {
  if (event.pointerId !== pointer || !stroke) return;
  const events = event.getCoalescedEvents?.() ?? [];
  const before = stroke.points.length;
  for (const each of events.length ? events : [event]) extend(pointOf(each));
  if (stroke.points.length === before) return;
  // Only what is new; all of it is drawn again at the end.
  const context = sheet.getContext("2d");
  drawPieces(context, stroke, piecesOf({ ...stroke, points: stroke.points.slice(Math.max(0, before - 2)) }));
});

for (const name of ["pointerup", "pointercancel"]) {
  sheet.addEventListener(name, (event) => {
    if (event.pointerId !== pointer) return;
    pointer = null;
    endStroke();
  });
}

function endStroke() {
  if (!stroke) return;
  const mark = stroke;
  stroke = null;
  add(mark);
}

function add(mark) {
  marks.push(mark);
  undone = [];
  changed();
}

function undo() {
  endStroke();
  if (!marks.length) return;
  undone.push(marks.pop());
  changed();
}

function redo() {
  if (!undone.length || stroke) return;
  marks.push(undone.pop());
  changed();
}

function changed() {
  redraw();
  keep();
  showTools();
  askSoon();
}

function showTools() {
  $("undo").disabled = !marks.length;
  $("redo").disabled = !undone.length;
  const blank = isBlank();
  for (const id of ["clear", "save-svg", "save-png"]) $(id).disabled = blank;
  $("save-zip").disabled = blank || !page.chosen.length;
  for (const name of ["pen", "eraser"]) $(name).setAttribute("aria-pressed", String(tool === name));
  $("width-shown").value = $("width").value;
}

function pick(name) {
  endStroke();
  tool = name;
  showTools();
  keep();
}

function changeWidth(by) {
  $("width").value = Number($("width").value) + by;
  showTools();
  keep();
}

sheet.addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (event.ctrlKey || event.metaKey || event.altKey || pointer !== null) return;
  if (event.key in moves) {
    const step = KEY_STEP * (event.shiftKey ? 4 : 1);
    const inside = (value) => Math.min(SIDE, Math.max(0, value));
    cursor = cursor ?? [SIDE / 2, SIDE / 2];
    cursor = [inside(cursor[0] + moves[event.key][0] * step), inside(cursor[1] + moves[event.key][1] * step)];
    if (stroke) extend([...cursor, 0.5]);
    redraw();
  } else if (event.key === " ") {
    cursor = cursor ?? [SIDE / 2, SIDE / 2];
    if (stroke) {
      endStroke();
    } else {
      stroke = beginStroke([...cursor, 0.5]);
      clearTimeout(page.timer);
      redraw();
    }
  } else {
    return;
  }
  event.preventDefault();
});

sheet.addEventListener("blur", () => {
  endStroke();
  cursor = null;
  redraw();
});

document.addEventListener("keydown", (event) => {
  if ($("panel-draw").hidden || event.target.matches("select, input:not([type=range]):not([type=file])")) return;
  const key = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) {
    if (key === "z") event.shiftKey ? redo() : undo();
    else if (key === "y") redo();
    else return;
  } else if (event.altKey) {
    return;
  } else if (key === "b") pick("pen");
  else if (key === "e") pick("eraser");
  else if (key === "[") changeWidth(-1);
  else if (key === "]") changeWidth(1);
  else return;
  event.preventDefault();
});

$("pen").addEventListener("click", () => pick("pen"));
$("eraser").addEventListener("click", () => pick("eraser"));
$("width").addEventListener("input", () => changeWidth(0));
$("undo").addEventListener("click", undo);
$("redo").addEventListener("click", redo);
$("clear").addEventListener("click", () => add({ kind: "clear" }));

// What a reload keeps: the window's own drawing.

const NAME = "sketchforge drawing ";

function keep() {
  const value = JSON.stringify({
    time: Date.now(), marks, tool, width: $("width").value, model: page.model, chosen: page.chosen, mixed: page.mixed,
  });
  try {
    localStorage.setItem(NAME + page.id, value);
  } catch {
    showError(new Error("The drawing is too large for the browser to keep over a reload: save it."));
  }
}

// Two windows have a drawing each, also where the browser has copied one window's memory into the other.
async function claim(id) {
  if (!navigator.locks) return true; // on plain HTTP from another machine
  return new Promise((resolve) => {
    const wait = AbortSignal.timeout(500); // a window that is being reloaded lets go a moment later
    navigator.locks.request(NAME + id, { signal: wait }, () => {
      resolve(true);
      return new Promise(() => {}); // held as long as the window is there
    }).catch(() => resolve(false));
  });
}

async function restore() {
  const old = sessionStorage.getItem(NAME);
  const isOurs = old !== null && await claim(old);
  page.id = isOurs ? old : `${Date.now()}-${Math.floor(Math.random() * 1e9)}`;
  if (!isOurs) await claim(page.id);
  sessionStorage.setItem(NAME, page.id);
  const kept = Object.keys(localStorage).filter((name) => name.startsWith(NAME)).map((name) => {
    try {
      return [name, JSON.parse(localStorage.getItem(name))];
    } catch {
      return [name, { time: 0 }];
    }
  }).sort((a, b) => b[1].time - a[1].time);
  for (const [name] of kept.slice(KEPT_DRAWINGS)) localStorage.removeItem(name);
  // A new window begins with what it was copied from, or, where no other is open, with the newest drawing.
  const locks = navigator.locks ? (await navigator.locks.query()).held.map((lock) => lock.name) : [];
  const source = kept.find(([name]) => name === NAME + old)
    ?? kept.find(([name]) => !locks.some((lock) => lock.startsWith(NAME) && lock !== NAME + page.id) && name);
  const value = source?.[1];
  if (!value || !Array.isArray(value.marks)) return;
  marks = value.marks;
  tool = value.tool === "eraser" ? "eraser" : "pen";
  $("width").value = value.width ?? 5;
  for (const name of ["model", "chosen", "mixed"]) page[name] = value[name] ?? page[name];
  await Promise.all(marks.filter((mark) => mark.kind === "paper").map((mark) => decode(mark.png)));
}

// Styles and models.

function showStyles(id, chosen, toggle, isOrdered) {
  const buttons = page.styles.map((style) => {
    const button = document.createElement("button");
    const image = document.createElement("img");
    image.src = `styles/${style.id}`;
    image.alt = "";
    const name = document.createElement("span");
    name.textContent = style.name;
    const place = chosen.indexOf(style.id);
    button.append(image, name);
    if (isOrdered) {
      const badge = document.createElement("b");
      badge.textContent = place < 0 ? "" : place + 1;
      button.append(badge);
    }
    button.title = `${style.name}, ${style.origin}`;
    button.dataset.style = style.id;
    button.setAttribute("aria-pressed", String(place >= 0));
    button.addEventListener("click", () => {
      toggle(style.id);
      $(id).querySelector(`[data-style="${style.id}"]`).focus();
    });
    return button;
  });
  $(id).replaceChildren(...buttons);
}

function toggled(list, id) {
  return list.includes(id) ? list.filter((other) => other !== id) : [...list, id];
}

function toggleStyle(id) {
  page.chosen = toggled(page.chosen, id);
  refresh();
}

function toggleMixed(id) {
  page.mixed = toggled(page.mixed, id).slice(-4);
  refresh();
}

function refresh() {
  showStyles("styles", page.chosen, toggleStyle, false);
  showStyles("mix-styles", page.mixed, toggleMixed, true);
  keep();
  showTools();
  askSoon(0);
}

async function addStyles(files) {
  hideError();
  for (const file of files) {
    try {
      const style = await send(`styles?name=${encodeURIComponent(file.name.replace(/\.[^.]*$/, ""))}`, file);
      if (!page.styles.some((other) => other.id === style.id)) page.styles.push(style);
      if (!page.chosen.includes(style.id)) page.chosen.push(style.id);
    } catch (error) {
      showError(new Error(`${file.name}: ${error.message}`));
    }
  }
  refresh();
}

$("add-style").addEventListener("change", async (event) => {
  await addStyles([...event.target.files]);
  event.target.value = "";
});

$("model").addEventListener("change", () => {
  page.model = $("model").value;
  showModel();
  keep();
  askSoon(0);
});

function showModel(made) {
  const model = page.models.find((each) => each.name === page.model);
  if (made) model.size = made.size;
  $("model-says").textContent = `${model.size ? `${model.size} pixels; ` : ""}${model.about}`;
}

// Images of the drawing.

const nameOf = (id) => page.styles.find((style) => style.id === id)?.name ?? "style";

function askSoon(pause = PAUSE) {
  clearTimeout(page.timer);
  page.busy?.abort();
  page.busy = null;
  if (!stroke) page.timer = setTimeout(() => ($("panel-mix").hidden ? showImages() : showMix()), pause);
}

async function paint(png, styles, signal) {
  const query = new URLSearchParams({ model: page.model, page: page.id });
  for (const style of styles) query.append("style", style);
  const made = await send(`paint?${query}`, png, signal);
  showModel(made.model);
  return made;
}

function figureOf(id) {
  const figure = document.createElement("figure");
  const wait = document.createElement("div");
  const caption = document.createElement("figcaption");
  wait.className = "wait";
  caption.textContent = nameOf(id);
  figure.append(wait, caption);
  figure.dataset.style = id;
  return figure;
}

async function showImages() {
  hideError();
  const shown = new Map([...$("results").children].map((figure) => [figure.dataset.style, figure]));
  const figures = page.chosen.map((id) => shown.get(id) ?? figureOf(id));
  $("results").replaceChildren(...figures);
  if (isBlank() || !figures.length) {
    if (isBlank()) $("results").replaceChildren();
    $("status").textContent = isBlank() ? "Draw something on the sheet." : "Choose a style.";
    return;
  }
  const { signal } = page.busy = new AbortController();
  figures.forEach((figure) => figure.classList.add("stale"));
  try {
    const png = await toPng();
    let made;
    for (const figure of figures) {
      made = await paint(png, [figure.dataset.style], signal);
      const image = figure.querySelector("img") ?? document.createElement("img");
      image.src = made.png;
      image.alt = `Your drawing in the style of ${nameOf(figure.dataset.style)}`;
      figure.querySelector(".wait")?.replaceWith(image);
      figure.classList.remove("stale");
    }
    $("status").textContent = `${count(figures.length, "image")} of ${made.width} × ${made.height} pixels by ${page.model}.${noteOf(made)}`;
  } catch (error) {
    if (error.name !== "AbortError") $("status").textContent = "";
    showError(error);
  }
}

const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
const noteOf = (made) => made.notes.map((note) => ` Note: ${note}.`).join("");

async function showMix() {
  hideError();
  drawAll($("mix-drawing"));
  const fits = [2, 4].includes(page.mixed.length);
  $("mix-zip").disabled = !fits || isBlank();
  $("mix-image").hidden = true;
  $("mix-name").textContent = "";
  $("mix-status").textContent = isBlank() ? "Draw something first, in the tab Draw."
    : fits ? "" : `${count(page.mixed.length, "style")} chosen: choose two or four.`;
  if (isBlank() || !fits) return;
  const { signal } = page.busy = new AbortController();
  try {
    const made = await paint(await toPng(), page.mixed, signal);
    $("mix-image").src = made.png;
    $("mix-image").hidden = false;
    $("mix-name").textContent = page.mixed.map(nameOf).join(" + ");
    $("mix-image").alt = `Your drawing in the styles of ${page.mixed.map(nameOf).join(", ")}`;
    $("mix-status").textContent = `${made.width} × ${made.height} pixels by ${page.model}.${noteOf(made)}`;
  } catch (error) {
    showError(error);
  }
}

// Files in.

async function openDrawing(file) {
  hideError();
  $("status").textContent = "Reading …";
  try {
    const { png, width, height, notes } = await send("drawing", file);
    await putOnSheet({ kind: "paper", png, width, height });
    $("status").textContent = notes.length ? noteOf({ notes }) : "Opened.";
  } catch (error) {
    $("status").textContent = "";
    showError(error.status ? new Error(`${file.name}: ${error.message}`) : error);
  }
}

async function putOnSheet(mark) {
  await decode(mark.png);
  add(mark);
}

$("open").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  if (file) await openDrawing(file);
  event.target.value = "";
});

function takeDrops(element, take) {
  for (const name of ["dragenter", "dragover"]) {
    element.addEventListener(name, (event) => {
      event.preventDefault();
      element.classList.add("over");
    });
  }
  element.addEventListener("dragleave", () => element.classList.remove("over"));
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    element.classList.remove("over");
    const files = [...event.dataTransfer.files];
    if (files.length) take(files);
  });
}

takeDrops(sheet, (files) => openDrawing(files[0]));
takeDrops($("styles"), addStyles);
takeDrops($("photo-drop"), (files) => sketchPhoto(files[0]));
// Elsewhere a dropped file would replace the page.
for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault());

// Files out.

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

async function saveZip(list, status) {
  hideError();
  status.textContent = "Saving …";
  try {
    const png = await new Promise(async (resolve) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result.split(",")[1]);
      reader.readAsDataURL(await toPng());
    });
    const query = new URLSearchParams({ model: page.model, page: page.id });
    const body = JSON.stringify({ png, svg: toSvg(), pictures: list });
    download(await (await ask(`save?${query}`, { method: "POST", body })).blob(), "drawing.zip");
    status.textContent = "Saved: drawing.zip holds the images, the drawing as PNG and SVG, the styles, and what made them.";
  } catch (error) {
    status.textContent = "";
    showError(error);
  }
}

$("save-svg").addEventListener("click", () => download(new Blob([toSvg()], { type: "image/svg+xml" }), "drawing.svg"));
$("save-png").addEventListener("click", async () => download(await toPng(2 * SIDE), "drawing.png"));
$("save-zip").addEventListener("click", () => saveZip(page.chosen.map((id) => [id]), $("status")));
$("mix-zip").addEventListener("click", () =>
  saveZip([page.mixed, ...page.mixed.map((id) => [id])], $("mix-status")));

// Photos.

let photo = null; // the file
let sketched = null; // what the hands made of it
let hand = "";
let sketching = null;

async function sketchPhoto(file) {
  hideError();
  photo = file;
  sketching?.abort();
  const { signal } = sketching = new AbortController();
  $("photo-status").textContent = "Ten hands are drawing …";
  try {
    const query = new URLSearchParams({ size: $("photo-size").value, page: page.id });
    sketched = await send(`photo?${query}`, file, signal);
    $("photo-status").textContent = `${file.name}: ${sketched.sketches.length} sketches of ${sketched.width} × ${sketched.height} pixels.`;
    showHands();
  } catch (error) {
    if (error.name === "AbortError") return;
    $("photo-status").textContent = "";
    showError(error.status ? new Error(`${file.name}: ${error.message}`) : error);
  }
}

function showHands() {
  $("photo-result").hidden = false;
  $("photo-shown").src = sketched.photo;
  $("hands-zip").href = `photo/${sketched.id}`;
  const buttons = sketched.sketches.map((sketch) => {
    const button = document.createElement("button");
    const image = document.createElement("img");
    const name = document.createElement("span");
    image.src = sketch.png;
    image.alt = "";
    name.textContent = sketch.name;
    button.append(image, name);
    button.addEventListener("click", () => showHand(sketch.name));
    return button;
  });
  $("hands").replaceChildren(...buttons);
  showHand(sketched.sketches.some((sketch) => sketch.name === hand) ? hand : sketched.sketches[0].name);
}

function showHand(name) {
  hand = name;
  const sketch = sketched.sketches.find((each) => each.name === name);
  $("hand-shown").src = sketch.png;
  $("hand-shown").alt = `The photo, drawn by the hand ${name}`;
  $("hand-name").textContent = name;
  for (const kind of ["png", "svg"]) {
    $(`hand-${kind}`).href = sketch[kind];
    $(`hand-${kind}`).download = `${name}.${kind}`;
  }
  for (const button of $("hands").children) {
    button.setAttribute("aria-pressed", String(button.textContent === name));
  }
}

$("photo-file").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  if (file) await sketchPhoto(file);
  event.target.value = "";
});
$("photo-size").addEventListener("change", () => photo && sketchPhoto(photo));
$("hand-draw").addEventListener("click", async () => {
  const image = $("hand-shown");
  add({ kind: "clear" });
  openTab("draw");
  await putOnSheet({ kind: "paper", png: image.src, width: image.naturalWidth, height: image.naturalHeight });
  sheet.focus();
});

// Tabs and colours.

const TABS = ["draw", "photo", "mix"];

function openTab(name) {
  endStroke();
  hideError();
  for (const each of TABS) {
    const tab = $(`tab-${each}`);
    tab.setAttribute("aria-selected", String(each === name));
    tab.tabIndex = each === name ? 0 : -1;
    $(`panel-${each}`).hidden = each !== name;
  }
  if (name === "draw") fitSheet();
  if (name !== "photo") askSoon(0);
}

for (const name of TABS) {
  $(`tab-${name}`).addEventListener("click", () => openTab(name));
  $(`tab-${name}`).addEventListener("keydown", (event) => {
    const number = TABS.indexOf(name);
    const next = { ArrowRight: number + 1, ArrowLeft: number + TABS.length - 1, Home: 0, End: TABS.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    openTab(TABS[next % TABS.length]);
    $(`tab-${TABS[next % TABS.length]}`).focus();
  });
}

const THEME = "sketchforge theme";
const isDark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

function showTheme() {
  $("theme").textContent = isDark() ? "Light" : "Dark";
}

$("theme").addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  localStorage.setItem(THEME, document.documentElement.dataset.theme);
  showTheme();
});

async function start() {
  const theme = localStorage.getItem(THEME);
  if (theme) document.documentElement.dataset.theme = theme;
  showTheme();
  try {
    const state = await (await ask("state")).json();
    Object.assign(page, { styles: state.styles, models: state.models });
    await restore();
    const ids = new Set(page.styles.map((style) => style.id));
    page.chosen = page.chosen.filter((id) => ids.has(id));
    page.mixed = page.mixed.filter((id) => ids.has(id));
    if (!page.chosen.length) page.chosen = page.styles.slice(0, 4).map((style) => style.id);
    if (!page.mixed.length) page.mixed = page.styles.slice(0, 2).map((style) => style.id);
    if (!page.models.some((model) => model.name === page.model)) page.model = page.models[0].name;
    $("model").replaceChildren(...page.models.map((model) => new Option(model.name, model.name)));
    $("model").value = page.model;
    showModel();
    new ResizeObserver(fitSheet).observe(sheet);
    fitSheet();
    refresh();
    document.documentElement.dataset.ready = "yes";
  } catch (error) {
    showError(error);
  }
}

start();

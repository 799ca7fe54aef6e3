"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const changes = data.kind === "changes";
  const FULL = 65534, NONE = 65535;
  const find = id => document.getElementById(id);
  const make = (name, properties, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };

  // ------------------------------------------------------------ data
  const rows = data.rows.length - 1, columns = data.columns.length - 1, cells = rows * columns;
  const bytesOf = text => {
    const binary = atob(text), bytes = new Uint8Array(binary.length);
    for (let at = 0; at < bytes.length; at++) bytes[at] = binary.charCodeAt(at);
    return bytes;
  };
  const numbersOf = text => {
    const view = new DataView(bytesOf(text).buffer), numbers = new Uint16Array(view.byteLength / 2);
    for (let at = 0; at < numbers.length; at++) numbers[at] = view.getUint16(2 * at, true);
    return numbers;
  };
  const values = {};
  for (const name of changes ? ["appeared", "went", "before", "after"] : ["p"]) values[name] = numbersOf(data[name]);
  const predicted = changes ? null : bytesOf(data.predicted);
  const main = values[changes ? "appeared" : "p"];
  const known = cell => main[cell] !== NONE;
  const isPredicted = (tag, cell) => {
    const at = tag * cells + cell;
    return (predicted[at >> 3] >> (at & 7)) & 1;
  };
  let total = 0;
  for (let cell = 0; cell < cells; cell++) total += known(cell);

  // ------------------------------------------------------------ the map: units are metres, or pixels without a CRS
  const [left, top, dx, dy] = data.ground, unitX = dx * (data.metres || 1), unitY = dy * (data.metres || 1);
  const place = (column, row) => [-row * unitY, column * unitX];
  const area = (column, row, width, height) => [place(column, row), place(column + width, row + height)];
  const width = data.columns[columns], height = data.rows[rows];
  const extent = L.latLngBounds(area(0, 0, width, height));
  const map = L.map("map", {
    crs: L.CRS.Simple, attributionControl: false, zoomAnimation: false, zoomSnap: 0.25, zoomDelta: 0.5,
    minZoom: -30, maxZoom: 30, maxBoundsViscosity: 0.6,
  });
  map.setMaxBounds(extent.pad(2));  // so far that the details need not hide a cell
  if (data.metres) L.control.scale({imperial: false}).addTo(map);
  const pictures = data.pictures.map((uri, at) => {
    map.createPane(`picture${at}`).style.zIndex = 300 + at;
    return L.imageOverlay(uri, area(0, 0, data.pictureWidth, data.pictureHeight), {
      pane: `picture${at}`, alt: changes ? ["The scene before", "The scene after"][at] : "The scene",
    }).addTo(map);
  });
  const fit = () => {
    map.invalidateSize();
    const zoom = map.getBoundsZoom(extent);
    map.setMinZoom(zoom - 1).setMaxZoom(Math.max(zoom, Math.log2(16 / unitX)));
    map.fitBounds(extent, {animate: false});
  };

  // ------------------------------------------------------------ colours
  const LIMITS = [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1];
  const RAMP = ["#ffffd9", "#c7e9b4", "#7fcdbb", "#41b6c4", "#225ea8", "#081d58"];
  const PALETTE = ["#4477aa", "#ee7733", "#ccbb44", "#aa3377", "#66ccee", "#ee6677", "#228833", "#bbbbbb", "#882255",
    "#009988", "#999933", "#332288"];
  const APPEARED = "#00d5e8", WENT = "#ff8c1a";
  const classes = new Uint8Array(FULL + 1);
  for (let at = 0; at <= FULL; at++) classes[at] = Math.max(0, LIMITS.findLastIndex(low => at / FULL >= low && low < 1));
  const shown = new Map();  // tags that are drawn, and their numbers in the palette
  const show = (tag, on) => {
    if (!on) return shown.delete(tag);
    const taken = new Set(shown.values());
    let free = 0;
    while (taken.has(free)) free++;
    if (!shown.has(tag)) shown.set(tag, free);
  };
  // As a number of the pixels of a canvas: blue, green, red.
  const numberOf = text => parseInt(text.slice(5, 7) + text.slice(3, 5) + text.slice(1, 3), 16);
  const rampNumbers = RAMP.map(numberOf);
  const colourOf = tag => PALETTE[shown.get(tag) % PALETTE.length];
  for (const tag of data.shown) show(tag, true);

  // ------------------------------------------------------------ cells
  const controls = {threshold: find("threshold"), opacity: find("opacity")};
  controls.threshold.value = data.threshold;
  const least = () => Math.round(Number(controls.threshold.value) * FULL);
  let selected = -1;
  // What is drawn: a value for each cell, and its colour. The parts of a cell stand side by side.
  const planeOf = (name, tag) => values[name].subarray(tag * cells, (tag + 1) * cells);
  const strongest = (name, colour) => {
    const most = new Uint16Array(cells);
    for (const tag of shown.keys()) {
      const plane = planeOf(name, tag);
      for (let cell = 0; cell < cells; cell++) if (plane[cell] > most[cell]) most[cell] = plane[cell];
    }
    return {plane: most, colour: numberOf(colour)};
  };
  let layers = [], parts = new Uint8Array(cells);  // and how many of them reach the threshold in each cell
  const choose = () => {
    if (!shown.size) layers = [];
    else if (changes) layers = [strongest("appeared", APPEARED), strongest("went", WENT)];
    else layers = [...shown.keys()].map(tag => ({plane: planeOf("p", tag), colour: numberOf(colourOf(tag))}));
  };
  const count = () => {
    const limit = least();
    parts = new Uint8Array(cells);
    for (const {plane} of layers) {
      for (let cell = 0; cell < cells; cell++) if (plane[cell] >= limit && plane[cell] !== NONE) parts[cell]++;
    }
    let found = 0;
    for (let cell = 0; cell < cells; cell++) found += parts[cell] > 0;
    find("threshold-value").value = Number(controls.threshold.value).toFixed(2);
    find("count").value = `${found.toLocaleString("en")} of ${total.toLocaleString("en")} cells are drawn`;
  };
  const Cells = L.Layer.extend({
    onAdd() {
      this.canvas = make("canvas", {className: "leaflet-zoom-hide"});
      map.getPane("overlayPane").append(this.canvas);
      map.on("move zoom viewreset resize moveend", this.later, this);
      this.later();
    },
    later() {
      this.waiting ??= requestAnimationFrame(() => { this.waiting = null; this.draw(); });
    },
    draw() {
      const size = map.getSize(), sharp = window.devicePixelRatio || 1, canvas = this.canvas;
      L.DomUtil.setPosition(canvas, map.containerPointToLayerPoint([0, 0]));
      canvas.width = Math.round(size.x * sharp);
      canvas.height = Math.round(size.y * sharp);
      Object.assign(canvas.style, {width: `${size.x}px`, height: `${size.y}px`});
      const context = canvas.getContext("2d"), limit = least(), opacity = Number(controls.opacity.value);
      const corner = map.latLngToContainerPoint([0, 0]), one = map.latLngToContainerPoint(place(width, height));
      const at = (edge, from, to, length) => Math.round((from + (to - from) * edge / length) * sharp);
      const x = data.columns.map(edge => at(edge, corner.x, one.x, width));
      const y = data.rows.map(edge => at(edge, corner.y, one.y, height));
      const visible = (edges, most) => {
        const first = edges.findIndex((_, n) => edges[n + 1] > 0), after = edges.findIndex(edge => edge >= most);
        return [Math.max(0, first), Math.min(edges.length - 1, after < 0 ? edges.length : after)];
      };
      const [firstRow, endRow] = visible(y, canvas.height), [firstColumn, endColumn] = visible(x, canvas.width);
      // Written pixel by pixel: browsers take much longer to draw a hundred thousand rectangles.
      const image = context.createImageData(canvas.width, canvas.height);
      const pixels = new Uint32Array(image.data.buffer);
      const fill = (fromX, fromY, toX, toY, colour, strength) => {
        const [startX, endX] = [Math.max(0, fromX), Math.min(canvas.width, toX)];
        const value = (colour | Math.round(255 * strength) << 24) >>> 0, end = Math.min(canvas.height, toY);
        for (let y = Math.max(0, fromY); y < end && startX < endX; y++) {
          pixels.fill(value, y * canvas.width + startX, y * canvas.width + endX);
        }
      };
      const drawn = new Uint8Array(cells), single = !changes && layers.length === 1;
      for (const {plane, colour} of layers) {
        for (let row = firstRow; row < endRow; row++) {
          for (let column = firstColumn; column < endColumn; column++) {
            const cell = row * columns + column, p = plane[cell];
            if (p < limit || p === NONE) continue;
            const number = drawn[cell]++, wide = x[column + 1] - x[column];
            const from = x[column] + Math.round(wide * number / parts[cell]);
            const to = x[column] + Math.round(wide * (number + 1) / parts[cell]);
            const strength = opacity * (single ? 1 : 0.3 + 0.7 * p / FULL);
            fill(from, y[row], to, y[row + 1], single ? rampNumbers[classes[p]] : colour, strength);
            if (!changes) continue;
            // A frame with a light filling, so that the ground of both dates can be seen below.
            const line = Math.max(1, Math.round(Math.min(3 * sharp, wide / 6)));
            fill(from + line, y[row] + line, to - line, y[row + 1] - line, colour, strength * 0.3);
          }
        }
      }
      context.putImageData(image, 0, 0);
      if (selected >= 0) {
        const row = Math.floor(selected / columns), column = selected % columns;
        for (const [colour, line] of [["#000", 5], ["#fff", 2.5]]) {
          context.strokeStyle = colour;
          context.lineWidth = line * sharp;
          context.strokeRect(x[column], y[row], x[column + 1] - x[column], y[row + 1] - y[row]);
        }
      }
    },
  });
  const layer = new Cells();

  // ------------------------------------------------------------ legend and controls
  const legend = () => {
    const entry = (colour, text) => {
      const swatch = make("span", {className: "swatch"});
      swatch.style.background = colour;
      return make("li", {}, swatch, text);
    };
    let entries = [...shown.keys()].map(tag => entry(colourOf(tag), data.tags[tag]));
    if (changes) entries = [entry(APPEARED, "a tag appeared"), entry(WENT, "a tag went")];
    else if (shown.size === 1) {
      entries = RAMP.map((colour, at) => entry(colour, `${LIMITS[at]} to ${LIMITS[at + 1]}`));
      entries.unshift(make("li", {textContent: `Probability of ${data.tags[shown.keys().next().value]}:`}));
    }
    if (!shown.size) entries = [make("li", {textContent: "No tag is chosen."})];
    find("legend").replaceChildren(...entries);
  };
  const recount = () => { count(); layer.later(); };
  const refresh = () => { choose(); legend(); recount(); };
  const boxes = data.tags.map((tag, at) => {
    const box = make("input", {type: "checkbox", checked: shown.has(at)});
    box.addEventListener("change", () => { show(at, box.checked); refresh(); });
    const label = make("label", {}, box, make("span", {className: "name", textContent: tag}),
      make("span", {className: "amount", textContent: data.amounts[at]}));
    find("tags").append(make("li", {}, label));
    return box;
  });
  for (const [id, on] of [["all", true], ["none", false]]) {
    find(id).addEventListener("click", () => {
      boxes.forEach((box, at) => { box.checked = on; show(at, on); });
      refresh();
    });
  }
  controls.threshold.addEventListener("input", recount);
  controls.opacity.addEventListener("input", () => layer.later());
  find("ground")?.addEventListener("input", event => pictures[0].setOpacity(Number(event.target.value)));

  // ------------------------------------------------------------ the details of a cell
  const percent = value => {
    const p = value / FULL;
    return value === NONE ? "" : p > 0 && p < 0.01 ? "<1 %" : p < 1 && p > 0.99 ? ">99 %" : `${Math.round(100 * p)} %`;
  };
  const windowPictures = (row, column) => pictures.map((picture, at) => {
    const span = (starts, n, length) => {
      const last = starts[n] + (data.merged > 1 ? 0 : data.size);
      return [starts[n], Math.min(length, Math.max(last, data.merged > 1 ? starts[n + 1] ?? length : 0))];
    };
    const [fromX, toX] = span(data.lefts, column, width), [fromY, toY] = span(data.tops, row, height);
    const canvas = make("canvas", {width: 256, height: Math.max(1, Math.round(256 * (toY - fromY) / (toX - fromX)))});
    const text = changes ? ["Before", "After"][at] : "The window of this cell";
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", text);
    const from = [fromX, fromY, toX - fromX, toY - fromY].map(pixels => pixels / data.factor);
    const image = picture.getElement(), context = canvas.getContext("2d");
    context.imageSmoothingEnabled = from[2] > 128;
    image.decode().then(() => context.drawImage(image, ...from, 0, 0, canvas.width, canvas.height), () => {});
    return make("figure", {}, canvas, make("figcaption", {textContent: text}));
  });
  const tableOf = cell => {
    const names = changes ? ["appeared", "went", "before", "after"] : ["p"];
    const order = data.tags.map((tag, at) => ({tag, at, p: names.map(name => values[name][at * cells + cell])}));
    order.sort((a, b) => changes ? Math.max(b.p[0], b.p[1]) - Math.max(a.p[0], a.p[1]) : b.p[0] - a.p[0]);
    const heading = text => make("th", {scope: "col", textContent: text});
    const head = make("tr", {}, ...["tag", ...(changes ? names : ["probability"])].map(heading));
    return [head, ...order.map(({tag, at, p}) => {
      const on = changes ? Math.max(p[0], p[1]) >= least() : isPredicted(at, cell);
      const named = make("th", {scope: "row", textContent: on && !changes ? `${tag} ✓` : tag});
      const line = make("tr", {className: on ? "on" : ""}, named);
      p.forEach(value => {
        const filled = make("i");
        filled.style.width = `${100 * value / FULL}%`;
        const shape = changes ? [] : [make("span", {className: "bar"}, filled)];
        line.append(make("td", {}, percent(value), ...shape));
      });
      return line;
    })];
  };
  const details = find("details");
  const select = cell => {
    selected = cell;
    details.hidden = cell < 0;
    if (cell < 0) return layer.later();
    const row = Math.floor(cell / columns), column = cell % columns;
    const middle = [(data.columns[column] + data.columns[column + 1]) / 2, (data.rows[row] + data.rows[row + 1]) / 2];
    const format = new Intl.NumberFormat("en", {maximumFractionDigits: 1});
    const [x, y] = [left + middle[0] * dx, top - middle[1] * dy].map(value => format.format(value));
    details.querySelector("h2").textContent = `Row ${row * data.merged + 1}, column ${column * data.merged + 1}`;
    const rule = changes || !known(cell) ? "" : " ✓ marks the tags by the decision rule of the run.";
    const none = known(cell) ? "" : " No probabilities: too few pixels have data, or it lies outside the area.";
    details.querySelector(".note").textContent = `Middle: ${x}, ${y} (${data.crs}).${none}${rule}`;
    find("windows").replaceChildren(...windowPictures(row, column));
    const [head, ...body] = known(cell) ? tableOf(cell) : [""];
    details.querySelector("thead").replaceChildren(head);
    details.querySelector("tbody").replaceChildren(...body);
    details.scrollTop = 0;
    find("said").textContent = [`Row ${row + 1}, column ${column + 1}.${none}`,
      ...body.slice(0, 3).map(line => [...line.cells].map(each => each.textContent).join(" "))].join(" ");
    // Beside the details, or above them on a phone, so that they do not hide the cell.
    const box = details.getBoundingClientRect(), size = map.getSize(), beside = box.width < size.x / 2;
    const free = [beside ? 0 : Math.min(box.height, size.y - 120), beside ? box.width + 12 : 0];
    map.panInside(place(...middle), {paddingTopLeft: [free[1] + 40, 40], paddingBottomRight: [40, free[0] + 40], animate: false});
    layer.later();
  };
  const close = () => { if (!details.hidden) { select(-1); find("map").focus({preventScroll: true}); } };
  const index = (edges, value) => edges.findIndex((edge, at) => edge <= value && value < edges[at + 1]);
  const cellAt = point => {
    const column = index(data.columns, point.lng / unitX), row = index(data.rows, -point.lat / unitY);
    return column < 0 || row < 0 ? -1 : row * columns + column;
  };
  map.on("click", event => select(cellAt(event.latlng)));
  find("close").addEventListener("click", close);
  document.addEventListener("keydown", event => { if (event.key === "Escape") close(); });
  const STEPS = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]};
  find("map").addEventListener("keydown", event => {
    if (event.target !== find("map") || event.ctrlKey || event.altKey || event.metaKey) return;
    const step = STEPS[event.key];
    if (event.key === "Enter") select(cellAt(map.getCenter()));
    else if (step && selected >= 0) {
      const row = Math.floor(selected / columns) + step[0], column = selected % columns + step[1];
      if (row >= 0 && row < rows && column >= 0 && column < columns) select(row * columns + column);
    } else return;
    event.preventDefault();
    event.stopPropagation();  // else Leaflet moves the map, too
  });

  // ------------------------------------------------------------ the swipe between two dates
  const swipe = find("swipe");
  const setSwipe = share => {
    const to = Math.min(100, Math.max(0, share));
    swipe.style.left = `${to}%`;
    swipe.setAttribute("aria-valuenow", Math.round(to));
    clip();
  };
  const clip = () => {
    const size = map.getSize(), share = parseFloat(swipe.style.left) / 100;
    const sides = [[0, size.x * share], [size.x * share, size.x]];
    sides.forEach(([from, to], at) => {
      const a = map.containerPointToLayerPoint([from, 0]), b = map.containerPointToLayerPoint([to, size.y]);
      const corners = [[a.x, a.y], [b.x, a.y], [b.x, b.y], [a.x, b.y]].map(([x, y]) => `${x}px ${y}px`);
      map.getPane(`picture${at}`).style.clipPath = `polygon(${corners.join(",")})`;
    });
  };
  if (swipe) {
    map.on("move zoom resize viewreset", clip);
    swipe.addEventListener("pointerdown", event => {
      swipe.setPointerCapture(event.pointerId);
      swipe.focus();
      event.preventDefault();
    });
    swipe.addEventListener("pointermove", event => {
      const box = find("map").getBoundingClientRect();
      if (swipe.hasPointerCapture(event.pointerId)) setSwipe(100 * (event.clientX - box.left) / box.width);
    });
    swipe.addEventListener("keydown", event => {
      const now = parseFloat(swipe.style.left);
      const to = {ArrowLeft: now - 2, ArrowDown: now - 2, ArrowRight: now + 2, ArrowUp: now + 2, PageUp: now + 10,
        PageDown: now - 10, Home: 0, End: 100}[event.key];
      if (to === undefined) return;
      setSwipe(to);
      event.preventDefault();
    });
  }

  fit();
  if (swipe) setSwipe(50);
  layer.addTo(map);
  refresh();
})();

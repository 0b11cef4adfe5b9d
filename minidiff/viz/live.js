// Runs every live sampler on the page that is not running yet, so it may be included many times.
for (const root of document.querySelectorAll(".minidiff-live")) {
  if (root.running) continue;
  root.running = true;

  // shapes: [name, rows, columns] of the tensors in weights, one after the other in float16;
  // clouds: a path of dots for each label; walks: [t, level] of each state, for each slider value.
  const { shapes, weights, frequencies, clouds, walks, limits } = JSON.parse(
    root.querySelector("[type='application/json']").textContent,
  );
  const POINTS = 600;

  // --- the network, minidiff.nets.MLP ---

  const bytes = Uint8Array.from(atob(weights), (letter) => letter.charCodeAt(0));
  const halves = new DataView(bytes.buffer);
  const half = (i) => {
    const bits = halves.getUint16(2 * i, true);
    const exponent = (bits >> 10) & 31;
    const size = exponent ? 2 ** (exponent - 25) * (1024 + (bits & 1023)) : 2 ** -24 * (bits & 1023);
    return bits >> 15 ? -size : size;
  };
  const tensors = {};
  let read = 0;
  for (const [name, rows, columns] of shapes) {
    // Rows are filled up with zeros to a multiple of four, which is what `linear` works on.
    const data = new Float64Array(4 * Math.ceil(rows / 4) * columns);
    for (let i = 0; i < rows * columns; i++) data[i] = half(read++);
    tensors[name] = data;
  }
  const layer = (name) => [tensors[`${name}.weight`], tensors[`${name}.bias`]];
  const depth = shapes.filter(([name]) => name.endsWith("first.weight")).length;
  const zeros = new Float64Array(tensors["input.bias"].length);

  // x W^T + b, for an even number of rows x. Eight sums at a time stay in registers; arrays made
  // and taken apart in here would cost three times as much.
  const linear = ([weight, bias], x, rows) => {
    const out = bias.length;
    const columns = weight.length / out;
    const stride = x.length / rows;
    const y = new Float64Array(rows * out);
    for (let i = 0; i < rows; i += 2) {
      const a = i * stride;
      const b = a + stride;
      for (let o = 0; o < out; o += 4) {
        const p = o * columns;
        const q = p + columns;
        const r = q + columns;
        const s = r + columns;
        let ap = bias[o], aq = bias[o + 1], ar = bias[o + 2], as = bias[o + 3];
        let bp = ap, bq = aq, br = ar, bs = as;
        for (let k = 0; k < columns; k++) {
          const xa = x[a + k], xb = x[b + k];
          const wp = weight[p + k], wq = weight[q + k], wr = weight[r + k], ws = weight[s + k];
          ap += xa * wp; aq += xa * wq; ar += xa * wr; as += xa * ws;
          bp += xb * wp; bq += xb * wq; br += xb * wr; bs += xb * ws;
        }
        const ya = i * out + o, yb = ya + out;
        y[ya] = ap; y[ya + 1] = aq; y[ya + 2] = ar; y[ya + 3] = as;
        y[yb] = bp; y[yb + 1] = bq; y[yb + 2] = br; y[yb + 3] = bs;
      }
    }
    return y;
  };

  // silu(x + shift), the same shift for each row.
  const silu = (x, shift) => {
    const y = new Float64Array(x.length);
    for (let i = 0, j = 0; i < x.length; i++, j++) {
      if (j === shift.length) j = 0;
      const a = x[i] + shift[j];
      y[i] = a / (1 + Math.exp(-a));
    }
    return y;
  };

  // What the network adds to every point at that level, told a label, an index from 0, or -1.
  const embedding = (level, label) => {
    const angles = frequencies.map((frequency) => frequency * level);
    const features = [...angles.map(Math.sin), ...angles.map(Math.cos)];
    const [first, second] = [layer("level.layers.0"), layer("level.layers.2")];
    const hidden = linear(first, Float64Array.of(...features, ...features), 2);
    const emb = linear(second, silu(hidden, zeros), 2).subarray(0, zeros.length);
    const width = shapes.find(([name]) => name === "label.weight")[2];
    return emb.map((value, j) => value + tensors["label.weight"][(label + 1) * width + j]);
  };

  const velocity = (x, level, label) => {
    const emb = embedding(level, label);
    let h = linear(layer("input"), x, POINTS);
    for (let i = 0; i < depth; i++) {
      const inner = linear(layer(`layers.${i}.first`), silu(h, emb), POINTS);
      const change = linear(layer(`layers.${i}.second`), silu(inner, zeros), POINTS);
      for (let j = 0; j < h.length; j++) h[j] += change[j];
    }
    return linear(layer("output"), silu(h, zeros), POINTS); // four numbers a point, two of them v
  };

  // --- the sampler, minidiff.ddim.step ---

  // Normal numbers in pairs, the same for the same seed: a counter, scrambled (splitmix), and
  // Box and Muller's transformation.
  const gaussian = (seed) => {
    let state = Math.imul(seed, 0x85ebca6b);
    const uniform = () => {
      state = (state + 0x9e3779b9) | 0;
      let z = state;
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      return (((z ^ (z >>> 15)) >>> 0) + 0.5) / 2 ** 32;
    };
    return () => {
      const x = new Float64Array(2 * POINTS);
      for (let i = 0; i < x.length; i += 2) {
        const radius = Math.sqrt(-2 * Math.log(uniform()));
        const angle = 2 * Math.PI * uniform();
        x[i] = radius * Math.cos(angle);
        x[i + 1] = radius * Math.sin(angle);
      }
      return x;
    };
  };

  // From one level to another. The levels are angles, with the cosine sqrt(alpha_bar) and the sine
  // sqrt(1 - alpha_bar), and the network says v: x0 and eps are x and v turned by the angle. To
  // guide v is to guide eps, which is linear in it.
  const step = (x, from, to, { label, eta, w }, noise) => {
    const [a, b] = [Math.cos(from), Math.sin(from)];
    const [c, d] = [Math.cos(to), Math.sin(to)];
    const variance = (eta * d / b) ** 2 * (1 - (a / c) ** 2);
    const z = eta > 0 ? noise() : x;
    const told = velocity(x, from, label);
    const untold = w > 0 ? velocity(x, from, -1) : told;
    return x.map((value, i) => {
      const j = 4 * (i >> 1) + (i & 1);
      const v = (1 + w) * told[j] - w * untold[j];
      const [x0, eps] = [a * value - b * v, b * value + a * v];
      return c * x0 + Math.sqrt(d ** 2 - variance) * eps + Math.sqrt(variance) * z[i];
    });
  };

  // --- what the reader sees and does ---

  const [cloud, dots] = root.querySelectorAll("svg .cloud, svg .frame");
  const [time, steps, eta, w] = root.querySelectorAll("input");
  const [told, drawn, ...outputs] = root.querySelectorAll("output");
  const [button, again] = root.querySelectorAll("button");
  const data = root.querySelector("select");
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let [seed, playing, working] = [1, 0, 0];
  let grid, noise, settings;

  const draw = (x) => {
    const scale = 1000 / (limits[1] - limits[0]);
    let path = "";
    for (let i = 0; i < x.length; i += 2) {
      const [left, top] = [(x[i] - limits[0]) * scale, (limits[1] - x[i + 1]) * scale];
      path += `M${Math.round(left)} ${Math.round(top)}h0`;
    }
    dots.setAttribute("d", path);
  };

  const say = (output, name, value) => {
    const text = `${name} = ${value}`; // read aloud where it changes
    if (output.textContent !== text) output.textContent = text;
    output.previousElementSibling.setAttribute("aria-valuetext", value);
  };

  // Shows the state that the time slider asks for; what is not there yet is worked out, a few
  // steps at a time, so that the page never hangs.
  const show = () => {
    clearTimeout(working);
    const until = performance.now() + 24;
    const wanted = Number(time.value);
    const { states } = root;
    while (states.length <= wanted && performance.now() < until) {
      const k = states.length;
      states.push(step(states[k - 1], grid[k - 1][1], grid[k][1], settings, noise));
    }
    const ready = Math.min(wanted, states.length - 1);
    if (ready < wanted) working = setTimeout(show);
    if (ready < wanted && calm.matches) return;
    // Nothing is read aloud while the points move.
    told.setAttribute("aria-live", playing || ready < wanted ? "off" : "polite");
    draw(states[ready]);
    say(told, "t", grid[ready][0]);
  };

  const rest = () => {
    clearTimeout(playing);
    playing = 0;
    button.textContent = calm.matches ? "Step" : "Play";
    told.setAttribute("aria-live", "polite");
  };

  const advance = () => {
    const { states } = root;
    if (!playing || states.length > Number(time.value)) {
      time.value = time.value === time.max ? 0 : Number(time.value) + 1;
      show();
      if (time.value === time.max) return rest();
    }
    if (playing) playing = setTimeout(advance, Math.min(400, Math.max(80, 4000 / grid.length)));
  };

  // A walk from the beginning, looked at where the last one was.
  const restart = () => {
    const share = time.value / time.max;
    grid = walks[steps.value];
    settings = { label: data.selectedIndex, eta: Number(eta.value), w: Number(w.value) };
    noise = gaussian(seed);
    root.states = [noise()];
    time.max = grid.length - 1;
    time.value = Math.round(share * time.max);
    cloud.setAttribute("d", clouds[settings.label]);
    drawn.textContent = `noise ${seed}`;
    say(outputs[0], "steps", time.max);
    say(outputs[1], "eta", eta.value);
    say(outputs[2], "w", w.value);
    show();
  };

  button.onclick = () => {
    if (playing) return rest();
    if (!calm.matches) {
      playing = -1;
      button.textContent = "Pause";
    }
    advance();
  };
  time.oninput = () => {
    rest();
    show();
  };
  again.onclick = () => {
    seed += 1;
    restart();
  };
  data.onchange = restart;
  for (const range of [steps, eta, w]) range.oninput = restart;
  calm.onchange = rest;
  rest();
  restart();
  root.querySelector(".controls").style.display = "grid"; // no controls without a script
}

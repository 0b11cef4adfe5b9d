// Runs every live sampler on the page that is not running yet, so it may be included many times.
// What it is given as JSON: net, the name of a network, and its tensors; shape, how many pieces a
// state has and the shape of each, for which the network is asked by itself; walks, [t, level] of
// each state for each value of the slider; and what `points` or `images` want to know.

// --- the sampler, minidiff.ddim.step ---

// Normal numbers in pairs, the same for the same seed: a counter, scrambled (splitmix), and Box and
// Muller's transformation.
const gaussian = (seed, length) => {
  let state = Math.imul(seed, 0x85ebca6b);
  const uniform = () => {
    state = (state + 0x9e3779b9) | 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (((z ^ (z >>> 15)) >>> 0) + 0.5) / 2 ** 32;
  };
  return () => {
    const x = new Float64Array(length);
    for (let i = 0; i < length; i += 2) {
      const radius = Math.sqrt(-2 * Math.log(uniform()));
      const angle = 2 * Math.PI * uniform();
      x[i] = radius * Math.cos(angle);
      x[i + 1] = radius * Math.sin(angle);
    }
    return x;
  };
};

// From one level to another, z being fresh noise. The levels are angles, with the cosine
// sqrt(alpha_bar) and the sine sqrt(1 - alpha_bar), and the network says v: x0 and eps are x and v
// turned by the angle. To guide v is to guide eps, which is linear in it.
const step = (velocity, x, from, to, { label, eta, w }, z) => {
  const [a, b] = [Math.cos(from), Math.sin(from)];
  const [c, d] = [Math.cos(to), Math.sin(to)];
  const variance = (eta * d / b) ** 2 * (1 - (a / c) ** 2);
  const told = velocity(x, from, label);
  const untold = w > 0 ? velocity(x, from, -1) : told;
  return x.map((value, i) => {
    const v = (1 + w) * told[i] - w * untold[i];
    const [x0, eps] = [a * value - b * v, b * value + a * v];
    return c * x0 + Math.sqrt(d ** 2 - variance) * eps + Math.sqrt(variance) * z[i];
  });
};

// Puts one state after the other into states, and pauses after each piece.
const walk = function* (velocity, size, states, grid, settings, noise) {
  states.push(noise());
  yield;
  for (let k = 1; k < grid.length; k++) {
    const x = states[k - 1];
    const z = settings.eta > 0 ? noise() : x;
    const next = new Float64Array(x.length);
    for (let i = 0; i < x.length; i += size) {
      const [mine, its] = [x.subarray(i, i + size), z.subarray(i, i + size)];
      next.set(step(velocity, mine, grid[k - 1][1], grid[k][1], settings, its), i);
      if (i + size === x.length) states.push(next);
      yield;
    }
  }
};

// --- what the reader sees: functions that draw a state, told the label ---

const points = (root, { clouds, limits }) => {
  const [cloud, dots] = root.querySelectorAll("svg .cloud, svg .frame");
  return (x, label) => {
    const scale = 1000 / (limits[1] - limits[0]);
    let path = "";
    for (let i = 0; i < x.length; i += 2) {
      const [left, top] = [(x[i] - limits[0]) * scale, (limits[1] - x[i + 1]) * scale];
      path += `M${Math.round(left)} ${Math.round(top)}h0`;
    }
    dots.setAttribute("d", path);
    if (cloud.getAttribute("d") !== clouds[label]) cloud.setAttribute("d", clouds[label]);
  };
};

const images = (root, { shape: [n, height, width, channels], cols }) => {
  // A canvas takes the place of the picture, with its pixels, its looks and its text.
  const picture = root.querySelector("img");
  const canvas = document.createElement("canvas");
  const gap = Math.max(1, width >> 4);
  canvas.width = cols * (width + gap) - gap;
  canvas.height = Math.ceil(n / cols) * (height + gap) - gap;
  canvas.style.cssText = picture.style.cssText;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", picture.alt);
  picture.replaceWith(canvas);
  const context = canvas.getContext("2d");
  return (x) => {
    for (let i = 0; i < n; i++) {
      const image = new ImageData(width, height);
      for (let j = 0; j < 4 * width * height; j++) {
        const from = (i * width * height + (j >> 2)) * channels + Math.min(j & 3, channels - 1);
        image.data[j] = (j & 3) === 3 ? 255 : 127.5 * (x[from] + 1); // rounded and clipped by it
      }
      context.putImageData(image, (i % cols) * (width + gap), Math.floor(i / cols) * (height + gap));
    }
  };
};

// --- what the reader does ---

const KINDS = { MLP: [mlp, points], UNet: [unet, images] };

const run = (root, given) => {
  const [network, scene] = KINDS[given.net];
  const [velocity, draw] = [network(given), scene(root, given)];
  const size = given.shape.slice(1).reduce((a, b) => a * b);
  const [time, steps, eta, w] = root.querySelectorAll("input");
  const [told, drawn, ...outputs] = root.querySelectorAll("output");
  const [button, again] = root.querySelectorAll(".controls button");
  const labels = root.querySelector("select");
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let [seed, playing, working] = [1, 0, 0];
  let grid, settings, work;

  const say = (output, name, value) => {
    const text = `${name} = ${value}`; // read aloud where it changes
    if (output.textContent !== text) output.textContent = text;
    output.previousElementSibling.setAttribute("aria-valuetext", value);
  };

  // Shows the state that the time slider asks for; what is not there yet is worked out, a few
  // pieces at a time, so that the page never hangs.
  const show = () => {
    clearTimeout(working);
    const until = performance.now() + 24;
    const wanted = Number(time.value);
    const { states } = root;
    while (states.length <= wanted && performance.now() < until) work.next();
    const ready = Math.min(wanted, states.length - 1);
    if (ready < wanted) working = setTimeout(show);
    if (ready < wanted && calm.matches) return;
    // Nothing is read aloud while the picture moves.
    told.setAttribute("aria-live", playing || ready < wanted ? "off" : "polite");
    draw(states[ready], settings.label);
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
    grid = given.walks[steps.value];
    settings = { label: labels.selectedIndex, eta: Number(eta.value), w: Number(w.value) };
    const noise = gaussian(seed, given.shape[0] * size);
    root.states = [];
    work = walk(velocity, size, root.states, grid, settings, noise);
    work.next();
    time.max = grid.length - 1;
    time.value = Math.round(share * time.max);
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
  labels.onchange = restart;
  for (const range of [steps, eta, w]) range.oninput = restart;
  calm.onchange = rest;
  rest();
  restart();
  root.querySelector(".controls").style.display = "grid"; // no controls without a script
};

// Gets on a click what the sampler is given: from the page or, where the book has moved it there,
// from a file beside the page. Then shows what was asked for without another click.
const runOnClick = (root, told) => {
  const offer = root.querySelector(".offer");
  const [button] = offer.children;
  const ready = (given) => {
    run(root, given);
    offer.remove();
    const play = root.querySelector(".controls button");
    play.focus();
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) return play.click();
    const time = root.querySelector("input");
    time.value = time.max;
    time.oninput();
  };
  const load = () => {
    const address = told.dataset.onclick;
    if (!address) return ready(JSON.parse(told.textContent));
    const script = document.createElement("script");
    script.src = address;
    script.onload = () => ready(script.told);
    script.onerror = () => {
      button.textContent = "Not loaded. Try again";
      button.onclick = load;
    };
    button.onclick = null;
    button.textContent = "Loading";
    root.append(script);
  };
  button.onclick = load;
  offer.style.display = "block";
};

for (const root of document.querySelectorAll(".minidiff-live")) {
  if (root.running) continue;
  root.running = true;
  const told = root.querySelector("[type='application/json']");
  if ("onclick" in told.dataset) runOnClick(root, told);
  else run(root, JSON.parse(told.textContent));
}

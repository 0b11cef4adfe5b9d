// Networks whose weights are part of a page, in plain loops over arrays of numbers. Rows are points
// or pixels, columns are features or channels.

// Reads shapes, [name, rows, columns] of the tensors in weights, one after the other in float16.
const unpack = ({ shapes, weights, frequencies }) => {
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
  const count = (pattern) => shapes.filter(([name]) => pattern.test(name)).length;

  // What the network adds to every row at that level, told a label, an index from 0, or -1.
  const embed = (level, label) => {
    const angles = frequencies.map((frequency) => frequency * level);
    const features = Float64Array.of(...angles.map(Math.sin), ...angles.map(Math.cos));
    const hidden = silu(linear(layer("level.layers.0"), features, 1));
    const emb = linear(layer("level.layers.2"), hidden, 1);
    const labels = tensors["label.weight"];
    const width = shapes.find(([name]) => name === "label.weight")[2];
    return emb.map((value, j) => value + labels[(label + 1) * width + j]);
  };
  return { layer, count, embed };
};

// x W^T + b for rows x. Eight sums at a time stay in registers; arrays made and taken apart in here
// would cost three times as much.
const linear = ([weight, bias], x, rows) => {
  const out = bias.length;
  const columns = weight.length / out;
  const stride = x.length / rows;
  const y = new Float64Array(rows * out);
  for (let i = 0; i < rows; i += 2) {
    const j = i + 1 < rows ? i + 1 : i; // the last of an odd number twice
    const a = i * stride;
    const b = j * stride;
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
      const ya = i * out + o, yb = j * out + o;
      y[ya] = ap; y[ya + 1] = aq; y[ya + 2] = ar; y[ya + 3] = as;
      y[yb] = bp; y[yb + 1] = bq; y[yb + 2] = br; y[yb + 3] = bs;
    }
  }
  return y;
};

// silu(x + shift), the same shift for each row.
const silu = (x, shift = new Float64Array(1)) => {
  const y = new Float64Array(x.length);
  for (let i = 0, j = 0; i < x.length; i++, j++) {
    if (j === shift.length) j = 0;
    const a = x[i] + shift[j];
    y[i] = a / (1 + Math.exp(-a));
  }
  return y;
};

const sum = (x, y) => {
  const z = new Float64Array(x.length);
  for (let i = 0; i < x.length; i++) z[i] = x[i] + y[i];
  return z;
};

// The first columns of each row, without those that `linear` filled up.
const first = (columns, y, rows) => {
  const stride = y.length / rows;
  return Float64Array.from({ length: rows * columns }, (_, i) =>
    y[Math.floor(i / columns) * stride + (i % columns)]);
};

// --- minidiff.nets.MLP: (x, level, label) -> v, x and v being rows of points ---

const mlp = (given) => {
  const { layer, count, embed } = unpack(given);
  const [, rows, dim] = given.shape;
  const depth = count(/first.weight$/);
  return (x, level, label) => {
    const emb = embed(level, label);
    let h = linear(layer("input"), x, rows);
    for (let i = 0; i < depth; i++) {
      const inner = linear(layer(`layers.${i}.first`), silu(h, emb), rows);
      h = sum(h, linear(layer(`layers.${i}.second`), silu(inner), rows));
    }
    return first(dim, linear(layer("output"), silu(h), rows), rows);
  };
};

// --- minidiff.nets.UNet: the same for one image, whose rows are its pixels ---

const GROUPS = 8;
const HEADS = 4;

const unet = (given) => {
  const { layer, count, embed } = unpack(given);
  const [, height, width, channels] = given.shape;
  const levels = count(/^down.*norm1.weight/);
  const depth = count(/^middle.*norm1.weight/);

  // A map is [its numbers, height, width].
  const columns = ([x, h, w]) => x.length / (h * w);
  const onEach = (change, [x, h, w]) => [change(x), h, w];

  // A 3x3 convolution is a linear layer on the neighbourhoods of pixels, every one or every second:
  // nine numbers a channel, zeros outside of the image.
  const conv = (name, map, stride = 1) => {
    const [x, h, w] = map;
    const c = columns(map);
    const [rows, across] = [Math.ceil(h / stride), Math.ceil(w / stride)];
    const around = new Float64Array(rows * across * 9 * c);
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < across; j++) {
        for (let k = 0; k < 9; k++) {
          const [top, left] = [stride * i + Math.floor(k / 3) - 1, stride * j + (k % 3) - 1];
          if (top < 0 || top >= h || left < 0 || left >= w) continue;
          const from = (top * w + left) * c;
          const to = (i * across + j) * 9 * c + k;
          for (let o = 0; o < c; o++) around[to + 9 * o] = x[from + o];
        }
      }
    }
    return [linear(layer(name), around, rows * across), rows, across];
  };

  // Each group of channels gets mean 0 and variance 1, then each channel its scale and shift.
  const normalise = ([scale, shift], map) => {
    const [x, h, w] = map;
    const c = columns(map);
    const size = c / GROUPS;
    const y = new Float64Array(x.length);
    for (let g = 0; g < c; g += size) {
      let [mean, variance] = [0, 0];
      for (let i = g; i < x.length; i += c) {
        for (let j = i; j < i + size; j++) mean += x[j] / (h * w * size);
      }
      for (let i = g; i < x.length; i += c) {
        for (let j = i; j < i + size; j++) variance += (x[j] - mean) ** 2 / (h * w * size);
      }
      const factor = 1 / Math.sqrt(variance + 1e-5);
      for (let i = g; i < x.length; i += c) {
        for (let o = 0; o < size; o++) {
          y[i + o] = (x[i + o] - mean) * factor * scale[g + o] + shift[g + o];
        }
      }
    }
    return [y, h, w];
  };

  const block = (name, map, emb) => {
    const [x, h, w] = map;
    let inner = onEach(silu, normalise(layer(`${name}.norm1`), map));
    inner = conv(`${name}.conv1`, inner);
    const told = linear(layer(`${name}.modulation`), emb, 1);
    const [scale, shift] = layer(`${name}.norm2`);
    const scaled = scale.map((value, i) => value * (1 + told[i]));
    const shifted = shift.map((value, i) => value * (1 + told[i]) + told[shift.length + i]);
    inner = conv(`${name}.conv2`, onEach(silu, normalise([scaled, shifted], inner)));
    const skip = layer(`${name}.skip`);
    return [sum(skip[0] ? linear(skip, x, h * w) : x, inner[0]), h, w];
  };

  // Every pixel looks at every other: columns of qkv are queries, keys, values, each head by head.
  const attend = (name, map) => {
    const [x, h, w] = map;
    const [c, pixels] = [columns(map), h * w];
    const qkv = linear(layer(`${name}.qkv`), normalise(layer(`${name}.norm`), map)[0], pixels);
    const size = c / HEADS;
    const y = new Float64Array(x.length);
    for (let head = 0; head < c; head += size) {
      for (let i = 0; i < pixels; i++) {
        const scores = new Float64Array(pixels);
        for (let j = 0; j < pixels; j++) {
          const [q, k] = [3 * c * i + head, 3 * c * j + c + head];
          for (let o = 0; o < size; o++) scores[j] += (qkv[q + o] * qkv[k + o]) / Math.sqrt(size);
        }
        const most = Math.max(...scores);
        const looks = scores.map((score) => Math.exp(score - most));
        const total = looks.reduce((a, b) => a + b);
        for (let j = 0; j < pixels; j++) {
          const v = 3 * c * j + 2 * c + head;
          for (let o = 0; o < size; o++) y[c * i + head + o] += (looks[j] / total) * qkv[v + o];
        }
      }
    }
    return [sum(x, linear(layer(`${name}.out`), y, pixels)), h, w];
  };

  // Copies of each pixel, two by two, as many as fit.
  const enlarge = (map, [, height, width]) => {
    const [x, , w] = map;
    const c = columns(map);
    const y = new Float64Array(height * width * c);
    for (let i = 0; i < height; i++) {
      for (let j = 0; j < width; j++) {
        const from = ((i >> 1) * w + (j >> 1)) * c;
        y.set(x.subarray(from, from + c), (i * width + j) * c);
      }
    }
    return [y, height, width];
  };

  const beside = (map, other) => {
    const [c, d] = [columns(map), columns(other)];
    const y = new Float64Array(map[0].length + other[0].length);
    for (let i = 0; i < map[1] * map[2]; i++) {
      y.set(map[0].subarray(i * c, (i + 1) * c), i * (c + d));
      y.set(other[0].subarray(i * d, (i + 1) * d), i * (c + d) + c);
    }
    return [y, map[1], map[2]];
  };

  return (x, level, label) => {
    const emb = silu(embed(level, label));
    let h = conv("input", [x, height, width]);
    const skips = [];
    for (let i = 0; i < levels; i++) {
      h = block(`down.${i}`, i ? conv(`shrink.${i - 1}`, h, 2) : h, emb);
      skips.push(h);
    }
    for (let i = 0; i < depth; i++) h = block(`middle.${i}`, attend(`attention.${i}`, h), emb);
    for (let i = levels - 1; i >= 0; i--) {
      h = block(`up.${i}`, beside(h, skips[i]), emb);
      if (i) h = conv(`expand.${i - 1}`, enlarge(h, skips[i - 1]));
    }
    h = onEach(silu, normalise(layer("norm"), h));
    return first(channels, conv("output", h)[0], height * width);
  };
};

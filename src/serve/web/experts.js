// Which experts read which tokens: colours, and the load by layer and expert with its switches.
// @ts-check

/** A colour of its own for each expert: hues a golden angle apart. @param {number} expert */
export function hueOf(expert) {
  return Math.round((expert * 137.508) % 360);
}

/** How often each expert of each mixture layer was chosen, and which are switched off. */
export class Load {
  /** @param {HTMLElement} place @param {{layers: number[], experts: number}} model @param {() => void} changed */
  constructor(place, model, changed) {
    this.model = model;
    this.masked = new Set();
    this.counts = model.layers.map(() => new Array(model.experts).fill(0));
    this.cells = model.layers.map((layer, row) => {
      const line = document.createElement('div');
      line.className = 'row';
      place.append(line);
      return this.counts[row].map((_, expert) => {
        const cell = document.createElement('button');
        cell.type = 'button';
        cell.setAttribute('aria-pressed', 'false');
        cell.addEventListener('click', () => {
          this.toggle(layer, expert, cell);
          changed();
        });
        line.append(cell);
        return cell;
      });
    });
    this.show();
  }

  /** @param {number} layer @param {number} expert @param {HTMLElement} cell */
  toggle(layer, expert, cell) {
    const name = `${layer}:${expert}`;
    const off = !this.masked.delete(name);
    if (off) this.masked.add(name);
    cell.setAttribute('aria-pressed', String(off));
  }

  restore() {
    this.masked.clear();
    for (const cell of this.cells.flat()) cell.setAttribute('aria-pressed', 'false');
  }

  /** Masked experts by layer, as a request names them; null for none. */
  asRequest() {
    if (this.masked.size === 0) return null;
    /** @type {Record<string, number[]>} */
    const masked = {};
    for (const name of this.masked) {
      const [layer, expert] = name.split(':');
      (masked[layer] ??= []).push(Number(expert));
    }
    return masked;
  }

  reset() {
    for (const row of this.counts) row.fill(0);
    this.show();
  }

  /** @param {{layers: number, slots: number, experts: number[]}} routed */
  add(routed) {
    routed.experts.forEach((expert, i) => {
      if (expert >= 0) this.counts[Math.floor(i / routed.slots) % routed.layers][expert] += 1;
    });
    this.show();
  }

  show() {
    this.cells.forEach((row, l) => {
      const most = Math.max(1, ...this.counts[l]);
      row.forEach((cell, expert) => {
        const count = this.counts[l][expert];
        cell.style.setProperty('--share', String(Math.round((100 * count) / most)));
        const label = `layer ${this.model.layers[l]}, expert ${expert}: ${count} tokens`;
        cell.title = label;
        cell.setAttribute('aria-label', label);
      });
    });
  }
}

/** The experts of one token in one layer, best first. @param {any} routed @param {number} token @param {number} layer */
export function choicesOf(routed, token, layer) {
  const from = (token * routed.layers + layer) * routed.slots;
  const choices = [];
  for (let k = 0; k < routed.slots; ++k) {
    if (routed.experts[from + k] >= 0) choices.push({ expert: routed.experts[from + k], affinity: routed.affinities[from + k] });
  }
  return choices;
}

// Tables whose rows come and go, a page of them at a time, and how numbers are written.

export const sum = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);

export const compact = (n) => new Intl.NumberFormat("en", { notation: n < 10_000 ? "standard" : "compact", maximumFractionDigits: n < 10 ? 1 : n < 10_000 ? 0 : 1 }).format(n);

export function duration(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86_400)} d`;
}

export function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

// fill makes the rows of a table those of a list. Rows that stay keep their elements, and with them the focus.
export function fill(card, list, keyOf, build, update) {
  const body = card.querySelector("tbody");
  const old = new Map(Array.from(body.rows, (tr) => [tr.dataset.key, tr]));
  list.forEach((item, i) => {
    const key = keyOf(item);
    const tr = old.get(key) ?? build(item);
    old.delete(key);
    tr.dataset.key = key;
    update(tr, item);
    if (body.rows[i] !== tr) body.insertBefore(tr, body.rows[i] ?? null);
  });
  for (const tr of old.values()) tr.remove();
  card.querySelector("table").hidden = !list.length;
  const empty = card.querySelector(".empty");
  if (empty) empty.hidden = list.length > 0;
}

// Pages turns the pages of a list, which is always read from its beginning on.
export class Pages {
  #page = 0;
  #place;
  #size;

  // place has the buttons; turned is called when another page is wanted; size is how many rows a page has.
  constructor(place, turned, size = 25) {
    this.#place = place;
    this.#size = size;
    for (const [selector, step] of [[".back", -1], [".on", 1]]) {
      this.#place.querySelector(selector).addEventListener("click", () => {
        this.#page += step;
        turned();
      });
    }
  }

  // limit is how many rows to ask for: one more than are shown, to know whether there are more.
  get limit() {
    return (this.#page + 1) * this.#size + 1;
  }

  first() {
    this.#page = 0;
  }

  // of returns the rows of the page that is open. total is how many rows there are: undefined if that is not known, and null if
  // it stands elsewhere. Of a list that has become shorter it is the last page.
  of(rows, total) {
    const size = this.#size;
    this.#page = Math.max(0, Math.min(this.#page, Math.ceil(rows.length / size) - 1));
    const from = this.#page * size;
    const shown = rows.slice(from, from + size);
    const more = rows.length > from + size;
    const [back, text, on] = this.#place.children;
    this.#place.hidden = !more && !from;
    const all = total === null ? "" : total >= rows.length ? ` of ${compact(total)}` : more ? " of more" : "";
    const range = `${(from + 1).toLocaleString("en")}–${(from + shown.length).toLocaleString("en")}${all}`;
    if (text.textContent !== range) text.textContent = range;
    if (document.activeElement === back && !from) on.focus(); // what is disabled loses the focus
    if (document.activeElement === on && !more) back.focus();
    back.disabled = !from;
    on.disabled = !more;
    return shown;
  }
}

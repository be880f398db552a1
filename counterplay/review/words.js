// Numbers and elements as the page writes them.

const superscript = (text) => [...text].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]).join("");

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
export const count = (n) => whole.format(n);

// Three significant digits with a real minus sign, as in the report.
export function number(value, signed = false) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const plain = size === 0 || (size >= 1e-4 && size < 1e6);
  let text = size >= 999.5 && plain ? count(size) : size.toPrecision(3);
  if (!plain) {
    const [mantissa, exponent] = size.toExponential(2).split("e");
    text = `${mantissa}\u2009×\u200910${superscript(String(Number(exponent)))}`;
  }
  return (value < 0 ? "\u2212" : signed ? "+" : "") + text;
}

// An element with attributes and children; text is never read as markup.
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

export function row(first, ...cells) {
  const line = element("tr", {}, element("th", { scope: "row" }, first));
  line.append(...cells.map((cell) => element("td", { class: "n" }, cell)));
  return line;
}

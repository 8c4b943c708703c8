/* hostile.mjs: what a client may publish to do harm: JSON texts of `data`. */

const BAD = "globalThis.pwned=1";
const MARKUP = [
  `<img src=x onerror="${BAD}">`,
  `<script>${BAD}</script>`,
  `<svg onload=${BAD}>`,
  `<iframe srcdoc="<script>parent.pwned=1</script>"></iframe>`,
  `<a href="javascript:${BAD}">click</a>`,
  `"><style>*{display:none}</style>`,
  `&lt;b&gt; &#60;b&#62;`,
  "<!-- ", "]]>", "{{constructor.constructor('globalThis.pwned=1')()}}",
];
const TEXTS = [
  ...MARKUP,
  "\u0000nul\u0000", "\u0007\u001b[31mbell and escape\u0085",
  "\u202eevil right to left\u202c", "\u202e\u202e\u202e\u2066\u2067open embeddings", "שלום עולם ‏123",
  "👩‍👩‍👧‍👦🏳️‍🌈🇪🇺", `Z${"\u0301".repeat(500)}algo`, "\ufeff\u200b\u200b",
  "x".repeat(60000), "\n".repeat(5000), "👍".repeat(7000), "wide ".repeat(5000),
];

export const hostile = [
  ...TEXTS.map((text) => JSON.stringify({ from: "Mallory", text })),
  ...MARKUP.map((text) => JSON.stringify({ from: text, text: "a bad name" })),
  ...MARKUP.map((text) => JSON.stringify(text)),
  JSON.stringify({ from: "n".repeat(50000), text: "a long name" }),
  JSON.stringify({ from: "\u202eMallory\u0000\n\n", text: "a name that turns" }),
  JSON.stringify({ id: { toString: 1 }, from: ["a"], text: "odd members" }),
  // Shapes that nobody expects, and halves of surrogate pairs.
  "null", "true", "0", "-1e999".replace("e999", "e30"), "[]", "{}", '""', "[[[[[[]]]]]]",
  '{"text":null}', '{"text":{"toString":1}}', '{"from":{},"text":[]}', '{"__proto__":{"polluted":1},"text":"proto"}',
  '{"text":"\\ud800 alone \\udfff","from":"\\ud83d"}', '{"text":"\\u0000","from":"\\u0000"}',
];

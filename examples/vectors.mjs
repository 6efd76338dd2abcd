// Runs the frozen vectors on an nll_loss written in JavaScript, as specs/INTERPRETING.md says. Node.js 18 or later:
//     node examples/vectors.mjs [--spoil] [FILE ...]        --spoil makes every result wrong, to see vectors fail
import { readdirSync, readFileSync } from "node:fs";
import { inflateSync } from "node:zlib";
// ---- Numbers and arrays. Whatever its format, a number is kept as a double, an integer as a BigInt.
const format = (bits, least) => ({ bits, least, u: 2 ** -bits, mu: 2 ** (least - bits + 1) });
const [float32, float64] = [format(24, -126), format(53, -1022)], scratch = new DataView(new ArrayBuffer(8));
const largest = ({ bits, least }) => (2 - 2 ** (1 - bits)) * 2 ** (1 - least);
const FORMATS = { float16: format(11, -14), bfloat16: format(8, -126), float32, float64 };
function spacing(x, { bits, least }) { // the exponent of the distance to the next number that is larger in size
  scratch.setFloat64(0, x);
  return Math.max(((scratch.getUint16(0) >> 4) & 0x7ff) - 1023, least) - bits + 1;
}
function round(x, p) { // to nearest, ties to even: next to `large`, doubles lie as far apart as x's neighbours
  const large = 1.5 * 2 ** (52 + spacing(x, p)), rounded = x + large - large;
  if (p === float64 || !Number.isFinite(x)) return x;
  return Math.abs(rounded) > largest(p) ? Math.sign(x) * Infinity : rounded;
}
const total = (a, h = a.length >> 1) => h < 5 ? a.reduce((x, y) => x + y, 0) : total(a.slice(0, h)) + total(a.slice(h));
function keptOf({ input, target, weight, ignore_index, upstream, reduction }) { // positions, and what belongs to them
  const inner = input.shape.slice(2).reduce((a, b) => a * b, 1), classes = input.shape[1] ?? 0;
  return target.data.flatMap((t, position) => {
    const place = (Math.floor(position / inner) * classes + Number(t)) * inner + (position % inner);
    const w = weight ? weight.data[t] : 1, g = upstream?.data[reduction === "none" ? position : 0];
    return t === ignore_index ? [] : [{ at: upstream ? place : position, x: input.data[place], w, g }];
  });
}
// ---- The subject, which is what a user brings along. With an upstream gradient it returns the gradient.
const demand = (holds, reason) => { if (!holds) throw new Error(reason, { cause: "a wrong call" }); };
function nllLoss({ input, target, weight, ignore_index = -100n, reduction = "mean", upstream }) {
  const axis = Math.min(input.shape.length - 1, 1), classes = input.shape[axis];
  demand(input.dtype in FORMATS, "dtype: input is not floating-point");
  demand(/^u?int\d+$/.test(target.dtype), "dtype: target is not of integers");
  demand(["none", "sum", "mean"].includes(reduction), "value: no such reduction");
  demand(axis >= 0 && `${target.shape}` === `${input.shape.filter((_, k) => k !== axis)}`, "shape: target");
  demand(!weight || (`${weight.shape}` === `${classes}` && weight.dtype === input.dtype), "shape or dtype: weight");
  demand(target.data.every((t) => t === ignore_index || (t >= 0n && t < classes)), "index: no such class");
  const kept = keptOf({ input, target, weight, ignore_index, upstream, reduction });
  const W = reduction === "mean" ? total(kept.map(({ w }) => w)) : 1;
  const like = upstream ? input : reduction === "none" ? target : { shape: [], data: [0] };
  const terms = kept.map(({ w, x, g = x }) => -w * g), data = like.data.map(() => 0); // doubles, added pairwise
  if (upstream || reduction === "none") kept.forEach(({ at }, k) => { data[at] = terms[k] / W; });
  else data[0] = total(terms) / W;
  return { dtype: input.dtype, shape: like.shape, data: data.map((x) => round(x, FORMATS[input.dtype])) };
}
// ---- Reading
function float(text) {
  const [, sign, whole, fraction, exponent] = /^(-?)0x([01])\.([0-9a-f]+)p([+-]\d+)$/.exec(text) ?? [];
  if (!whole) return Number(text.replace("inf", "Infinity"));
  return (sign ? -1 : 1) * parseInt(whole + fraction, 16) * 2 ** (exponent - 4 * fraction.length);
}
function fromBytes(dtype, bytes, p = FORMATS[dtype]) { // one element, by way of the bits of a double
  const width = 8 * bytes.length, bits = BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);
  if (!p) return dtype[0] === "u" ? bits : BigInt.asIntN(width, bits); // also bool and complex, which no call may have
  scratch.setBigUint64(0, BigInt.asUintN(width - 1, bits) << BigInt(53 - p.bits));
  const x = scratch.getFloat64(0) * 2 ** (1022 + p.least), beyond = 2 ** (2 - p.least);
  return (bits >> BigInt(width - 1) ? -1 : 1) * (x < beyond ? x : x === beyond ? Infinity : NaN);
}
function array({ dtype, shape, values, zlib }) {
  const length = shape.reduce((a, b) => a * b, 1), width = (Number(/\d+$/.exec(dtype)) || 8) / 8; // bool has no digits
  const bytes = zlib && inflateSync(Buffer.from(zlib, "base64")), list = values?.map(dtype in FORMATS ? float : BigInt);
  if (bytes ? bytes.length !== length * width : length && !list.length) throw new Error("an array of a wrong size");
  const at = (k) => (bytes ? fromBytes(dtype, bytes.subarray(k * width, (k + 1) * width)) : list[k % list.length]);
  return { dtype, shape, data: Array.from({ length }, (_, k) => at(k)) };
}
// ---- Judging. A verdict is true, false, null where it is uninformative, or undefined where no more is asked.
const worst = (verdicts) => !verdicts.includes(false) && (verdicts.includes(null) ? null : true);
const same = (a, b) => a === b || (a !== a && b !== b);
const near = (a, b, p) => Math.abs(a - b) <= 2 ** Math.min(spacing(a, p), spacing(b, p));
const ONE = 1n << 2400n, mul = (a, b) => (a * b) / ONE, div = (a, b) => (a * ONE) / b; // fixed point, for exact bounds
const fixed = (x) => BigInt(x / 2 ** spacing(x, float64)) << BigInt(spacing(x, float64) + 2400);
const abs = (a) => (a < 0n ? -a : a), add = (list) => list.reduce((a, b) => a + b, 0n);
function within({ p, kept, weight, reduction }, q, x, expect, E = Infinity) { // the bound of an accumulator q
  const e = fixed(Math.min(E, (kept.length - 1) * q.u)), [u, mu, most] = [q.u, q.mu, largest(q)].map(fixed);
  const w = kept.map((k) => fixed(k.w)), a = kept.map((k, i) => mul(w[i], fixed(k.x))), n = BigInt(kept.length);
  const W = abs(add(w)), A = add(w.map(abs)), M = add(a.map(abs)), exact = div(...expect.exact.split("/").map(BigInt));
  const u1 = weight && q === p ? u : 0n, eW = weight ? mul(e, A) : q.bits < 24 ? e * n : 0n, r = abs(exact);
  let B = mul(M, u1 + e + mul(u1, e)) + (weight && a.some((term) => term % mu) ? (n * mul(ONE + e, mu)) / 2n : 0n);
  const mean = reduction === "mean", grown = mul(mean && A > M ? A : M, n > 1n ? ONE + e + u : ONE);
  if ((mean && eW >= W) || (grown > most && (!x || !Number.isFinite(x)))) return null;
  if (mean) B = div(B + mul(r, eW), W - eW) + mul(mul(r, W), mu) / 2n;
  if (mean) B += mul(mul(u, 2n * ONE + u), r + B) + mu;
  if (q !== p) B += mul(fixed(p.u), r + B) + fixed(p.mu) / 2n;
  return Number.isFinite(x) && abs(fixed(x) - exact) <= B && (2n * B < r || null);
}
function judgeReduced(clause, call, expect, x) {
  const { p, reduction, target } = call, q = p.bits < 24 ? float32 : p, best = float(expect.rounded);
  const height = 64 + 2 * Math.ceil(Math.log2(target.data.length)), close = near(x, best, p);
  if (same(x, best) || (clause === "SPECIAL-2" && Number.isFinite(x))) return true;
  if (clause === "ACC-5S" || (clause === "ACC-5" && !(reduction === "mean" && close))) return false;
  if (close && (clause === "ACC-4" || (clause === "ACC-5" && q === p))) return true;
  const verdict = within(call, q, x, expect, { "ACC-4": Math.expm1(height * Math.log1p(q.u)), "ACC-5": 0 }[clause]);
  const strict = /^(ACC-\d|SHAPE-7|IGN-7|IGN-10|DTYPE-3|LAYOUT-1|VALUE-1[01]|GRAD-[678]|SPECIAL-2)$/.test(clause);
  return verdict || strict || q === p ? verdict : within(call, p, x, expect);
}
function judge(clause, call, expect, out) {
  if (expect.raises) return out.cause === "a wrong call"; // any other exception is a bug
  if (out.dtype !== call.input.dtype || `${out.shape}` !== `${expect.shape}`) return false;
  if (/^(DTYPE-1|SHAPE-4|GRAD-4|WEIGHT-5)$/.test(clause)) return undefined; // WEIGHT-5 takes a second call
  if (expect.one_of) return expect.one_of.some((name) => same(float(name), out.data[0]));
  if (expect.exact) return judgeReduced(clause, { ...call, kept: keptOf(call) }, expect, out.data[0]);
  const listed = new Map(expect.entries?.map(([k, ...three]) => [k, three.map(float)]));
  const values = expect.values?.map((v) => [float(v)]);
  const own = /^(GRAD-([13]|12)|WEIGHT-2)$/.test(clause), mean = call.reduction === "mean", { p } = call;
  const verdicts = out.data.map((x, k) => {
    const due = values ? values[k % values.length] : listed.get(k), [first, low = first, high = first] = due ?? [0];
    if (low === -Infinity && high === Infinity) return null;
    if (same(x, first)) return due ? true : undefined;
    if (x >= low && x <= high) return high - low < Math.abs(first) || null;
    if (due && own && mean && p.bits < 24) return null; // the wider bound on a slope is not worked out here
    const product = Math.abs(first) <= 2 ** p.least ? keptOf(call).find(({ at }) => at === k) : undefined;
    const tiny = product && call.weight && product.w && (product.g ?? product.x);
    return Boolean(due && !mean && (own || tiny)) && near(x, first, p);
  });
  return verdicts.includes(true) && !verdicts.includes(false) ? true : worst(verdicts);
}
// ---- Running
const spoiling = process.argv.includes("--spoil"), named = process.argv.slice(2).filter((a) => a !== "--spoil");
const awry = (p) => (x) => (Number.isFinite(x) ? round(x + (x < 0 ? -1 : 1) * 2 ** spacing(x, p), p) : 0);
function run({ id, call, expect, clauses, experiment }) {
  const why = experiment ? "experiment" : call.layouts ? "layouts" : call.transform ?? "value";
  if (expect.unspecified || !["value", "gradient"].includes(why)) return expect.unspecified ? "unspecified" : why;
  const given = { ...call, ignore_index: BigInt(call.ignore_index), p: FORMATS[call.input.dtype] };
  for (const name of ["input", "target", "weight", "upstream"]) if (call[name]) given[name] = array(call[name]);
  let out = Object.fromEntries(Object.entries(given).filter(([name]) => !call.omitted?.includes(name)));
  try { out = nllLoss(out); } catch (error) { out = error; }
  if (spoiling) out = { ...out, shape: out.data?.length ? out.shape : [1], data: out.data?.map(awry(given.p)) ?? [0] };
  const verdicts = clauses.map((clause) => judge(clause, given, expect, out)), seen = out.data?.slice(0, 8) ?? out;
  const said = `observed ${seen}, expected ${JSON.stringify(expect).slice(0, 400)}`;
  clauses.forEach((clause, k) => verdicts[k] === false && console.log(`FAILED ${id} ${clause}: ${said}`));
  return worst(verdicts);
}
let where = new URL("../specs/nll_loss/vectors/", import.meta.url), counts = {};
try {
  const ours = readdirSync(where).filter((name) => name.endsWith(".json")).map((name) => new URL(name, where));
  for (where of named.length ? named : ours) {
    const quoted = (token) => (token[0] === '"' ? token : `"${token}"`); // integers that a double may not hold
    const { format, vectors } = JSON.parse(readFileSync(where, "utf8").replace(/"(?:[^"\\]|\\.)*"|-?\d{16,}/g, quoted));
    if (!(format <= 1)) throw new Error(`format ${format}, and only 1 is known here`);
    for (const result of vectors.map(run)) counts[result] = (counts[result] ?? 0) + 1;
  }
} catch (error) {
  console.error(`${where}: ${error.message}`);
  process.exit(2);
}
const { true: passed = 0, false: failed = 0, null: uninformative = 0, ...skipped } = counts;
const reasons = Object.entries(skipped).map(([reason, n]) => ` ${n} ${reason}`), skips = total(Object.values(skipped));
console.log(`${passed} passed, ${failed} failed, ${uninformative} uninformative, ${skips} skipped:${reasons}`);
process.exitCode = failed || !passed ? 1 : 0;

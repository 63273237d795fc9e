/** Units of measurement and the arithmetic between them. */

/** A unit: `value * factor + offset` is the same amount in its quantity's base unit. */
interface Unit {
  readonly name: string;
  readonly factor: number;
  readonly offset?: number;
}

/** Every quantity with its units, by symbol. The unit with factor 1 and no offset is the base. */
const QUANTITIES: Readonly<Record<string, Readonly<Record<string, Unit>>>> = {
  length: {
    m: { name: "metre", factor: 1 },
    km: { name: "kilometre", factor: 1000 },
    cm: { name: "centimetre", factor: 0.01 },
    mm: { name: "millimetre", factor: 0.001 },
    in: { name: "inch", factor: 0.0254 },
    ft: { name: "foot", factor: 0.3048 },
    yd: { name: "yard", factor: 0.9144 },
    mi: { name: "mile", factor: 1609.344 },
    nmi: { name: "nautical mile", factor: 1852 },
  },
  mass: {
    kg: { name: "kilogram", factor: 1 },
    g: { name: "gram", factor: 0.001 },
    t: { name: "tonne", factor: 1000 },
    oz: { name: "ounce", factor: 0.028349523125 },
    lb: { name: "pound", factor: 0.45359237 },
  },
  temperature: {
    K: { name: "kelvin", factor: 1 },
    "°C": { name: "degree Celsius", factor: 1, offset: 273.15 },
    "°F": { name: "degree Fahrenheit", factor: 5 / 9, offset: 459.67 * (5 / 9) },
  },
  volume: {
    l: { name: "litre", factor: 1 },
    ml: { name: "millilitre", factor: 0.001 },
    m3: { name: "cubic metre", factor: 1000 },
    gal: { name: "US gallon", factor: 3.785411784 },
    cup: { name: "US cup", factor: 0.2365882365 },
  },
  speed: {
    "m/s": { name: "metre per second", factor: 1 },
    "km/h": { name: "kilometre per hour", factor: 1 / 3.6 },
    mph: { name: "mile per hour", factor: 0.44704 },
    kn: { name: "knot", factor: 1852 / 3600 },
  },
  data: {
    B: { name: "byte", factor: 1 },
    kB: { name: "kilobyte", factor: 1e3 },
    MB: { name: "megabyte", factor: 1e6 },
    GB: { name: "gigabyte", factor: 1e9 },
    KiB: { name: "kibibyte", factor: 2 ** 10 },
    MiB: { name: "mebibyte", factor: 2 ** 20 },
    GiB: { name: "gibibyte", factor: 2 ** 30 },
  },
};

export const quantities = Object.keys(QUANTITIES) as [string, ...string[]];

/** The units of a quantity, or of all: symbol, name and quantity. */
export function units(quantity?: string): { symbol: string; name: string; quantity: string }[] {
  return quantities
    .filter((name) => quantity === undefined || name === quantity)
    .flatMap((name) =>
      Object.entries(QUANTITIES[name] ?? {}).map(([symbol, unit]) => ({ symbol, name: unit.name, quantity: name })),
    );
}

/** `value` of one unit in another. Throws a `RangeError` that says what is wrong. */
export function convert(value: number, from: string, to: string): number {
  const [quantity, source] = find(from);
  const [other, target] = find(to);
  if (quantity !== other) {
    throw new RangeError(`${from} measures ${quantity}, ${to} measures ${other}`);
  }
  const base = value * source.factor + (source.offset ?? 0);
  if (quantity === "temperature" && base < 0) {
    throw new RangeError(`${value} ${from} is below absolute zero`);
  }
  // Twelve digits are more than any of the factors deserve, and hide the noise of binary fractions.
  return Number(((base - (target.offset ?? 0)) / target.factor).toPrecision(12));
}

/** Symbols are exact (`mm` is no `MM`); names, and `C` and `F`, are understood in any case. */
function find(text: string): [quantity: string, unit: Unit] {
  const wanted = text.trim();
  const folded = wanted.toLowerCase().replace(/^(?:degrees?\s+|deg\s*)/, "degree ");
  for (const [quantity, table] of Object.entries(QUANTITIES)) {
    for (const [symbol, unit] of Object.entries(table)) {
      const names = [unit.name, `${unit.name}s`, symbol.replace("°", "")].map((name) => name.toLowerCase());
      if (symbol === wanted || (symbol.startsWith("°") ? names.includes(folded) : names.slice(0, 2).includes(folded))) {
        return [quantity, unit];
      }
    }
  }
  throw new RangeError(`no unit "${text}" is known; the tool list_units lists them`);
}

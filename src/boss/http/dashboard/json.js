// JSON as text, never parsed to numbers, so that long numbers keep all their digits.

const QUOTE = 34, BACKSLASH = 92, COLON = 58, COMMA = 44;
const OPENS = new Set([123, 91]), CLOSES = new Set([125, 93]);

/** The place of the quote that ends the string that begins here. */
function endOfString(text, start) {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let before = end - 1;
    while (text.charCodeAt(before) === BACKSLASH) before--;
    if ((end - before) % 2 === 1) return end;
  }
  return text.length;
}

/** The members of an object, or the elements of an array, as pairs of a key as text (null in an array) and a value as text. */
export function parts(text) {
  const found = [];
  let depth = 0, start = 0, key = null;
  const end = (place) => {
    const value = text.slice(start, place).trim();
    if (value) found.push([key, value]);
    [key, start] = [null, place + 1];
  };
  for (let place = 0; place < text.length; place++) {
    const token = text.charCodeAt(place);
    if (token === QUOTE) place = endOfString(text, place);
    else if (OPENS.has(token)) depth++ || (start = place + 1);
    else if (CLOSES.has(token)) --depth || end(place);
    else if (token === COMMA && depth === 1) end(place);
    else if (token === COLON && depth === 1) [key, start] = [text.slice(start, place).trim(), place + 1];
  }
  return found;
}

/** The members of a JSON object by their names, as unchanged text. */
export function members(text) {
  const found = Object.create(null);
  for (const [key, value] of parts(text)) found[JSON.parse(key)] = value;
  return found;
}

/** JSON text, indented, with one line for each member. */
export function pretty(text) {
  let indent = 0;
  const line = () => "\n" + "  ".repeat(indent);
  return text.replace(/"(?:[^"\\]|\\.)*"|[{[]\s*[}\]]|[{}[\]:,]|[^\s{}[\]:,"]+|\s+/g, (token) => {
    if (/^\s+$/.test(token)) return "";
    if (/^[{[]\s*[}\]]$/.test(token)) return token[0] + token.at(-1);
    if (token === "{" || token === "[") return (indent++, token + line());
    if (token === "}" || token === "]") return (indent--, line() + token);
    if (token === ",") return token + line();
    return token === ":" ? ": " : token;
  });
}
